"""The command's table, exit code and messages (tests/jobs/test_score.py has the values)."""

import csv
import pathlib

import numpy as np
import pytest

from tests.support.commands import run, run_each


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("score")
    np.save(folder / "f.npy", np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32))
    return folder


def test_a_table_a_summary_and_newcomers_against_it(folder: pathlib.Path) -> None:
    features = f"--features={folder / 'f.npy'}"
    code, errors = run(
        "score",
        features,
        f"--output={folder / 's.csv'}",
        "--center",
        f"--save_summary={folder / 'c.npz'}",
        "--device=cpu",
    )
    assert code == 0, errors
    assert "device: cpu" in errors
    assert "40 scored" in errors
    with open(folder / "s.csv", newline="") as stream:
        records = list(csv.DictReader(stream))
    assert list(records[0]) == ["image", "index", "score", "gap", "error_bound", "rank"]
    assert sorted(int(record["rank"]) for record in records) == list(range(1, 41))
    code, errors = run(
        "score", features, f"--output={folder / 'n.parquet'}", f"--against={folder / 'c.npz'}"
    )
    assert code == 0, errors
    assert (folder / "n.parquet").is_file()


REFUSED = [
    (["--features={}/none.npy", "--output={}/x.csv"], "No such file"),
    (["--output={}/x.csv"], "--features=PATH and --output=FILE are both needed"),
    (["--features={}/f.npy", "--output={}/x.csv", "--device=tpu"], "--device=tpu"),
]


def test_an_error_is_one_line_and_an_exit_code(folder: pathlib.Path) -> None:
    answers = run_each("score", [[flag.format(folder) for flag in flags] for flags, _ in REFUSED])
    for (flags, reason), (code, errors) in zip(REFUSED, answers):
        assert code == 1, flags
        lines = [line for line in errors.splitlines() if not line.startswith("device:")]
        assert len(lines) == 1, errors
        assert lines[0].startswith("examine-score: ")
        assert reason in lines[0]
    assert not (folder / "x.csv").exists()
