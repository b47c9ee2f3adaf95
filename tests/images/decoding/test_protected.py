"""Folders are decoded in worker processes, or here with a note: the results are the same."""

import dataclasses
import os
import pathlib
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from examine_jax.images import ImageSet, load_folder, load_images, stream_folder
from examine_jax.images.decoding import worker_pool
from examine_jax.images.decoding.file_tasks import by_name
from tests.support.hostile_tasks import mean_unless_white


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    generator = np.random.default_rng(0)
    for index in range(40):
        pixels = generator.integers(0, 200, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index:02}.png")
    Image.new("L", (12, 12), 255).save(tmp_path / "05 white.png")
    Image.fromarray(generator.integers(0, 4096, (9, 9), dtype=np.uint16)).save(tmp_path / "d.png")
    (tmp_path / "e.png").write_text("no image")
    return tmp_path


def mean(pixels: np.ndarray) -> np.ndarray:
    return np.array([pixels.mean()])


@dataclasses.dataclass(frozen=True)
class Power:
    """A description with a setting."""

    exponent: float

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return np.array([pixels.mean() ** self.exponent, os.getpid()])


def equal(first: ImageSet, second: ImageSet) -> None:
    assert first.names == second.names
    assert first.skipped == second.skipped
    assert first.bits_stored == second.bits_stored
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_a_file_that_crashes_its_decoder_is_listed_and_costs_no_other(
    folder: pathlib.Path,
) -> None:
    images = load_images(folder, image_size=8, describe=mean_unless_white)
    assert images.notes == ()
    listed = {item.name: item.reason for item in images.skipped}
    assert listed["05 white.png"] == "the decoder crashed on this file (SIGABRT)"
    assert len(images) == 41
    others = load_images(folder, image_size=8, describe=mean)
    kept = [row for row, name in enumerate(others.names) if name != "05 white.png"]
    assert images.names == others.take(kept).names
    np.testing.assert_array_equal(images.pixels, others.pixels[kept])
    assert images.descriptions is not None
    assert others.descriptions is not None
    np.testing.assert_array_equal(images.descriptions, others.descriptions[kept])


def test_without_processes_threads_read_the_same_and_a_note_says_so(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_folder(folder, image_size=8)
    streamed = stream_folder(folder, image_size=8, bits_stored=12)[np.arange(42)]
    monkeypatch.setattr(worker_pool, "_idle", worker_pool._Idle())
    monkeypatch.setattr(sys, "executable", "")
    images = load_folder(folder, image_size=8)
    equal(images, expected)
    assert len(images.notes) == 1
    assert "decoded without worker processes (no process can be started" in images.notes[0]
    again = stream_folder(folder, image_size=8, bits_stored=12)[np.arange(42)]
    np.testing.assert_array_equal(again, streamed)


@pytest.mark.parametrize("read", [load_folder, stream_folder])
def test_a_load_that_is_broken_off_leaves_no_threads(
    folder: pathlib.Path, read: Callable[..., Any]
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(folder, image_size=8, bits_stored=12, on_progress=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]


def test_a_function_without_a_name_describes_here(folder: pathlib.Path) -> None:
    images = load_folder(folder, image_size=8, describe=lambda pixels: np.array([os.getpid()]))
    assert images.descriptions is not None
    assert set(images.descriptions[:, 0]) == {os.getpid()}
    assert "describe has no name by which another process can import it" in images.notes[0]


def test_a_named_function_and_its_settings_go_to_the_workers(folder: pathlib.Path) -> None:
    images = load_folder(folder, image_size=8, describe=Power(2.0))
    plain = load_folder(folder, image_size=8, describe=mean)
    assert images.descriptions is not None
    assert plain.descriptions is not None
    np.testing.assert_array_equal(images.descriptions[:, 0], plain.descriptions[:, 0] ** 2)
    assert os.getpid() not in images.descriptions[:, 1]


def test_names_lead_to_what_was_given() -> None:
    assert by_name(None) is None
    assert by_name(mean) == [f"{__name__}:mean", None]
    assert by_name(Power(0.5)) == [f"{__name__}:Power", {"exponent": 0.5}]
    with pytest.raises(ValueError, match="other than numbers"):
        by_name(Power(np.ones(2)))  # type: ignore[arg-type]
    other = type(mean)(mean.__code__, {}, "mean")
    other.__module__, other.__qualname__ = __name__, "mean"
    with pytest.raises(ValueError, match="is not the describe that was given"):
        by_name(other)


def test_a_relative_folder_is_found_by_workers_that_started_elsewhere(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_folder(folder, image_size=8)
    monkeypatch.chdir(folder.parent)
    equal(load_folder(folder.name, image_size=8), expected)
