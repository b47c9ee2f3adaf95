"""Tensors of shapes that belong to no network are refused by a message that names the file."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models.weights import read_network
from tests.support.convolutional_encoders import tensors, write

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
NAME = "layer1.0.conv2.weight"


def _odd_groups() -> dict[str, np.ndarray]:
    arrays = tensors("resnext")
    outputs, _, rows, columns = arrays[NAME].shape
    return {**arrays, NAME: np.zeros((outputs, 3, rows, columns), np.float32)}


def test_groups_that_do_not_divide_name_the_configuration(tmp_path):
    folder = write(tmp_path, "resnext", _odd_groups())
    with pytest.raises(ValueError, match="ResNetConfig: groups 5 do not divide") as caught:
        read_network(folder)
    assert str(caught.value).startswith(str(folder / "config.json"))


def test_a_file_alone_names_itself(tmp_path):
    file = tmp_path / "resnext.safetensors"
    save_file(_odd_groups(), file)
    with pytest.raises(ValueError, match="ResNetConfig: groups 5 do not divide") as caught:
        read_network(file)
    assert str(caught.value).startswith(f"{file}: ")


def test_a_message_that_names_a_file_is_left_as_it_is(tmp_path):
    folder = pathlib.Path(shutil.copytree(GOLDEN / "weights" / "vit", tmp_path / "vit"))
    file = folder / "model.safetensors"
    arrays = load_file(file)
    save_file({name: array[..., :1].copy() for name, array in arrays.items()}, file)
    with pytest.raises(ValueError, match="the network asks for") as caught:
        read_network(folder)
    assert str(caught.value).count(str(folder)) == 1


def test_relative_names_are_told_too(tmp_path, monkeypatch):
    folder = write(tmp_path, "resnext", _odd_groups())
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=r"^config\.json: ResNetConfig"):
        read_network(pathlib.Path())


def test_a_layer_scale_that_is_no_number_is_named(tmp_path):
    folder = GOLDEN / "encoders_beit_eva" / "hf_beit"
    folder = pathlib.Path(shutil.copytree(folder, tmp_path / "beit"))
    content = json.loads((folder / "config.json").read_text())
    content["layer_scale_init_value"] = "small"
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"config.json: layer_scale_init_value is 'small'"):
        read_network(folder)
