"""The table of encoders, and encoder.json, which says what a folder does not."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models.weights import read_network
from examine_jax.models.weights.encoder_json import FEATURES, EncoderDescription, read_description
from examine_jax.models.weights.encoder_table import ENCODERS, recognised, table
from examine_jax.models.weights.registry import FAMILIES

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "guide" / "encoders.md"


@pytest.fixture
def saved(tmp_path):
    def copy(name, description):
        folder = tmp_path / name
        shutil.copytree(GOLDEN / name, folder)
        (folder / "encoder.json").write_text(json.dumps(description))
        return folder

    return copy


def test_the_guide_has_the_table():
    assert table() in GUIDE.read_text()


def test_the_guide_names_every_entry_of_encoder_json():
    text = GUIDE.read_text()
    for field in dataclasses.fields(EncoderDescription):
        assert f"`{field.name}`" in text


def test_rows_are_told_apart_by_their_shapes():
    for row in ENCODERS:
        assert row.feature in FEATURES
        arrays = {
            name: np.broadcast_to(np.float32(0), shape) for name, shape in row.tensors.items()
        }
        if arrays:
            assert recognised(arrays) is row
            name = next(iter(arrays))
            assert recognised(arrays | {name: np.zeros(3)}) is not row
            assert recognised(arrays | {name: np.zeros(1) for name in row.absent}) is not row
    assert recognised({"cls_token": np.zeros(3)}) is None


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"color": "grey"}, "color is no entry; there are known, architecture"),
        ({"feature": "best"}, "feature is 'best'; it must be one of class_token, patch_mean"),
        ({"image_size": 0}, "image_size is 0; it must be a whole number from 1"),
        ({"heads": True}, "heads is True"),
        ({"mean": [0.5, "x"], "deviation": [1, 1]}, "mean is .* a number, or a list"),
        ({"mean": [0.5] * 3}, "mean and deviation go together"),
        ({"mean": [0.5] * 3, "deviation": [0.5]}, "different numbers of channels"),
        ({"mean": 0.5, "deviation": 0.0}, "deviation is 0.0; it must be above 0"),
        ({"mean": 0.5, "deviation": float("nan")}, "deviation is nan"),
        ({"weights": "../other.safetensors"}, "weights is .* the name of a file in the same"),
        ({"configuration": [1]}, "configuration is .* an object"),
        ({"ignored": "decoder"}, "ignored is 'decoder'; it must be a list of texts"),
        ({"resize": "crop"}, "resize is 'crop'; it must be one of squash, shorter_side"),
        ({"interpolation": "cubic"}, "it must be one of nearest, bilinear, bicubic, lanczos"),
        ({"resize_side": 256}, 'resize_side is for "resize": "shorter_side"; give both'),
        ({"note": ""}, "note is ''; it must be a text"),
    ],
)
def test_an_encoder_json_that_cannot_be_right_is_refused(tmp_path, description, message):
    (tmp_path / "encoder.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=rf"encoder.json.*{message}"):
        read_description(tmp_path)


def test_encoder_json_goes_before_the_folder_s_files(saved):
    description = {
        "mean": [0.1, 0.2],
        "deviation": [0.3, 0.4],
        "image_size": 30,
        "feature": "class_and_mean",
        "heads": 2,
        "configuration": {"layer_norm_eps": 1e-3, "hidden_act": "quick_gelu"},
        "note": "of our hospital",
        "resize": "squash",
    }
    folder = saved("weights/vit", description)
    network = read_network(folder)
    assert (network.pixel_mean, network.pixel_deviation) == ((0.1, 0.2), (0.3, 0.4))
    encoder = network.encoder
    assert (encoder.image_size, encoder.pooling, encoder.heads) == (30, "class_and_mean", 2)
    assert (encoder.layer_norm_epsilon, encoder.mlp) == (1e-3, "quick_gelu")
    assert encoder.features == 2 * encoder.width
    assert read_network(folder, image_size=36).encoder.image_size == 36


@pytest.mark.parametrize(
    ("name", "description", "message"),
    [
        ("weights/vit", {"mean": [0.5] * 3, "deviation": [0.5] * 3}, "takes 2 channels"),
        ("weights/vit", {"feature": "attention"}, "feature: ViTConfig: pooling='attention' needs"),
        ("weights/resnet_basic", {"feature": "class_token"}, "a ResNet has one feature alone"),
        ("weights/vit", {"known": "nobody"}, "known is 'nobody'; the table has phikon"),
        ("weights/vit", {"weights": "other.safetensors"}, "has no other.safetensors"),
        ("weights/vit", {"prefix": "nowhere."}, "no tensor whose name begins with 'nowhere.'"),
    ],
)
def test_an_encoder_json_that_does_not_fit_the_folder_is_refused(saved, name, description, message):
    with pytest.raises(ValueError, match=message):
        read_network(saved(name, description))


def test_a_prefix_and_tensors_of_something_else_are_left_out(saved):
    folder = saved("weights/vit", {"prefix": "model.", "ignored": ["teacher_head."]})
    expected = read_network(GOLDEN / "weights/vit").params
    tensors = load_file(folder / "model.safetensors")
    tensors = {f"model.{name}": array for name, array in tensors.items()}
    tensors |= {"optimiser.x": np.ones(3), "model.teacher_head.x": np.ones(3)}
    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "encoder.safetensors")
    description = {"prefix": "model.", "ignored": ["teacher_head."]}
    description["weights"] = "encoder.safetensors"
    (folder / "encoder.json").write_text(json.dumps(description))
    assert jax.tree.all(jax.tree.map(np.array_equal, read_network(folder).params, expected))


def test_a_row_s_configuration_is_what_its_family_reads():
    for row in ENCODERS:
        if row.configuration:
            kinds = [family for family in FAMILIES if family.recognises(row.configuration)]
            assert len(kinds) == 1, row.name


def test_a_known_encoder_s_facts_fill_what_its_folder_leaves_open(saved):
    folder = saved("weights/dinov2", {"known": "midnight"})
    settings = json.loads((folder / "config.json").read_text())
    network = read_network(folder, image_size=settings["image_size"])
    assert network.known == "midnight"
    assert network.encoder.pooling == "class_and_mean"
    assert network.pixel_mean == (0.5, 0.5, 0.5)
    # The folder's own file goes before the table, and encoder.json before both.
    preprocessor = {"image_mean": [0.1] * 3, "image_std": [0.2] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    assert read_network(folder, image_size=24).pixel_mean == (0.1,) * 3
    (folder / "encoder.json").write_text(
        json.dumps({"known": "midnight", "mean": 0.3, "deviation": 0.4, "feature": "patch_mean"})
    )
    network = read_network(folder, image_size=24)
    assert (network.pixel_mean, network.encoder.pooling) == ((0.3,), "mean")
