"""The transfer study's command, refused in one line where it cannot do what is asked."""

import pathlib

import numpy as np
import pytest

from tests.support.commands import run_here


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--workdir=OUT",), "--images=PATH is missing"),
        (("--workdir=OUT", "--images=I.npz"), "--encoders=FOLDER,… and --source=PATH are missing"),
        (("--workdir=OUT", "--images=I.npz", "--source=I.npz"), "both the source and the target"),
        (("--workdir=OUT", "--images=I.npz", "--encoders=NONE"), "NONE"),
        (("--workdir=OUT", "--images=I.npz", "--source=S", "--shares=0.1,0.05"), "ascending"),
        (("--workdir=OUT", "--images=I.npz", "--source=S", "--uses=tuned"), "uses tuned"),
        (("--workdir=OUT", "--images=I.npz", "--source=S", "--lora_rank=4"), "LoRA"),
        (("--workdir=OUT", "--images=I.npz", "--source=S", "--distributed"), "launch.pretrain"),
        (("--workdir=OUT", "--images=I.npz", "--source=S", "--steps=3"), "one label an image"),
        (("--workdir=OUT", "--images=I.npz", "--source=S"), "one label an image"),
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
    code, errors = run_here("reproduce_transfer", *here)
    lines = [line for line in errors.splitlines() if line.startswith("reproduce-transfer: ")]
    assert code == 1
    assert len(lines) == 1, errors
    assert reason in lines[0]
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()
