"""The command itself: its table, its exit code and what it says. (What is in the table: tests/test_feature_scores.py.)"""

import csv
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]


def _run(*flags: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-m", "launch.score", *flags], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("score")
    np.save(folder / "f.npy", np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32))
    return folder


def test_a_table_a_summary_and_newcomers_against_it(folder: pathlib.Path) -> None:
    features = f"--features={folder / 'f.npy'}"
    done = _run(
        features, f"--output={folder / 's.csv'}", "--center", f"--save_summary={folder / 'c.npz'}", "--device=cpu"
    )
    assert done.returncode == 0, done.stderr
    assert "device: cpu" in done.stderr
    assert "40 scored" in done.stderr
    with open(folder / "s.csv", newline="") as stream:
        records = list(csv.DictReader(stream))
    assert list(records[0]) == ["image", "index", "score", "gap", "error_bound", "rank"]
    assert sorted(int(record["rank"]) for record in records) == list(range(1, 41))
    done = _run(features, f"--output={folder / 'n.parquet'}", f"--against={folder / 'c.npz'}")
    assert done.returncode == 0, done.stderr
    assert (folder / "n.parquet").is_file()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--features={}/none.npy", "--output={}/x.csv"], "No such file"),
        (["--output={}/x.csv"], "--features=PATH and --output=FILE are both needed"),
        (["--features={}/f.npy", "--output={}/x.csv", "--device=tpu"], "--device=tpu"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(folder: pathlib.Path, flags: list[str], reason: str) -> None:
    done = _run(*(flag.format(folder) for flag in flags))
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if not line.startswith("device:")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("examine-score: ")
    assert reason in lines[0]
    assert not (folder / "x.csv").exists()
