"""Stages: computed once, kept whole, refused where damaged."""

import errno
import os
import pathlib

import numpy as np
import pytest

from examine_jax.studies.common import kept


def test_what_is_there_is_not_computed_again_and_reads_the_same(tmp_path: pathlib.Path) -> None:
    calls = []

    def compute() -> dict:
        calls.append(1)
        return {"values": [0.1, 1 / 3], "none": None}

    first = kept.json(tmp_path / "deep" / "a.json", compute)
    assert (
        first
        == kept.json(tmp_path / "deep" / "a.json", compute)
        == {"values": [0.1, 1 / 3], "none": None}
    )
    assert len(calls) == 1
    made = {"x": np.arange(3.0)}
    np.testing.assert_array_equal(kept.arrays(tmp_path / "a.npz", lambda: made)["x"], made["x"])
    np.testing.assert_array_equal(kept.arrays(tmp_path / "a.npz", dict)["x"], made["x"])


@pytest.mark.parametrize("links", [True, False])
def test_of_two_processes_that_compute_the_same_both_take_what_was_written_first(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*paths: object) -> None:
        raise PermissionError(
            errno.EPERM, "Operation not permitted"
        )  # as a file system without hard links does

    if not links:
        monkeypatch.setattr(os, "link", refuse)

    def beaten(stage, first, mine):  # type: ignore[no-untyped-def]
        def compute() -> dict:
            stage(tmp_path / stage.__name__, lambda: first)  # the other one is faster
            return mine

        return stage(tmp_path / stage.__name__, compute)

    assert beaten(kept.json, {"steps": 1}, {"steps": 2}) == {"steps": 1}
    assert beaten(kept.arrays, {"x": np.arange(3)}, {"x": np.arange(4)})["x"].tolist() == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failed_stage_leaves_nothing(tmp_path: pathlib.Path) -> None:
    def fail() -> dict:
        raise RuntimeError("killed")

    for stage in (kept.json, kept.arrays):
        with pytest.raises(RuntimeError):
            stage(tmp_path / "x", fail)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"PK\x03\x04"])
def test_a_damaged_file_is_named_with_its_remedy(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    for stage in (kept.json, kept.arrays):
        with pytest.raises(ValueError, match=r"x .*delete it"):
            stage(tmp_path / "x", dict)


def test_seeds_that_are_there_and_not_named_are_told(tmp_path: pathlib.Path) -> None:
    assert kept.other_seeds(tmp_path / "nowhere", (0,)) == ()
    for name in ("seed_1", "seed_10", "seed_2", "seed_x", "steps"):
        (tmp_path / name).mkdir()
    assert kept.other_seeds(tmp_path, (0, 2)) == (1, 10)
