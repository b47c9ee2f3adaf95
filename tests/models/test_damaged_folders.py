"""Damaged and disguised files of a folder: one line that names the file, the value, the remedy."""

import json
import pathlib
import pickle
import shutil
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models.weights import read_network

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path):
    return pathlib.Path(shutil.copytree(GOLDEN / "weights" / "vit", tmp_path / "vit"))


def refused(folder: pathlib.Path, file: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_network(folder)
    told = str(caught.value)
    assert str(folder / file) in told
    assert "\n" not in told
    assert len(told) < 1000


def header(content, body: bytes = b"") -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(kind: str, shape: list[int], start: int, end: int) -> dict:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 1 << 63) + b"{}",
        b"\x05\x00\x00",
        header([1, 2]),
        header({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)),
        header({"a": entry("F32", [-2], 0, 8)}, bytes(8)),
        header({"a": entry("F32", [1 << 62, 4], 0, 8)}, bytes(8)),
        header({"a": entry("F32", [2], 0, 8)}, bytes(4)),
        header({"a": entry("unknown", [2], 0, 8)}, bytes(8)),
    ],
)
def test_damaged_safetensors_are_to_be_fetched_again(folder, content):
    (folder / WEIGHTS).write_bytes(content)
    refused(folder, WEIGHTS, "not a readable safetensors file: .*; if it was downloaded or copied")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04" + bytes(60), "a zip archive .* rename it to .pth"),
        (pickle.dumps({"weight": [1.0]}, protocol=2), "a pickle under another name: rename it"),
        (pickle.dumps({"weight": [1.0]}, protocol=4), "a pickle under another name: rename it"),
        (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5"),
        (b"GGUF" + bytes(60), "a GGUF file under another name: take the owner's safetensors"),
        (b"\x1f\x8b\x08" + bytes(60), "compressed by gzip: unpack it"),
    ],
)
def test_other_files_under_the_name_of_safetensors_are_named(folder, content, message):
    (folder / WEIGHTS).write_bytes(content)
    refused(folder, WEIGHTS, message)


@pytest.mark.parametrize("kind", ["I64", "BOOL", "C64"])
def test_a_tensor_without_floating_point_numbers_is_named(folder, kind):
    width = {"I64": 8, "BOOL": 1, "C64": 8}[kind]
    content, body = {}, b""
    for number, (name, array) in enumerate(load_file(folder / WEIGHTS).items()):
        data = bytes(array.size * width) if number == 3 else array.astype(np.float32).tobytes()
        of_kind = kind if number == 3 else "F32"
        content[name] = entry(of_kind, list(array.shape), len(body), len(body) + len(data))
        body += data
    (folder / WEIGHTS).write_bytes(header(content, body))
    refused(folder, WEIGHTS, rf"the tensor \S+ is {kind}, the network asks for floating-point")


def test_an_empty_tensor_that_is_needed_is_refused_and_another_is_not(folder):
    tensors = dict(load_file(folder / WEIGHTS))
    save_file({**tensors, "nothing": np.zeros((0, 3), np.float32)}, folder / WEIGHTS)
    read_network(folder)
    name = next(name for name in tensors if name.endswith("projection.bias"))
    save_file({**tensors, name: np.zeros(0, np.float32)}, folder / WEIGHTS)
    refused(folder, WEIGHTS, r"projection.bias is \[0\], the network asks for \[16\]")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_size", 10**400, "hidden_size is 1000.*; it must be a whole number from 1 to"),
        ("hidden_size", True, "hidden_size is True; it must be"),
        ("num_hidden_layers", 10**9, "num_hidden_layers is 1000000000; it must be"),
        ("image_size", 10**9, "image_size is 1000000000; it must be"),
        ("image_size", [24, 24, 24], r"image_size is \[24, 24, 24\]; it must .*squares alone"),
        ("num_attention_heads", 3, r"width 16 must be a multiple of .* heads \(3\)"),
        ("layer_norm_eps", float("nan"), "layer_norm_eps is nan; it must be a number from 0"),
        ("layer_norm_eps", 10**400, "layer_norm_eps is 1000.*; it must be a number from 0"),
    ],
)
def test_a_number_that_cannot_be_is_named(folder, field, value, message):
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stored, field: value}))
    refused(folder, "config.json", message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2]", "it holds a list"),
        ('{"model_type": "vit"}'.encode("utf-16"), "not in UTF-8 .* save it in UTF-8"),
        (b'{"model_type": "vit", "model_type": "dinov2"}', "it says model_type twice; leave one"),
        (b'{"hidden_size": ' + b"9" * 5000 + b"}", "is not readable JSON"),
        (b"[" * 100_000, "is not readable JSON"),
    ],
)
def test_a_configuration_that_is_no_object_of_settings_is_refused(folder, content, message):
    (folder / "config.json").write_bytes(content)
    refused(folder, "config.json", message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"heads": 2, "heads": 4}', "it says heads twice"),
        ('{"mean": 1' + "0" * 400 + ', "deviation": 1}', "mean is 1000.*; it must be a number"),
        (
            '{"image_size": 6000000}',
            "image_size is 6000000; it must be a whole number from 1 to 8192",
        ),
        ('{"mean": NaN, "deviation": 1}', "mean is nan; it must be a number"),
        ('{"weights": "../x.safetensors"}', "the name of a file in the same folder"),
        ('{"weights": "/x.safetensors"}', "the name of a file in the same folder"),
    ],
)
def test_an_encoder_json_that_cannot_be_is_refused(folder, content, message):
    (folder / "encoder.json").write_text(content)
    refused(folder, "encoder.json", message)


def test_an_image_size_whose_positions_fill_all_memory_is_refused(folder):
    with pytest.raises(ValueError, match=r"image_size is 6000000; .* from 1 to 8192"):
        read_network(folder, image_size=6_000_000)


def test_a_link_to_a_file_elsewhere_is_followed_as_caches_of_downloads_have_them(folder, tmp_path):
    shutil.move(folder / WEIGHTS, tmp_path / "blob")
    (folder / WEIGHTS).symlink_to(tmp_path / "blob")
    read_network(folder)
    (tmp_path / "blob").unlink()
    with pytest.raises(ValueError, match=f"{folder} has no {WEIGHTS}"):
        read_network(folder)
