"""Other libraries' weights give transformers' features (golden/make_weights.py), or an error."""

import functools
import importlib.util
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from examine_jax.models import MaskedAutoencoder, patchify
from examine_jax.models.weights import read_network, resample_positions
from tests.support.golden_encoders import (
    GOLDEN,
    arrays,
    copied,
    relative_error,
    with_configuration,
    with_tensors,
)

SAVED = GOLDEN / "weights"


@pytest.fixture(scope="module")
def golden():
    return arrays("weights")


@functools.partial(jax.jit, static_argnums=(0, 1))
def outputs(encoder, method, params, batch_stats, images):
    variables = {"params": params, "batch_stats": batch_stats}
    return encoder.module().apply(variables, images, method=method)


def pixels(golden, size, channels=3):
    return jnp.asarray(golden[f"images.{size}"][..., :channels] / 255.0, jnp.float32)


def assert_close(actual, expected, relative):
    assert relative_error(np.asarray(actual), expected) <= relative


@pytest.mark.parametrize("size", [24, 30, 18])
@pytest.mark.parametrize("name", ["vit_mae", "vit", "dinov2", "dinov2_swiglu"])
def test_tokens_equal_transformers_also_at_other_image_sizes(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    encoder = network.encoder
    tokens = outputs(encoder, "tokens", network.params, {}, pixels(golden, size, encoder.channels))
    assert_close(tokens, golden[f"{name}.{size}"], 5e-6)
    features = outputs(
        encoder, "__call__", network.params, {}, pixels(golden, size, encoder.channels)
    )
    expected = golden[f"{name}.{size}"]
    assert_close(
        features, expected[:, 1:].mean(axis=1) if name == "vit_mae" else expected[:, 0], 5e-6
    )


@pytest.mark.parametrize("name", ["resnet_bottleneck", "resnet_basic"])
def test_residual_features_equal_transformers(golden, name):
    network = read_network(SAVED / name, image_size=24)
    features = outputs(
        network.encoder, "__call__", network.params, network.batch_stats, pixels(golden, 24)
    )
    assert_close(features, golden[f"{name}.24"], 5e-6)


def test_a_whole_resnet_50_under_torchvisions_names_equals_transformers(golden, tmp_path):
    specification = importlib.util.spec_from_file_location(
        "resnet50_tensors", GOLDEN / "resnet50_tensors.py"
    )
    drawn = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(drawn)
    state = drawn.fill(drawn.resnet50_shapes())
    state |= {
        "fc.weight": np.zeros((5, 2048), np.float32),
        "bn1.num_batches_tracked": np.zeros((), np.int64),
    }
    save_file(state, tmp_path / "resnet50.safetensors")
    network = read_network(tmp_path / "resnet50.safetensors")
    assert (network.encoder.image_size, network.encoder.features) == (224, 2048)
    assert network.pixel_mean == (0.485, 0.456, 0.406)
    features = outputs(
        network.encoder, "__call__", network.params, network.batch_stats, pixels(golden, 64)
    )
    assert_close(features, golden["resnet50.64"], 1e-5)


def test_a_vit_maes_decoder_is_read_too(golden):
    network = read_network(SAVED / "vit_mae")
    assert network.encoder.positions == "sincos"
    decoder = network.decoder
    module = MaskedAutoencoder(network.encoder, decoder.config)
    scaled = (golden["images.24"] / 255.0 - network.pixel_mean) / network.pixel_deviation
    order = np.argsort(golden["noise"], axis=1)
    patches = np.take_along_axis(
        np.asarray(patchify(jnp.asarray(scaled, jnp.float32), 6)), order[:, :, None], axis=1
    )
    variables = {"params": {"encoder": network.params, "decoder": decoder.params}}
    visible = int(16 * (1 - decoder.mask_ratio))
    predicted = jax.jit(module.apply)(variables, patches[:, :visible], order)
    assert_close(np.mean(np.square(predicted - patches[:, visible:])), golden["vit_mae.loss"], 5e-6)


def test_resampled_positions_are_not_widened_and_may_stay():
    positions = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    assert resample_positions(positions, 4) is positions
    np.testing.assert_allclose(resample_positions(np.ones((16, 2), np.float32), 7), 1, rtol=1e-6)


QUERY = "encoder.layer.1.attention.attention.query.weight"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "dinov2",
            lambda t: t.pop(QUERY),
            rf"model.safetensors lacks the tensor {QUERY} \[16, 16\]",
        ),
        (
            "dinov2",
            lambda t: t.update({QUERY: np.ones((16, 8))}),
            rf"{QUERY} is \[16, 8\], the network asks for \[16, 16\]",
        ),
        ("dinov2", lambda t: t.pop("encoder.layer.0.layer_scale2.lambda1"), "layer_scale2.lambda1"),
        (
            "vit",
            lambda t: t.pop("vit.embeddings.position_embeddings"),
            "lacks the tensor vit.embeddings.position_emb",
        ),
        (
            "vit_mae",
            lambda t: t.pop("decoder.decoder_norm.bias"),
            "lacks the tensor decoder.decoder_norm.bias",
        ),
        (
            "resnet_basic",
            lambda t: t.pop("resnet.embedder.embedder.convolution.weight"),
            "lacks the tensor conv1.weight",
        ),
        (
            "resnet_basic",
            lambda t: t.pop("resnet.encoder.stages.1.layers.1.layer.0.normalization.running_var"),
            "lacks the tensor layer2.1.bn1.running_var",
        ),
    ],
)
def test_missing_and_misshapen_tensors_are_named(tmp_path, name, change, message):
    folder = copied(SAVED / name, tmp_path)
    with_tensors(folder, change)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": "dpt"},
            "model_type is 'dpt'; what can be read: vit_mae, vit, dinov2, dinov3_vit, ",
        ),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"image_size": [24, 30]}, r"image_size is \[24, 30\]"),
        ({"num_attention_heads": 3}, "config.json: ViTConfig: width 16"),
    ],
)
def test_configurations_that_cannot_be_read_are_refused(tmp_path, changes, message):
    folder = copied(SAVED / "vit", tmp_path)
    with_configuration(folder, **changes)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("dinov2", "embeddings.storage_tokens"),
        ("vit", "vit.encoder.layer.0.attention.q_norm.weight"),
        ("vit_mae", "vit.encoder.layer.2.layernorm_before.weight"),
        ("resnet_basic", "resnet.encoder.stages.0.layers.0.attention.weight"),
    ],
)
def test_a_tensor_that_is_not_used_is_refused_since_features_would_be_wrong(tmp_path, name, tensor):
    folder = copied(SAVED / name, tmp_path)
    read_network(folder)
    with_tensors(folder, lambda t: t.update({tensor: np.ones((1, 4, 16), np.float32)}))
    with pytest.raises(ValueError, match="tensors that this network does not use"):
        read_network(folder)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("dinov2", {"num_register_tokens": 4}),
        ("vit", {"use_qk_norm": True}),
        ("vit_mae", {"rope_theta": 100.0}),
        ("resnet_basic", {"hidden_act": "silu"}),
        ("resnet_basic", {"antialias": True}),
    ],
)
def test_a_field_that_is_not_known_is_refused_unless_it_is_off(tmp_path, name, field):
    folder = copied(SAVED / name, tmp_path)
    with_configuration(folder, **dict.fromkeys(field, None))
    if "hidden_act" not in field:
        read_network(folder)
    with_configuration(folder, **field)
    with pytest.raises(ValueError, match=next(iter(field))):
        read_network(folder)


def test_half_precision_is_read_as_float32(tmp_path, golden):
    folder = copied(SAVED / "vit", tmp_path)
    half = jnp.bfloat16
    with_tensors(
        folder,
        lambda t: t.update(
            {name: np.asarray(jnp.asarray(array, half)) for name, array in t.items()}
        ),
    )
    network = read_network(folder)
    assert {leaf.dtype for leaf in jax.tree.leaves(network.params)} == {jnp.dtype("float32")}
    tokens = outputs(network.encoder, "tokens", network.params, {}, pixels(golden, 24, 2))
    assert_close(tokens, golden["vit.24"], 0.05)


def test_a_state_dict_in_memory_reads_like_a_file(tmp_path, golden):
    renamed = {
        "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
        "encoder.layer.": "layers.",
    }

    def rename(tensors):
        for name in list(tensors):
            new = name
            for old, replacement in renamed.items():
                new = new.replace(old, replacement)
            tensors[new] = tensors.pop(name)

    folder = copied(SAVED / "vit", tmp_path)
    with_tensors(folder, rename)
    network = read_network(folder)
    tokens = outputs(network.encoder, "tokens", network.params, {}, pixels(golden, 24, 2))
    assert_close(tokens, golden["vit.24"], 5e-6)


def test_a_stem_for_small_images_asks_for_their_size(tmp_path):
    arrays = {
        "conv1.weight": np.ones((4, 3, 3, 3), np.float32),
        "layer1.0.conv1.weight": np.ones((4, 4, 3, 3), np.float32),
    }
    save_file(arrays, tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match="image_size=32"):
        read_network(tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match=r"lacks the tensor bn1.weight \[4\]"):
        read_network(tmp_path / "small.safetensors", image_size=32)


@pytest.mark.parametrize("name", ["it's a resnet.pth", "model.pt", "pytorch_model.bin"])
def test_a_pickle_is_refused_with_a_command_that_the_shell_and_python_can_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(ValueError, match="may be a pickle") as caught:
        read_network(tmp_path / name)
    command = shlex.split(str(caught.value).split("installed: ")[1])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "command", "exec")
    assert str(tmp_path / name) in str(eval_strings(command[2]))


def eval_strings(program):
    import ast

    return [node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant)]


def test_a_folder_with_a_pickle_says_what_to_do(tmp_path):
    folder = copied(SAVED / "vit", tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model.bin may be a pickle.*model\.safetensors"):
        read_network(folder)
