"""Folders of weights that are sharded, stand for others, or hold none that can be read."""

import argparse
import ast
import json
import pathlib
import pickle
import re
import shlex
import shutil
import struct
import zipfile

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.encoders import load_encoder
from examine_jax.models.weights import read_network

SAVED = pathlib.Path(__file__).parents[1] / "golden" / "weights"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(SAVED / "vit", tmp_path / "vit")
    return tmp_path / "vit"


def shard(folder, change=lambda places: None):
    """Splits the folder's weights into two files; `change` alters the index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    places = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    change(places)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_weights_in_several_files_are_read_as_those_in_one(folder):
    expected = read_network(SAVED / "vit").params
    shard(folder)
    actual = read_network(folder).params
    assert jax.tree.all(jax.tree.map(np.array_equal, actual, expected))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: p.update({next(iter(p)): "model-00003-of-00002.safetensors"}),
            "lists model-00003-of-00002.safetensors, which the folder lacks: download it",
        ),
        (lambda p: p.update({next(iter(p)): "../other.safetensors"}), "no name of a file in the"),
        (lambda p: p.update({next(iter(p)): "..\\other.safetensors"}), "no name of a file in the"),
        (lambda p: p.update({next(iter(p)): 3}), "is in 3, which is no name of a file"),
        (lambda p: p.pop(next(iter(p))), "; model.safetensors.index.json does not list it"),
        (
            lambda p: p.update({next(iter(p)): "model-00002-of-00002.safetensors"}),
            "gives it to model-00002-of-00002.safetensors",
        ),
        (lambda p: p.clear(), "has no weight_map from tensors to files"),
    ],
)
def test_an_index_that_does_not_fit_its_files_is_refused(folder, change, message):
    shard(folder, change)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_network(folder)


def test_an_index_that_lists_a_tensor_twice_is_refused(folder):
    shard(folder)
    text = (folder / INDEX).read_text()
    name = next(iter(json.loads(text)["weight_map"]))
    (folder / INDEX).write_text(text.replace('"weight_map": {', f'"weight_map": {{"{name}": "x", '))
    with pytest.raises(ValueError, match=f"it says {name} twice"):
        read_network(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "is a Git LFS pointer"),
        (b"/annex/objects/SHA256E-s1--1.safetensors\n", "is a git-annex pointer"),
        (b"<!doctype html><html>", "is a web page, not the weights"),
        (b"Access to model x is restricted", "is a refusal of the download"),
        (b"", "is empty: download it again"),
        (b"\x10\x00\x00", "is not a readable safetensors file"),
        # A header said to be longer than any memory, and one with a tensor of 4 TB.
        (struct.pack("<Q", 1 << 62) + b"{}", "is not a readable safetensors file"),
        (
            struct.pack("<Q", 68)
            + b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}  ',
            "is not a readable safetensors file",
        ),
    ],
)
def test_a_file_that_stands_for_the_weights_is_named(folder, content, message):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, ml_dtypes.float8_e4m3fn])
def test_quantised_weights_are_refused(folder, kind):
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name, array in tensors.items() if array.ndim == 2)
    save_file(tensors | {name: tensors[name].astype(kind)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=rf"{name} is .*quantised"):
        read_network(folder)


def test_packed_integers_of_quantised_weights_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    packed = {"vit.encoder.layer.0.mlp.qweight": np.zeros((4, 4), np.int32)}
    save_file(tensors | packed, folder / "model.safetensors")
    with pytest.raises(ValueError, match="qweight is I32: the weights are quantised"):
        read_network(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised .*gptq"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantised"),
        ({"model_type": "clip_text_model"}, "text tower alone"),
        ({"architectures": ["SiglipTextModel"], "model_type": "siglip"}, "text tower alone"),
        ({"architectures": ["ViTMAEForPreTraining"]}, "architectures names ViTMAEForPreTraining"),
        (
            {"architectures": ["BertModel"]},
            "model_type is 'vit', but architectures names BertModel",
        ),
        ({"architecture": "swin_tiny"}, "architecture is 'swin_tiny'; what can be read"),
        ({"new_field": 1}, "the field new_field"),
    ],
)
def test_a_configuration_of_something_else_is_refused(folder, changes, message):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | changes))
    with pytest.raises(ValueError, match=message):
        read_network(folder)


def test_an_adapter_is_refused_also_beside_its_base(folder):
    (folder / "adapter_config.json").write_text("{}")
    for read in (read_network, load_encoder):
        with pytest.raises(ValueError, match="holds an adapter"):
            read(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match="holds an adapter"):
        load_encoder(folder)


def test_a_folder_before_its_terms_were_accepted_says_so(tmp_path):
    (tmp_path / "README.md").write_text("# gated")
    (tmp_path / ".gitattributes").write_text("")
    with pytest.raises(ValueError, match=r"only .gitattributes, README.md: .* accept terms"):
        load_encoder(tmp_path)


def test_the_cache_of_downloads_says_which_folder_to_give(tmp_path):
    (tmp_path / "snapshots" / "abc").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"download cache; give the folder within it: .*abc"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tf_model.h5", "a Keras file"),
        ("flax_model.msgpack", "a Flax file"),
        ("weights.safetensors", r'name it in encoder.json \(\{"weights": "weights.safetensors"\}'),
        ("notes", "has no model.safetensors: download the weights too"),
        ("pytorch_model.bin.index.json", "lists pickles, which are never read"),
    ],
)
def test_a_folder_without_safetensors_says_what_it_has(folder, name, message):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


class _Dangerous:
    """An object whose unpickling writes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return pathlib.Path.touch, (self.target,)


@pytest.mark.parametrize(
    ("content", "expected", "absent"),
    [
        ({"w": 1}, "weights_only=True", "add_safe_globals"),
        ({"args": argparse.Namespace(a=1)}, "add_safe_globals([argparse.Namespace])", "=False"),
        ({"loop": ast.Name("x")}, "weights_only=False", "add_safe_globals"),
    ],
)
def test_a_pickle_s_conversion_is_for_what_the_file_names(tmp_path, content, expected, absent):
    file = tmp_path / "weights.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("weights/data.pkl", pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match="may be a pickle") as caught:
        read_network(file)
    command = shlex.split(str(caught.value).split("installed: ")[1])
    compile(command[2], "command", "exec")
    assert expected in command[2]
    assert absent not in command[2]


def test_nothing_is_unpickled(tmp_path):
    file = tmp_path / "weights.pt"
    file.write_bytes(pickle.dumps(_Dangerous(tmp_path / "written"), protocol=2))
    with pytest.raises(ValueError, match="only if you trust the file"):
        read_network(file)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_may_stay_and_gives_the_same_features(folder, half):
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v.astype(half) for k, v in tensors.items()}, folder / "model.safetensors")
    wide, kept = load_encoder(folder), load_encoder(folder, widen=False)
    types = {leaf.dtype for leaf in jax.tree.leaves(kept.params)}
    assert np.dtype(half) in types
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(kept.params))
    assert size < 0.6 * sum(leaf.nbytes for leaf in jax.tree.leaves(wide.params))
    exact = jax.tree.map(
        lambda a, b: np.array_equal(a.astype(b.dtype), b), kept.params, wide.params
    )
    assert jax.tree.all(exact)
    if half == np.float16:
        return
    shape = (3, wide.image_size, wide.image_size, wide.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(kept.embed(images), wide.embed(images))
