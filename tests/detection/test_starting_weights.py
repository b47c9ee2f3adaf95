"""Detectors start from torchvision's states and from trained encoders, tensor by tensor."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.common.configuration import from_plain, to_plain
from examine_jax.detection.detector_folder import KNOWN
from examine_jax.detection.geometry.anchors import AnchorSettings
from examine_jax.detection.starting_weights import (
    detector_from_torchvision,
    graft_encoder,
    on_encoder,
)
from examine_jax.encoders import Encoder, load_encoder, save_encoder
from examine_jax.images.augmentation import simclr_views
from examine_jax.models import ResNetConfig, ViTConfig
from examine_jax.models.forward import run_feature_maps
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining.methods.simclr import SimCLR
from tests.support.tiny_detector import TINY, tiny_batch
from tests.support.torchvision_detector import GOLDEN, narrow_detector

FILE = GOLDEN / "faster_rcnn.safetensors"
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return load_file(FILE)


@pytest.fixture(scope="module")
def read():
    detector = narrow_detector("faster_rcnn")
    return detector, *detector_from_torchvision(FILE, detector, KEY)


def written(tmp_path, tensors, **changes):
    """A file of the tensors, with changes; None leaves one out."""
    kept = {name: array for name, array in {**tensors, **changes}.items() if array is not None}
    save_file(kept, tmp_path / "changed.safetensors")
    return tmp_path / "changed.safetensors"


def same(first, second) -> None:
    assert jax.tree.structure(first) == jax.tree.structure(second)
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_every_tensor_is_accounted_for(read, tensors) -> None:
    account = read[3]
    assert sum(int(n) for line in account for n in re.findall(r"(\d+) tensors", line)) == len(
        tensors
    )
    assert "encoder/stage_2_block_0: 20 tensors of backbone.body.layer3.0" in account
    assert "pyramid/output_16: 2 tensors of backbone.fpn.layer_blocks.2" in account


def test_the_state_has_the_methods_shape(read) -> None:
    detector, params, state, _ = read
    expected = jax.eval_shape(lambda: detector.init(KEY, {}))
    assert jax.tree.map(np.shape, (params, state)) == jax.tree.map(np.shape, expected)


def test_names_before_version_13_are_the_same(read, tensors, tmp_path) -> None:
    old = {
        re.sub(r"(_blocks\.\d)\.0\.|(head\.conv)\.0\.0\.", r"\1\2.", name): array
        for name, array in tensors.items()
    }
    assert old.keys() != tensors.keys()
    counters = {"backbone.body.bn1.num_batches_tracked": np.array(3)}
    detector, params, state, _ = read
    same(
        detector_from_torchvision(written(tmp_path, old, **counters), detector, KEY)[:2],
        (params, state),
    )


def test_another_number_of_classes_has_a_new_predictor(read) -> None:
    _, params, _, _ = read
    detector = narrow_detector("faster_rcnn", classes=("x", "y", "z", "w", "v"))
    other, _, account = detector_from_torchvision(FILE, detector, KEY)
    assert other["box_head"]["classes"]["kernel"].shape == (64, 6)
    assert np.std(other["box_head"]["classes"]["kernel"]) < 0.02  # as it is drawn
    for name in ("hidden_1", "hidden_2"):
        same(other["box_head"][name], params["box_head"][name])
    same(other["encoder"], params["encoder"])
    assert any("random, since roi_heads.box_predictor has 4 classes" in line for line in account)


def test_epsilon_of_the_batch_norms_is_in_the_scales(read) -> None:
    """torchvision runs its COCO weights with an epsilon of 0, our batch norms have 1e-5."""
    detector, params, state, _ = read
    other = detector_from_torchvision(FILE, detector, KEY, norm_epsilon=0.0)
    joined, stats = detector.join(params, state)
    changed = detector.join(other[0], other[1])[0]
    assert "batch norms: epsilon 0" in other[2]
    for block, norm in (("stem_norm", None), ("stage_3_block_0", "shortcut_norm")):
        ours, theirs, moments = (
            tree["encoder"][block] if norm is None else tree["encoder"][block][norm]
            for tree in (changed, joined, stats)
        )
        np.testing.assert_allclose(
            ours["scale"] / np.sqrt(moments["var"] + 1e-5),
            theirs["scale"] / np.sqrt(moments["var"]),
            rtol=1e-6,
        )
        np.testing.assert_array_equal(ours["bias"], theirs["bias"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rpn.head.cls_logits.bias": None}, r"lacks the tensor rpn\.head\.cls_logits\.bias \[3\]"),
        ({"roi_heads.mask_head.x": np.ones(2, np.float32)}, r"does not use: roi_heads\.mask_head"),
        ({"backbone.fpn.inner_blocks.4.0.bias": np.ones(2, np.float32)}, r"inner_blocks\.4\.0"),
        ({"backbone.body.layer1.0.bn2.bias": np.ones(3, np.float32)}, r"layer1\.0\.bn2\.bias is"),
        ({"backbone.body.layer1.1.conv1.weight": np.ones(1, np.float32)}, r"depths \(2, 1, 1, 1\)"),
        ({"rpn.head.conv.1.0.weight": np.ones(2, np.float32)}, "fasterrcnn_resnet50_fpn_v2"),
        ({"roi_heads.box_head.fc6.weight": np.ones((64, 8), np.float32)}, r"fc6\.weight is"),
        ({"backbone.body.conv1.weight": np.ones((8, 1, 7, 7), np.float32)}, "channels 1"),
    ],
)
def test_another_network_is_refused_by_the_tensors_name(
    read, tensors, tmp_path, changes, message
) -> None:
    with pytest.raises(ValueError, match=message):
        detector_from_torchvision(written(tmp_path, tensors, **changes), read[0], KEY)


def test_files_of_another_kind_are_refused(read, tensors, tmp_path) -> None:
    body = {
        name.removeprefix("backbone.body."): array
        for name, array in tensors.items()
        if name.startswith("backbone.body.")
    }
    with pytest.raises(ValueError, match="give it as an encoder"):
        detector_from_torchvision(written(tmp_path, body), read[0], KEY)
    with pytest.raises(ValueError, match=r"lacks the tensor backbone\.body\.conv1\.weight"):
        detector_from_torchvision(written(tmp_path, {"x": np.ones(2)}), read[0], KEY)
    with pytest.raises(ValueError, match="is no file"):
        detector_from_torchvision(tmp_path, read[0], KEY)
    (tmp_path / "model.pth").write_bytes(b"\x80")
    with pytest.raises(ValueError, match="convert it"):
        detector_from_torchvision(tmp_path / "model.pth", read[0], KEY)


def test_a_torchvision_resnet_becomes_the_encoder(read, tensors, tmp_path) -> None:
    detector, params, state, _ = read
    body = {
        name.removeprefix("backbone.body."): array
        for name, array in tensors.items()
        if name.startswith("backbone.body.")
    }
    encoder = load_encoder(written(tmp_path, body), image_size=96)
    blank = jax.tree.map(np.zeros_like, (params, state))
    grafted, grafted_state, account = graft_encoder(detector, *blank, encoder)
    same((grafted["encoder"], grafted_state), (params["encoder"], state))
    assert not np.any(grafted["pyramid"]["lateral_4"]["kernel"])
    assert "encoder/stem: 1 tensors of the same name" in account
    assert account[0] == "weights of changed.safetensors:"


def test_a_pretrained_folder_becomes_the_encoder(read, tmp_path) -> None:
    """Also where some parameters are frozen, which the state then holds."""
    config = ResNetConfig(
        image_size=32, channels=3, block="bottleneck", depths=(1, 1, 1, 1), width=8
    )
    method = SimCLR(config, simclr_views(32), HeadConfig((8, 8)))
    shapes = jax.eval_shape(lambda: method.init(KEY, {}))
    rng = np.random.default_rng(0)
    trained, own_state = jax.tree.map(
        lambda leaf: rng.random(leaf.shape).astype(leaf.dtype), shapes
    )
    save_encoder(tmp_path / "encoder", method, trained, own_state)
    encoder = load_encoder(tmp_path / "encoder")
    _, params, state, _ = read
    detector = narrow_detector("faster_rcnn", frozen_stages=1)
    params, state = detector.divide(*read[0].join(params, state))
    grafted, grafted_state, _ = graft_encoder(detector, params, state, encoder)
    joined, stats = detector.join(grafted, grafted_state)
    same(joined["encoder"], trained["encoder"])
    same(stats["encoder"], own_state["batch_stats"]["encoder"])
    assert "stem" in grafted_state["frozen"]["encoder"]


def test_a_transformers_folder_becomes_the_encoder() -> None:
    """The detector's last map is what the encoder averages."""
    encoder = load_encoder(GOLDEN.parents[1] / "golden/weights/resnet_bottleneck", image_size=32)
    network = encoder.method.encoder
    detector = dataclasses.replace(
        narrow_detector("faster_rcnn"),
        encoder=network,
        anchors=AnchorSettings(((8.0,), (16.0,)), strides=(4, 8)),
        pixels=encoder.method.pixels,
    )
    shapes = jax.eval_shape(lambda: detector.init(KEY, {}))
    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    params, state, account = graft_encoder(detector, *blank, encoder)
    assert account[0] == "weights of resnet_bottleneck:"
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)

    @jax.jit
    def last_map(params, state):
        joined, stats = detector.join(params, state)
        maps, _ = run_feature_maps(
            network.module(),
            joined["encoder"],
            stats["encoder"],
            detector.pixels(jnp.asarray(images)),
            train=False,
        )
        return maps[8]

    np.testing.assert_allclose(
        last_map(params, state).mean(axis=(1, 2)), encoder.embed(images, batch_size=2), rtol=1e-5
    )


def test_a_convnext_becomes_the_encoder(tmp_path) -> None:
    encoder = load_encoder(GOLDEN.parents[1] / "golden/encoders_clip_convnext/convnext")
    detector = dataclasses.replace(
        TINY, anchors=AnchorSettings(((8.0,), (16.0,)), strides=(4, 8)), frozen_stages=1
    )
    detector = on_encoder(detector, encoder)
    assert detector.pixels == encoder.method.pixels
    shapes = jax.eval_shape(lambda: detector.init(KEY, {}))
    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    params, state, _ = graft_encoder(detector, *blank, encoder)
    frozen = state["frozen"]["encoder"].keys()
    assert frozen == {"stem", "stem_norm", "stage_0_block_0", "norm"}
    assert "downsample_1" in params["encoder"]
    joined, _ = detector.join(params, state)
    same(joined["encoder"], encoder.params["encoder"])
    # The loss is traced, not computed.
    loss, (after, _) = jax.eval_shape(detector.loss, params, state, tiny_batch(), KEY)
    assert loss.shape == ()
    assert jax.tree.structure(after) == jax.tree.structure(state)
    again = from_plain(to_plain(detector), KNOWN, "here")
    assert again == detector


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 16}, r"params/stem/kernel is \[7, 7, 3, 8\] .* \[7, 7, 3, 16\].*width 8 and 16"),
        ({"channels": 1}, r"params/stem/kernel is \[7, 7, 3, 8\] .*channels 3 and 1"),
        ({"depths": (1, 1, 2, 1)}, r"stage_2_block_1/.* is missing in the encoder"),
    ],
)
def test_an_encoder_of_another_shape_is_refused_by_the_tensors_name(read, changes, message) -> None:
    detector, params, state, _ = read
    joined, stats = detector.join(params, state)
    encoder = Encoder(
        SimCLR(detector.encoder, simclr_views(96), HeadConfig((8, 8))),
        {"encoder": joined["encoder"]},
        {"batch_stats": stats},
    )
    if "channels" in changes:
        changes = {**changes, "image_size": 96}
    network = dataclasses.replace(detector.encoder, **changes)
    pixels = {} if network.channels == 3 else {"pixels": type(detector.pixels)()}
    other = dataclasses.replace(detector, encoder=network, **pixels)
    shapes = jax.eval_shape(lambda: other.init(KEY, {}))
    with pytest.raises(ValueError, match=message):
        graft_encoder(other, *shapes, encoder)


def test_a_vision_transformer_has_no_maps(read) -> None:
    config = ViTConfig(
        image_size=32, patch_size=8, channels=3, width=16, depth=1, heads=2, mlp_width=16
    )
    method = SimCLR(config, simclr_views(32), HeadConfig((8, 8)))
    with pytest.raises(ValueError, match="ViTConfig, which has no feature maps"):
        graft_encoder(read[0], read[1], read[2], Encoder(method, {"encoder": {}}, {}))
