"""The study's command, refused in one line where it cannot do what is asked."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def reproduce(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "launch.reproduce_low_resource", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--workdir=FOLDER is missing"),
        (("--workdir=OUT",), "--images=NAME=SOURCE is missing"),
        (("--workdir=OUT", "--images=tiles"), "--images takes NAME=SOURCE"),
        (("--workdir=OUT", "--images=tiles=D", "--labels=other=L.csv"), "the sets are tiles"),
        (("--workdir=OUT", "--images=tiles=D", "--seeds=a"), "--seeds takes numbers"),
        (("--workdir=OUT", "--images=tiles=D", "--batch_sizes=8"), "table_batch 64 is none of"),
        (("--workdir=OUT", "--images=tiles=D", "--methods=nothing"), "once each, of"),
    ],
)
def test_one_line_says_what_to_do_and_nothing_is_written(
    tmp_path: pathlib.Path, arguments: tuple[str, ...], reason: str
) -> None:
    code, errors = reproduce(*[text.replace("OUT", str(tmp_path / "out")) for text in arguments])
    lines = [line for line in errors.splitlines() if line.startswith("reproduce-low-resource: ")]
    assert code == 1
    assert len(lines) == 1
    assert reason in lines[0]
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()
