"""No command replaces a file that it reads."""

import pathlib

import pytest

from examine_jax.jobs.embed import embed_images
from examine_jax.jobs.value.value import WRITTEN, ValueFiles

REFUSED = "is read and would be overwritten"


@pytest.mark.parametrize("written", ["images.npy", "images.names.csv", "images.skipped.csv"])
def test_embed(tmp_path: pathlib.Path, written: str) -> None:
    with pytest.raises(ValueError, match=REFUSED):
        embed_images(tmp_path / written, tmp_path / "encoder", tmp_path / "images.npy")


@pytest.mark.parametrize("written", WRITTEN)
def test_value(tmp_path: pathlib.Path, written: str) -> None:
    with pytest.raises(ValueError, match=REFUSED):
        ValueFiles(workdir=tmp_path, features=tmp_path / "f.npy", labels=tmp_path / written)
