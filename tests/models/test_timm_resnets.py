"""ResNets in timm's folders: what config.json says holds, or the folder is refused."""

import json
import pathlib

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models.weights import read_network

SAVED = pathlib.Path(__file__).parents[1] / "golden" / "weights" / "resnet_basic"
SETTINGS = {
    "architecture": "resnet18",
    "model_args": {"num_classes": 0, "in_chans": 3},
    "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
}


def timm_name(name):
    """timm's name of a tensor of transformers' ResNet."""
    parts = name.removeprefix("resnet.").split(".")
    if parts[0] == "embedder":
        return f"{'conv1' if parts[2] == 'convolution' else 'bn1'}.{parts[3]}"
    block = f"layer{int(parts[2]) + 1}.{parts[4]}"
    if parts[5] == "shortcut":
        return f"{block}.downsample.{int(parts[6] == 'normalization')}.{parts[7]}"
    kind = "conv" if parts[7] == "convolution" else "bn"
    return f"{block}.{kind}{int(parts[6]) + 1}.{parts[8]}"


@pytest.fixture
def folder(tmp_path):
    tensors = load_file(SAVED / "model.safetensors")
    encoder = {
        timm_name(name): array
        for name, array in tensors.items()
        if name.startswith(("resnet.embedder.", "resnet.encoder."))
    }
    save_file(encoder, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    return tmp_path


def with_settings(folder, **changes):
    (folder / "config.json").write_text(json.dumps({**SETTINGS, **changes}))


def test_a_timm_folder_gives_the_network_and_the_pixels_normalisation(folder):
    network, expected = read_network(folder), read_network(SAVED)
    assert (network.pixel_mean, network.pixel_deviation) == ((0.5,) * 3, (0.25,) * 3)
    assert jax.tree.all(jax.tree.map(np.array_equal, network.params, expected.params))
    assert jax.tree.all(jax.tree.map(np.array_equal, network.batch_stats, expected.batch_stats))
    preprocessor = {"image_mean": [0.1] * 3, "image_std": [0.2] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    assert read_network(folder).pixel_mean == (0.1,) * 3
    for name in ("resnet50.a1_in1k", "tv_resnet34"):
        with_settings(folder, architecture=name)
        read_network(folder)


# The first two have the same tensors as the ResNets that can be read.
@pytest.mark.parametrize("name", ["resnetblur50", "resnetaa50", "ecaresnet50d", "resnetv2_50.x"])
def test_a_residual_network_of_another_form_is_refused_by_its_name(folder, name):
    with_settings(folder, architecture=name)
    with pytest.raises(ValueError, match=f"architecture is {name}, which has another stem"):
        read_network(folder)


@pytest.mark.parametrize("name", ["resnet18d", "seresnet18.x", "resnext50_32x4d", "resnet50c"])
def test_a_variant_without_its_tensors_is_refused(folder, name):
    with_settings(folder, architecture=name)
    with pytest.raises(ValueError, match="and the tensors are of one without"):
        read_network(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_args": {"output_stride": 8}}, "model_args has output_stride"),
        ({"model_args": {"global_pool": "max"}}, "global_pool is 'max'"),
        ({"global_pool": "catavgmax"}, "global_pool is 'catavgmax'"),
        ({"pretrained_cfg": {"global_pool": "max"}}, "global_pool is 'max'"),
    ],
)
def test_settings_that_change_the_features_are_refused(folder, changes, message):
    with_settings(folder, global_pool="avg")
    read_network(folder)
    with_settings(folder, **changes)
    with pytest.raises(ValueError, match=message):
        read_network(folder)
