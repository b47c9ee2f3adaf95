"""CLIP, SigLIP, OpenCLIP and ConvNeXt give their libraries' features, or an error.

The networks are golden/make_encoders_clip_convnext.py's.
"""

import functools
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.models.weights import read_network

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
SAVED = GOLDEN / "encoders_clip_convnext"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "encoders_clip_convnext.npz") as file:
        return {name: file[name] for name in file.files}


@functools.partial(jax.jit, static_argnums=0)
def features(encoder, params, images):
    return encoder.module().apply({"params": params}, images)


def embedded(golden, network, size):
    pixels = golden[f"images.{size}"][..., : network.encoder.channels] / 255.0
    return np.asarray(features(network.encoder, network.params, jnp.asarray(pixels, jnp.float32)))


def relative_error(actual, expected):
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / np.abs(expected).max()


CONVNEXTS = [
    "timm_convnext",
    "timm_convnext_conv_mlp",
    "timm_convnext_v2",
    "convnext",
    "convnext_tanh",
    "convnext_v2",
]


@pytest.mark.parametrize("size", [32, 40])
@pytest.mark.parametrize("name", CONVNEXTS)
def test_features_of_a_convnext_equal_its_library_s(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert network.encoder.image_size == size
    assert relative_error(embedded(golden, network, size), golden[f"{name}.{size}"]) < 1e-5


TOWERS = ["clip", "clip_gelu", "clip_vision_projected", "clip_vision", "siglip", "siglip_vision"]


@pytest.mark.parametrize("size", [24, 40])
@pytest.mark.parametrize("name", TOWERS)
def test_features_of_a_vision_tower_equal_transformers(golden, name, size):
    network = read_network(SAVED / name, image_size=size)
    assert relative_error(embedded(golden, network, size), golden[f"{name}.{size}"]) < 1e-5


@pytest.mark.parametrize("name", ["open_clip", "open_clip_gelu", "open_clip_timm"])
def test_features_of_open_clip_equal_its_own(golden, name):
    network = read_network(SAVED / name)
    assert network.pixel_mean == (0.4, 0.5, 0.6)
    size = network.encoder.image_size
    assert relative_error(embedded(golden, network, size), golden[f"{name}.{size}"]) < 1e-5


@pytest.fixture
def saved(tmp_path):
    def copy(name):
        shutil.copytree(SAVED / name, tmp_path / name)
        return tmp_path / name

    return copy
