"""Embedding: which outputs are the features, in what precision, on which devices."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from flax import linen as nn

from examine_jax.encoders import load_encoder, save_encoder
from examine_jax.encoders.embedding import EmbeddingSpeed, largest_batch
from examine_jax.encoders.in_words import of_others
from examine_jax.encoders.settings import EncoderUse
from examine_jax.models import FlaxEncoder
from tests.support.devices import ENOUGH_THREADS

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CHECKOUT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def golden():
    """transformers' tokens of a ViT of two channels, and its images."""
    with np.load(GOLDEN / "weights.npz") as file:
        return file["vit.24"], file["images.24"][..., :2]


@pytest.fixture(scope="module")
def vit():
    # The golden tokens are of pixels in [0, 1].
    encoder = load_encoder(GOLDEN / "weights" / "vit")
    method = dataclasses.replace(encoder.method, pixels=type(encoder.method.pixels)())
    return dataclasses.replace(encoder, method=method)


@pytest.mark.parametrize("feature", ["class_token", "patch_mean", "class_and_mean", "tokens"])
def test_a_feature_is_made_of_transformers_tokens(golden, vit, feature):
    tokens, images = golden
    mean = tokens[:, 1:].mean(axis=1)
    expected = {
        "class_token": tokens[:, 0],
        "patch_mean": mean,
        "class_and_mean": np.concatenate([tokens[:, 0], mean], axis=1),
        "tokens": tokens,
    }[feature]
    found = vit.with_readout(feature).embed(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_layers_are_those_of_a_network_that_ends_there(golden, vit):
    _, images = golden
    depth = vit.method.encoder.depth
    both = vit.with_readout("patch_mean", (1, depth)).embed(images)
    parts = []
    for layers in (1, depth):
        config = dataclasses.replace(vit.method.encoder, depth=layers)
        ends = dataclasses.replace(vit, method=dataclasses.replace(vit.method, encoder=config))
        parts.append(ends.with_readout("patch_mean").embed(images))
    np.testing.assert_allclose(both, np.concatenate(parts, axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["weights/resnet_basic", "encoders_clip_convnext/convnext"])
def test_stages_of_a_convolutional_network_are_layers(name):
    encoder = load_encoder(GOLDEN / name, image_size=32)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    config = encoder.method.encoder
    maps = encoder.with_readout("tokens").embed(images)
    assert maps.shape[-1] == config.features
    means = encoder.with_readout("patch_mean", (1, len(config.depths))).embed(images)
    np.testing.assert_allclose(means[:, -config.features :], maps.mean(axis=1), rtol=1e-5)
    if "resnet" in name:  # a ConvNeXt's own feature has a norm
        np.testing.assert_allclose(encoder.embed(images), maps.mean(axis=1), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="no class token; take patch_mean"):
        encoder.with_readout("class_token")
    with pytest.raises(ValueError, match="stages have different sizes"):
        encoder.with_readout("tokens", (1, 2))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (EncoderUse(layers=(0,)), "layers must be numbers from 1 to 2, the number of blocks"),
        (EncoderUse(layers=(3,)), "layers must be numbers from 1 to 2"),
        (EncoderUse(layers=(1, 1)), "name a layer twice"),
    ],
)
def test_layers_that_are_not_there_are_refused(use, message):
    with pytest.raises(ValueError, match=message):
        use.load(GOLDEN / "weights" / "vit")


def test_what_says_the_same_twice_or_cannot_be_is_refused():
    with pytest.raises(ValueError, match="say the same thing twice"):
        EncoderUse(feature="patch_mean").load(GOLDEN / "weights" / "vit", "mean")
    siglip = GOLDEN / "encoders_clip_convnext" / "siglip"
    with pytest.raises(ValueError, match="inner layers have no attention pooling"):
        EncoderUse(layers=(1,)).load(siglip)
    with pytest.raises(ValueError, match="this transformer has no class token"):
        EncoderUse(feature="class_token").load(siglip)
    with pytest.raises(ValueError, match="no class token; take patch_mean or tokens"):
        EncoderUse(feature="class_token", layers=(1,)).load(siglip)


def test_another_feature_leaves_the_projection_out_and_is_saved(tmp_path):
    folder = GOLDEN / "encoders_clip_convnext" / "clip"
    encoder = EncoderUse(feature="class_and_mean").load(folder)
    width = encoder.method.encoder.width
    assert encoder.method.encoder.features == 2 * width
    assert "projection" not in encoder.params["encoder"]
    save_encoder(tmp_path / "kept", encoder.method, encoder.params, encoder.state)
    images = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), np.uint8)
    again = load_encoder(tmp_path / "kept").embed(images)
    np.testing.assert_array_equal(again, encoder.embed(images))
    tokens = encoder.with_readout("tokens").embed(images)
    np.testing.assert_allclose(again[:, :width], tokens[:, 0], rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["clip_convnext/siglip", "clip_convnext/timm_convnext", "beit_eva/eva02_clip"]
)
def test_bfloat16_is_within_a_hundredth(name):
    folder = GOLDEN / f"encoders_{name}"
    wide = load_encoder(folder)
    images = np.random.default_rng(0).integers(
        0, 256, (2, wide.image_size, wide.image_size, 3), np.uint8
    )
    expected = wide.embed(images)
    found = EncoderUse(precision="bfloat16").load(folder).embed(images)
    error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
    assert 0 < error < 1e-2


def test_a_module_of_ones_own_has_one_feature_and_decides_its_precision():
    network = FlaxEncoder(nn.Dense(1), image_size=4, channels=2, features=1)
    encoder = load_encoder(GOLDEN / "weights" / "vit")
    encoder = dataclasses.replace(
        encoder, method=dataclasses.replace(encoder.method, encoder=network)
    )
    with pytest.raises(ValueError, match="decides itself"):
        encoder.with_precision("bfloat16")
    with pytest.raises(ValueError, match="gives its features alone"):
        encoder.with_readout("tokens")


def test_a_batch_grows_by_twos_within_memory_and_images():
    assert largest_batch(64, 10_000, 10**9, 64 * 10**6) == 256  # 2 batches, 0.6 of memory
    assert largest_batch(64, 100, 10**12, 10**6) == 128
    assert largest_batch(64, 10, 10**12, 10**6) == 64
    assert largest_batch(64, 10**6, 10**15, 1) == 2048
    assert largest_batch(64, 10**6, 0, 10**6) == 64


def test_speed_is_told_in_one_line():
    speed = EmbeddingSpeed(1234.56, 0.37, 256, (8, "NVIDIA H100"))
    assert str(speed) == ("1235 images/s on 8 x NVIDIA H100, 256 images at once, 37% of the peak")
    assert str(EmbeddingSpeed(None, None, 64, (1, "cpu"))) == "1 x cpu, 64 images at once"


def test_images_are_shared_among_devices(tmp_path):
    program = """
import jax, jax.numpy as jnp, numpy as np
from examine_jax.encoders.embedding import run_batches
images = np.arange(41 * 3, dtype=np.uint8).reshape(41, 1, 1, 3)
seen, speeds = [], []
program = jax.jit(lambda name, scale, x: x.reshape(len(x), -1) * scale, static_argnums=0)
found = run_batches(program, ("",), jnp.float32(2), images, batch_size=5, fill_memory=True,
    dtype="float32", devices=jax.devices(), on_progress=lambda *at: seen.append(at),
    on_speed=speeds.append)
np.testing.assert_array_equal(found, images.reshape(41, 3) * np.float32(2))
assert seen == [(15, 41), (30, 41), (41, 41)], seen
assert speeds[0].devices[0] == 3
few = run_batches(program, ("",), jnp.float32(2), images[:7], batch_size=5, fill_memory=False,
    dtype="float32", devices=jax.devices(), on_progress=None, on_speed=speeds.append)
assert speeds[1].devices[0] == 2 and few.shape == (7, 3)
assert speeds[1].images_per_second is None
none = run_batches(program, ("",), jnp.float32(2), images[:0], batch_size=5, fill_memory=False,
    dtype="float32", devices=jax.devices(), on_progress=None, on_speed=None)
assert none.shape == (0, 3)
"""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", **ENOUGH_THREADS}
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=3"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


def test_an_encoder_of_others_is_told_in_words(vit):
    assert of_others(dataclasses.replace(vit, training={})) is None
    assert of_others(vit) == (
        "the encoder vit, which others trained (vision transformer at 24 px: class token)"
    )
    known = dataclasses.replace(vit, training={"imported_from": "d", "known_encoder": "virchow"})
    known = known.with_readout("patch_mean", (1, 2))
    assert of_others(known).endswith(
        "patch mean of the layers 1, 2; known as virchow (paige-ai/Virchow), licence Apache-2.0)"
    )
