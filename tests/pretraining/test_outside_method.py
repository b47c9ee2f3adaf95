"""A method that is defined outside the package is trained by name, saved, read back and shown."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from examine_jax.encoders import load_encoder
from examine_jax.encoders.train import train_and_save
from examine_jax.models import Architecture, ViTConfig
from examine_jax.pretraining import method_preset, preset_names
from tests.support.commands import run_here
from tests.support.outside_method import Brightness
from tests.support.tiny_architecture import TINY

NAME = "tests.support.outside_method:BRIGHTNESS"


def test_it_is_trained_saved_and_read(tmp_path: pathlib.Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    encoder_config = ViTConfig(
        image_size=16, patch_size=8, channels=3, width=4, depth=1, heads=1, mlp_width=4
    )
    method, training = method_preset(NAME, Architecture(encoder_config, None), steps=3)
    assert method == Brightness(encoder_config, steps=3)
    encoder, history = train_and_save(
        method, (images,), training, tmp_path, architecture="small", progress=False
    )
    assert len(history) == 3
    assert encoder.state == {}, "what `to_save` leaves out is not kept"
    again = load_encoder(
        tmp_path / "encoder", method=dataclasses.replace(method, counts_batches=False)
    )
    assert jax.tree.all(jax.tree.map(np.array_equal, again.params, encoder.params))
    np.testing.assert_array_equal(again.embed(images), encoder.embed(images))
    with pytest.raises(ValueError, match=r"'Brightness' is none of the known.*method="):
        load_encoder(tmp_path / "encoder")


def test_the_command_trains_it_and_its_page_shows_its_pictures(tmp_path: pathlib.Path) -> None:
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    for index in range(5):
        Image.fromarray(generator.integers(0, 256, (16, 16, 3), np.uint8)).save(
            tmp_path / "images" / f"{index}.png"
        )
    flags = [
        f"--images={tmp_path / 'images'}",
        f"--architecture={TINY}",
        "--image_size=16",
        "--steps=2",
        "--watch_every=0",
        "--device=cpu",
    ]
    code, output = run_here("pretrain", f"--method={NAME}", f"--workdir={tmp_path / 'out'}", *flags)
    assert code == 0, output
    kept = json.loads((tmp_path / "out" / "encoder" / "config.json").read_text())
    assert (kept["method"]["type"], kept["method"]["steps"]) == ("Brightness", 2)
    assert "Half as bright." in (tmp_path / "out" / "training.html").read_text(encoding="utf-8")
    with Image.open(tmp_path / "out" / "darker.png") as shown:
        assert shown.width >= 400


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tests.nowhere:BRIGHTNESS", "cannot be imported"),
        ("tests.support.outside_method:DARKNESS", "cannot be imported"),
        ("tests.support.outside_method:Brightness", "it must be a NamedMethod"),
    ],
)
def test_what_is_no_method_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preset_names(name)
