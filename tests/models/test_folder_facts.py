"""What a folder says beside its weights: image size, channels, order of colours, epsilon."""

import json
import pathlib
import shutil

import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models.weights import read_network

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "weights"


@pytest.fixture
def resnet(tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(GOLDEN / "resnet_basic", tmp_path / "resnet"))


def _write(folder: pathlib.Path, name: str, **settings: object) -> None:
    (folder / name).write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"size": {"height": 96, "width": 96}}, 96),
        ({"size": 112}, 112),
        ({"size": {"shortest_edge": 64}, "crop_pct": 0.875}, 64),
        ({"size": {"shortest_edge": 96}, "crop_size": 80, "do_center_crop": True}, 80),
        ({"size": {"height": 96, "width": 64}}, 224),
        ({"size": "large"}, 224),
        ({}, 224),
    ],
)
def test_a_resnets_size_is_its_preprocessors(resnet, settings, size):
    _write(resnet, "preprocessor_config.json", **settings)
    network = read_network(resnet)
    assert network.encoder.image_size == size
    assert network.framing is None  # no kernel is named
    assert read_network(resnet, image_size=40).encoder.image_size == 40


def test_timms_size_is_read_for_resnets_too(resnet):
    from examine_jax.models.weights.resnet import with_torchvision_names
    from examine_jax.models.weights.tensors import Tensors

    arrays = load_file(resnet / "model.safetensors")
    kept = {name: array for name, array in arrays.items() if "classifier" not in name}
    save_file(dict(with_torchvision_names(Tensors(kept, "x")).arrays), resnet / "model.safetensors")
    settings = {"input_size": [3, 96, 96], "mean": [0.5] * 3, "std": [0.5] * 3}
    _write(resnet, "config.json", architecture="resnet18", pretrained_cfg=settings)
    assert read_network(resnet).encoder.image_size == 96


def test_blue_first_is_refused(resnet):
    _write(resnet, "preprocessor_config.json", do_flip_channel_order=True)
    with pytest.raises(ValueError, match="takes blue first, which cannot be done here"):
        read_network(resnet)


def test_means_of_other_channels_name_the_folder_and_the_remedy(resnet):
    _write(
        resnet, "preprocessor_config.json", image_mean=[0.1, 0.2], image_std=[1.0, 1.0], resample=3
    )
    with pytest.raises(ValueError, match=r"resnet: its files have 2 means .* takes 3 channels"):
        read_network(resnet)


@pytest.mark.parametrize("size", [0, -16])
def test_an_image_size_that_is_none_is_refused(resnet, size):
    with pytest.raises(ValueError, match=f"image_size is {size}; it must be a whole number"):
        read_network(resnet, image_size=size)


@pytest.mark.parametrize("epsilon", [None, "small", True])
def test_an_epsilon_that_is_no_number_is_named(tmp_path, epsilon):
    folder = pathlib.Path(shutil.copytree(GOLDEN / "vit", tmp_path / "vit"))
    configuration = json.loads((folder / "config.json").read_text())
    _write(folder, "config.json", **{**configuration, "layer_norm_eps": epsilon})
    with pytest.raises(ValueError, match=r"config\.json: layer_norm_eps is .* a number from 0"):
        read_network(folder)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"size": {"shortest_edge": 40}, "crop_size": {"height": 36, "width": 36}}, 36),
        ({"size": {"shortest_edge": 40}, "crop_size": 38}, 24),  # patches do not divide it
        ({}, 24),
    ],
)
def test_a_dinov2s_size_is_its_preprocessors(tmp_path, settings, size):
    # Its configuration says 518, the processor that its users call makes 224 of an image.
    folder = pathlib.Path(shutil.copytree(GOLDEN / "dinov2", tmp_path / "dinov2"))
    _write(folder, "preprocessor_config.json", do_center_crop=True, **settings)
    assert read_network(folder).encoder.image_size == size
    assert read_network(folder, image_size=30).encoder.image_size == 30


def test_a_convnexts_size_is_its_preprocessors(tmp_path):
    golden = GOLDEN.parent / "encoders_clip_convnext" / "convnext"
    folder = pathlib.Path(shutil.copytree(golden, tmp_path / "convnext"))
    file = "preprocessor_config.json"
    said = json.loads((folder / file).read_text())
    _write(folder, file, **{**said, "size": {"shortest_edge": 96}, "crop_pct": 0.875})
    assert read_network(folder).encoder.image_size == 96
