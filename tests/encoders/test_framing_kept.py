"""A saved encoder keeps how images come to its size."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from examine_jax.encoders import load_encoder, save_encoder
from examine_jax.encoders.base import load_base
from examine_jax.encoders.save import framing_of
from examine_jax.images.decoding.framing import Framing

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "weights"
FRAMING = Framing(24, "shorter_side", "bicubic", 30)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder that was made of another library's, whose images are cut."""
    folder = tmp_path_factory.mktemp("framed")
    shutil.copytree(GOLDEN / "vit", folder / "theirs")
    said = {"resize": "shorter_side", "resize_side": 30, "interpolation": "bicubic"}
    (folder / "theirs" / "encoder.json").write_text(json.dumps(said))
    encoder = load_encoder(folder / "theirs")
    assert encoder.framing == FRAMING
    parts = (encoder.method, encoder.params, encoder.state, encoder.training)
    save_encoder(folder / "ours", *parts, framing=encoder.framing)
    save_encoder(folder / "squashed", *parts)
    return folder


def test_it_is_read_again(saved):
    assert load_encoder(saved / "ours").load_size == FRAMING
    assert load_encoder(saved / "squashed").load_size == 24
    assert "framing" not in json.loads((saved / "squashed" / "config.json").read_text())


@pytest.mark.parametrize(("size", "side"), [(30, 38), (48, 60), (18, 22)])
def test_at_another_size_the_same_part_of_an_image_is_seen(saved, size, side):
    # 30 of 24 pixels, whoever wrote the folder: Python rounds 37.5 to 38 and 22.5 to 22.
    expected = Framing(size, "shorter_side", "bicubic", side)
    for folder in ("ours", "theirs"):
        encoder = load_base(saved / folder, image_size=size).encoder
        assert encoder.framing == encoder.load_size == expected
    assert load_encoder(saved / "theirs", image_size=size).framing == expected
    assert load_base(saved / "squashed", image_size=size).encoder.load_size == size


def test_a_side_belongs_to_the_size_that_is_asked_where_a_folder_says_none(tmp_path):
    def norm(name):
        parts = ("weight", "bias", "running_mean", "running_var")
        return {f"{name}.{part}": np.ones(8, np.float32) for part in parts}

    block = "layer1.0"
    tensors = {"conv1.weight": np.ones((8, 3, 3, 3), np.float32), **norm("bn1")}
    for i in (1, 2):
        tensors[f"{block}.conv{i}.weight"] = np.ones((8, 8, 3, 3), np.float32)
        tensors |= norm(f"{block}.bn{i}")
    save_file(tensors, tmp_path / "model.safetensors")
    said = {"architecture": "resnet18", "mean": 0.5, "deviation": 0.5}
    said |= {"resize": "shorter_side", "resize_side": 40}
    (tmp_path / "encoder.json").write_text(json.dumps(said))
    encoder = load_encoder(tmp_path, image_size=32)
    assert encoder.framing == Framing(32, "shorter_side", "lanczos", 40)
    with pytest.raises(ValueError, match="say of which size"):
        load_encoder(tmp_path)


def test_an_encoder_at_another_size_is_saved_and_exported_with_its_crop(saved, tmp_path):
    base = load_base(saved / "ours", image_size=48)
    encoder = base.encoder
    parts = (encoder.method, encoder.params, encoder.state)
    save_encoder(tmp_path / "larger", *parts, framing=encoder.framing)
    assert load_encoder(tmp_path / "larger").load_size == Framing(48, "shorter_side", "bicubic", 60)
    assert framing_of(encoder) == encoder.framing
    assert base.fingerprint == load_base(saved / "theirs").fingerprint


def test_a_shorter_side_that_grows_too_long_is_refused(saved):
    for folder in ("ours", "theirs"):
        with pytest.raises(ValueError, match=r"6000000.* from 1 to 8192"):
            load_base(saved / folder, image_size=6_000_000)
    with pytest.raises(ValueError, match=r"ours at 7200 pixels: .*must be 7200 .* to 8192"):
        load_base(saved / "ours", image_size=7200)


def test_a_framing_of_another_size_is_refused(saved, tmp_path):
    encoder = load_encoder(saved / "ours")
    parts = (encoder.method, encoder.params, encoder.state)
    with pytest.raises(ValueError, match="framing makes images of 32 pixels, the encoder takes 24"):
        save_encoder(tmp_path / "other", *parts, framing=Framing(32))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ([1, 2], "it must be an object as it was written"),
        ({"type": "Framing"}, "Framing lacks the field 'size'"),
        ({"type": "Framing", "size": 24, "side": 30}, "side=30 is for the rule shorter_side"),
        ({"type": "Framing", "size": 32}, "makes images of 32 pixels"),
        ({"type": "Ratio", "size": 24}, "'Ratio' is none of the known settings"),
    ],
)
def test_a_damaged_framing_names_the_file(saved, tmp_path, stored, message):
    folder = pathlib.Path(shutil.copytree(saved / "ours", tmp_path / "damaged"))
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "framing": stored}))
    with pytest.raises(ValueError, match=message) as caught:
        load_encoder(folder)
    assert str(folder / "config.json") in str(caught.value)
