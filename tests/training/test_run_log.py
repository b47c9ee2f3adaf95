"""metrics.jsonl, read back as it was written."""

import json
import math
import pathlib

import pytest

from examine_jax.training.run_log import append_history, read_history, write_history


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def test_what_is_no_number_is_null_in_the_file_and_nan_when_read(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "metrics.jsonl"
    write_history(file, [{"step": 1, "loss": 0.5, "right": math.nan}])
    append_history(file, [{"step": 2, "loss": 0.1 + 0.2, "right": 1.0}])
    for line in file.read_text().splitlines():
        json.loads(line, parse_constant=_no_constant)
    first, second = read_history(file, 2)
    assert first == {"step": 1, "loss": 0.5, "right": pytest.approx(math.nan, nan_ok=True)}
    assert second == {"step": 2, "loss": 0.1 + 0.2, "right": 1.0}


def test_a_line_that_was_cut_short_ends_the_history(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert read_history(file, 5) == [{"step": 1}, {"step": 2}]
    assert read_history(file, 1) == [{"step": 1}]
