"""A describing function that was edited and reloaded runs in its new version, in workers too."""

import importlib
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from examine_jax.images import load_images
from examine_jax.images.decoding.module_versions import module_versions
from examine_jax.images.decoding.resize import to_grey

DESCRIBE = """
import numbers_of_mine
def describe(pixels):
    return [{}, numbers_of_mine.value()]
"""
NUMBER = "def value(): return {}"


class Modules:
    """Two modules, the second of which the first uses, and an image."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        (folder / "images").mkdir()
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "images" / "a.png")

    def write(self, describe: int, number: int) -> None:
        (self.folder / "describe_of_mine.py").write_text(DESCRIBE.format(describe))
        (self.folder / "numbers_of_mine.py").write_text(NUMBER.format(number))

    def reload(self, *names: str) -> None:
        for name in names:
            importlib.reload(importlib.import_module(name))

    def found(self) -> tuple[list[float], tuple[str, ...]]:
        """What is described, and the notes."""
        describe = importlib.import_module("describe_of_mine").describe
        images = load_images(self.folder / "images", image_size=4, describe=describe)
        assert images.descriptions is not None
        return images.descriptions[0].tolist(), images.notes


@pytest.fixture
def modules(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Modules:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("describe_of_mine", "numbers_of_mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    modules = Modules(tmp_path)
    modules.write(1, 2)
    return modules


def test_a_reloaded_function_runs_in_its_new_version(modules: Modules) -> None:
    assert modules.found() == ([1, 2], ())
    modules.write(111, 2)
    modules.reload("describe_of_mine")
    assert modules.found() == ([111, 2], ())
    modules.write(111, 222)
    modules.reload("numbers_of_mine")
    assert modules.found() == ([111, 222], ())
    assert modules.found() == ([111, 222], ())


def test_a_function_that_was_edited_and_not_reloaded_runs_here(modules: Modules) -> None:
    assert modules.found() == ([1, 2], ())
    modules.write(1, 222)
    described, notes = modules.found()
    assert described == [1, 2]
    assert len(notes) == 1
    assert "numbers_of_mine.py was edited after its import; reload numbers_of_mine" in notes[0]
    modules.reload("numbers_of_mine")
    assert modules.found() == ([1, 222], ())


def test_installed_modules_are_taken_as_unchanged() -> None:
    for function in (to_grey, np.mean, len, pathlib.Path("a"), 3):
        assert module_versions(function) == ()
