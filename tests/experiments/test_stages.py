"""Stages: computed once, kept whole, refused where damaged."""

import pathlib

import numpy as np
import pytest

from examine_jax.experiments.stages import arrays, record


def test_what_is_there_is_not_computed_again_and_reads_the_same(tmp_path: pathlib.Path) -> None:
    calls = []

    def compute() -> dict:
        calls.append(1)
        return {"values": [0.1, 1 / 3], "none": None}

    first = record(tmp_path / "deep" / "a.json", compute)
    assert first == record(tmp_path / "deep" / "a.json", compute) == {"values": [0.1, 1 / 3], "none": None}
    assert len(calls) == 1
    made = {"x": np.arange(3.0)}
    np.testing.assert_array_equal(arrays(tmp_path / "a.npz", lambda: made)["x"], made["x"])
    np.testing.assert_array_equal(arrays(tmp_path / "a.npz", dict)["x"], made["x"])


def test_a_failed_stage_leaves_nothing(tmp_path: pathlib.Path) -> None:
    def fail() -> dict:
        raise RuntimeError("killed")

    for stage in (record, arrays):
        with pytest.raises(RuntimeError):
            stage(tmp_path / "x", fail)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"PK\x03\x04"])
def test_a_damaged_file_is_named_with_its_remedy(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    for stage in (record, arrays):
        with pytest.raises(ValueError, match=r"x .*delete it"):
            stage(tmp_path / "x", dict)
