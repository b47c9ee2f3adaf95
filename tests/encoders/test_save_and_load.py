"""A trained encoder's folder: there and back, and refused when it is not whole."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from flax import linen as nn
from safetensors.numpy import load_file, save_file

from examine_jax.common.configuration import from_plain, to_plain
from examine_jax.encoders import Encoder, load_encoder, save_encoder
from examine_jax.encoders.encoder import _embed
from examine_jax.encoders.imported import ImportedEncoder
from examine_jax.encoders.load import KNOWN
from examine_jax.encoders.save import export_vit_mae
from examine_jax.images.augmentation import simclr_views
from examine_jax.models import FlaxEncoder, ResNetConfig, architecture
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import PixelScale
from examine_jax.pretraining.methods.simclr import SimCLR
from examine_jax.pretraining.registry import method_names, method_preset
from tests.support.colour_mae import METHOD


@pytest.fixture(scope="module")
def params():
    return jax.jit(METHOD.init)(jax.random.key(0), {"image": np.zeros((1, 16, 16, 3), np.uint8)})[0]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (11, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def folder(params, tmp_path):
    save_encoder(tmp_path / "encoder", METHOD, params, {}, {"steps": 7, "images": "patches"})
    return tmp_path / "encoder"


def test_it_comes_back_as_it_was(folder, params, images):
    encoder = load_encoder(folder)
    assert encoder.method == METHOD
    assert encoder.training == {"steps": 7, "images": "patches"}
    assert (encoder.image_size, encoder.channels, encoder.pooling) == (16, 3, "mean")
    assert all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(encoder.params), jax.tree.leaves(params), strict=True)
    )
    np.testing.assert_array_equal(encoder.embed(images), Encoder(METHOD, params, {}).embed(images))
    assert sorted(file.name for file in folder.parent.iterdir()) == ["encoder"]
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_features_do_not_depend_on_the_batch_and_the_ragged_one_is_not_compiled(params, images):
    encoder = Encoder(METHOD, params, {})
    seen = []
    whole = encoder.embed(images, batch_size=11)
    compiled = _embed._cache_size()
    np.testing.assert_allclose(
        encoder.embed(images, batch_size=4, on_progress=lambda *at: seen.append(at)),
        whole,
        rtol=1e-5,
        atol=1e-6,
    )
    assert _embed._cache_size() == compiled + 1
    assert seen == [(4, 11), (8, 11), (11, 11)]
    assert encoder.embed(images[:2], batch_size=4).shape == (2, 16)
    assert _embed._cache_size() == compiled + 1
    assert encoder.embed(images[:0], batch_size=4).shape == (0, 16)


def test_pooling_can_be_chosen_afterwards(params, images):
    encoder = Encoder(METHOD, params, {})
    by_class = encoder.with_pooling("class_token")
    assert by_class.pooling == "class_token"
    tokens = METHOD.tokens(params, {}, jax.numpy.asarray(images))
    np.testing.assert_allclose(by_class.embed(images), tokens[:, 0], rtol=1e-5, atol=1e-5)
    headless = dataclasses.replace(
        METHOD, encoder=dataclasses.replace(METHOD.encoder, class_token=False)
    )
    with pytest.raises(ValueError, match="class_token"):
        Encoder(headless, params, {}).with_pooling("class_token")


def test_an_autoencoder_shows_what_it_paints(params, images):
    masked, painted = Encoder(METHOD, params, {}).reconstruct(images[:3], jax.random.key(0))
    assert masked.shape == painted.shape == (3, 16, 16, 3)
    assert masked.dtype == painted.dtype == np.float32
    visible = np.abs(masked - images[:3] / 255).max(axis=-1) < 1e-5
    assert 0.5 < visible.mean() < 0.65  # int(16 * .6) = 9 of 16 patches
    assert np.abs(painted - images[:3] / 255)[visible].max() < 1e-5


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((2, 20, 20, 3), np.uint8),
        ((2, 16, 16, 1), np.uint8),
        ((16, 16, 3), np.uint8),
        ((2, 16, 16, 3), np.float32),
    ],
)
def test_images_that_do_not_fit_are_refused(params, shape, dtype):
    with pytest.raises(ValueError, match=r"takes uint8 images \[16, 16, 3\]"):
        Encoder(METHOD, params, {}).embed(np.zeros(shape, dtype))


def edit_configuration(change):
    def edit(folder):
        configuration = json.loads((folder / "config.json").read_text())
        change(configuration)
        (folder / "config.json").write_text(json.dumps(configuration))

    return edit


def edit_tensors(change):
    def edit(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return edit


NAME = "params.encoder.block_0.expand.kernel"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), "not readable JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "it holds a list"),
        (lambda folder: (folder / "config.json").write_text("{}"), "format_version is None"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"), "not readable JSON"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"abc"),
            "not a readable safetensors",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(
                (folder / "model.safetensors").read_bytes()[:-9]
            ),
            "not a readable safetensors",
        ),
        (edit_configuration(lambda c: c.update(format_version=99)), "format_version is 99"),
        (edit_configuration(lambda c: c.pop("method")), "method"),
        (edit_configuration(lambda c: c.update(method="mae")), "no pretraining method"),
        (
            edit_configuration(lambda c: c["method"].update(type="Diffusion")),
            "'Diffusion' is none of the known",
        ),
        (edit_configuration(lambda c: c["method"].update(colour=1)), "no field 'colour'"),
        (
            edit_configuration(lambda c: c["method"]["encoder"].pop("width")),
            "ViTConfig lacks the field 'width'",
        ),
        (edit_configuration(lambda c: c["method"]["encoder"].update(width=17)), "width 17"),
        (
            edit_configuration(lambda c: c["method"]["encoder"].update(mlp_width=40)),
            r"contract.kernel is \[32, 16\], config.json asks for \[40, 16\]",
        ),
        (
            edit_configuration(lambda c: c["method"]["encoder"].update(image_size=8 * 10**9)),
            r"config\.json: image_size is 8000000000; it must be a whole number from 1 to 8192",
        ),
        (
            edit_configuration(lambda c: c["method"]["encoder"].update(depth=10**9)),
            r"config\.json: depth is 1000000000; it must be a whole number from 1 to 4096",
        ),
        *(
            (
                edit_configuration(lambda c, k=k, v=v: c["method"]["encoder"].update({k: v})),
                # The tests check types as well, and say it first.
                r"config\.json: (its settings make no network|Type-check error)",
            )
            for k, v in {"heads": 2.0, "mlp_width": 10**400, "extras": "x"}.items()
        ),
        (edit_tensors(lambda t: t.pop(NAME)), f"lacks the tensor {NAME}"),
        (
            edit_tensors(lambda t: t.update({"params.stranger": t[NAME]})),
            "the tensor params.stranger, which config.json does not use",
        ),
        (
            edit_tensors(lambda t: t.update({NAME: t[NAME].T.copy()})),
            rf"{NAME} is \[32, 16\], config.json asks for \[16, 32\]",
        ),
    ],
)
def test_a_damaged_folder_is_refused_with_what_is_wrong(folder, damage, message):
    damage(folder)
    with pytest.raises(ValueError, match=message):
        load_encoder(folder)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not an encoder's folder"):
        load_encoder(tmp_path / "nowhere")


def test_saving_replaces_an_encoder_and_nothing_else(folder, params, tmp_path):
    save_encoder(folder, METHOD, params, {}, {"steps": 8})
    assert load_encoder(folder).training == {"steps": 8}
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("irreplaceable")
    with pytest.raises(ValueError, match="is not an encoder's folder"):
        save_encoder(tmp_path / "thesis", METHOD, params, {})
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "irreplaceable"
    with pytest.raises(TypeError):
        save_encoder(tmp_path / "third", METHOD, params, {}, {"bad": object()})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["encoder", "thesis"]


GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def simclr(encoder):
    return SimCLR(encoder, simclr_views(16), HeadConfig((8, 4)))


def trained(method):
    """Parameters and state with nothing at the zeros and ones of a fresh network."""
    batch = {"image": np.zeros((2, 16, 16, 3), np.uint8), "index": np.zeros(2, np.int32)}
    fresh = jax.jit(method.init)(jax.random.key(0), batch)
    generator = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: np.asarray(leaf + 0.2 * generator.uniform(size=leaf.shape), np.float32), fresh
    )


def assert_same(encoder, method, params, state):
    assert encoder.method == method
    assert jax.tree.structure((encoder.params, encoder.state)) == jax.tree.structure(
        (params, state)
    )
    assert jax.tree.all(
        jax.tree.map(np.array_equal, (encoder.params, encoder.state), (params, state))
    )


def test_a_residual_network_comes_back_with_its_statistics(tmp_path, images):
    method = simclr(
        ResNetConfig(image_size=16, channels=3, depths=(1, 1), width=4, stem="small_image")
    )
    params, state = trained(method)
    save_encoder(tmp_path / "encoder", method, params, state)
    encoder = load_encoder(tmp_path / "encoder")
    assert_same(encoder, method, params, state)
    assert encoder.pooling is None
    features = encoder.embed(images)
    assert features.shape == (11, 8)
    other = jax.tree.map(lambda leaf: leaf + 1, state)
    assert not np.allclose(Encoder(method, params, other).embed(images), features)
    with pytest.raises(ValueError, match="a ResNetConfig has no tokens to pool"):
        encoder.with_pooling("mean")
    with pytest.raises(ValueError, match="a SimCLR encoder has no decoder"):
        encoder.reconstruct(images, jax.random.key(0))
    with pytest.raises(ValueError, match="trained by SimCLR"):
        export_vit_mae(tmp_path / "other", encoder)


class Own(nn.Module):
    widths: tuple[int, ...]
    activation: object = nn.relu

    @nn.compact
    def __call__(self, images, train):
        x = images.mean(axis=(1, 2))
        for width in self.widths:
            x = nn.BatchNorm(use_running_average=not train)(self.activation(nn.Dense(width)(x)))
        return x


def test_a_network_of_ones_own_comes_back_when_it_is_handed_over(tmp_path, images):
    method = simclr(FlaxEncoder(Own((6, 5)), image_size=16, channels=3, features=5))
    params, state = trained(method)
    save_encoder(tmp_path / "encoder", method, params, state)
    with pytest.raises(ValueError, match=r"'FlaxEncoder' is none of the known.*method="):
        load_encoder(tmp_path / "encoder")
    encoder = load_encoder(tmp_path / "encoder", method=method)
    assert_same(encoder, method, params, state)
    assert encoder.embed(images).shape == (11, 5)
    changed = dataclasses.replace(method, encoder=FlaxEncoder(Own((6, 5), nn.gelu), 16, 3, 5))
    with pytest.raises(
        ValueError, match=r"encoder.flax_module.activation: .*relu there, .*gelu here"
    ):
        load_encoder(tmp_path / "encoder", method=changed)


@pytest.mark.parametrize("name", method_names())
def test_every_methods_settings_come_back(name):
    method, _ = method_preset(name, architecture("small"), steps=10)
    assert from_plain(json.loads(json.dumps(to_plain(method))), KNOWN, "here") == method


@pytest.mark.parametrize("name", ["vit_mae", "vit", "dinov2_swiglu", "resnet_bottleneck"])
def test_others_networks_are_read_kept_and_embed_what_transformers_embeds(tmp_path, name):
    encoder = load_encoder(GOLDEN / "weights" / name, image_size=24)
    save_encoder(tmp_path / "kept", encoder.method, encoder.params, encoder.state)
    kept = load_encoder(tmp_path / "kept")
    assert_same(kept, encoder.method, encoder.params, encoder.state)
    with np.load(GOLDEN / "weights.npz") as file:
        images, expected = file["images.24"][..., : encoder.channels], file[f"{name}.24"]
    # The golden features are those of pixels in [0, 1].
    raw = dataclasses.replace(kept, method=dataclasses.replace(kept.method, pixels=PixelScale()))
    if expected.ndim == 3:
        expected = expected[:, 1:].mean(axis=1) if kept.pooling == "mean" else expected[:, 0]
    np.testing.assert_allclose(raw.embed(images), expected, rtol=1e-5, atol=1e-5)
    assert not np.allclose(kept.embed(images), expected, atol=1e-2)


def test_an_imported_encoder_is_not_trained():
    encoder = load_encoder(GOLDEN / "weights" / "vit")
    assert isinstance(encoder.method, ImportedEncoder)
    with pytest.raises(ValueError, match="has no loss"):
        encoder.method.loss(encoder.params, encoder.state, {}, jax.random.key(0))


def test_what_is_for_others_networks_is_refused_for_ours_and_the_reverse(folder):
    with pytest.raises(ValueError, match="image_size is for networks that others trained"):
        load_encoder(folder, image_size=32)
    with pytest.raises(ValueError, match="method is for folders that save_encoder wrote"):
        load_encoder(GOLDEN / "weights" / "vit", method=METHOD)


def test_a_pickle_is_refused_with_its_conversion(tmp_path):
    (tmp_path / "resnet50.pth").write_bytes(b"anything")
    with pytest.raises(ValueError, match=r"python -c .*resnet50\.safetensors"):
        load_encoder(tmp_path / "resnet50.pth")
    shutil.copy(GOLDEN / "weights" / "vit" / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(ValueError, match=r"python -c .*model\.safetensors"):
        load_encoder(tmp_path)
