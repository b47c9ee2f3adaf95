"""The budget study's command, refused in one line where it cannot do what is asked."""

import pathlib

import numpy as np
import pytest

from tests.support.commands import run_here


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--workdir=FOLDER is missing"),
        (("--workdir=OUT",), "--images=PATH is missing"),
        (("--workdir=OUT", "--images=I.npz", "--artefacts=mri"), "artefacts 'mri'"),
        (("--workdir=OUT", "--images=I.npz", "--strategies=best"), "unknown strategy 'best'"),
        (("--workdir=OUT", "--images=I.npz", "--budgets=0.1,0.05"), "ascending"),
        (("--workdir=OUT", "--images=I.npz", "--encoders=resnet"), "encoders resnet"),
        (("--workdir=OUT", "--images=I.npz", "--steps=5", "--minutes=1"), "either steps or"),
        (("--workdir=OUT", "--images=I.npz", "--encoder=E", "--steps=5"), "leave out --steps"),
        (("--workdir=OUT", "--images=I.npz"), "one label an image"),
    ],
)
def test_one_line_says_what_to_do_and_nothing_is_written(
    tmp_path: pathlib.Path, arguments: tuple[str, ...], reason: str
) -> None:
    np.savez(
        tmp_path / "I.npz", np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    )
    here = [
        text.replace("OUT", str(tmp_path / "out")).replace("I.npz", str(tmp_path / "I.npz"))
        for text in arguments
    ]
    code, errors = run_here("reproduce_budget", *here)
    lines = [line for line in errors.splitlines() if line.startswith("reproduce-budget: ")]
    assert code == 1
    assert len(lines) == 1
    assert reason in lines[0]
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()
