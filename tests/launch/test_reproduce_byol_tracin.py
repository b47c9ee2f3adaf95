"""The study's command: refused in one line where it cannot do what is asked, and whole on two small folders."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.images import official_miniatures as miniatures

ROOT = pathlib.Path(__file__).parents[2]


def reproduce(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "launch.reproduce_byol_tracin", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("folders")
    for number in range(40):
        miniatures.draw(folder / "first" / "ab"[number % 2] / f"{number}.png", number % 2)
        miniatures.draw(folder / "second" / "xyz"[number % 3] / f"{number}.png", number % 3)
    miniatures.isic_2019(folder / "isic")
    (folder / "isic" / "ISIC_2019_Training_GroundTruth.csv").unlink()
    return folder


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--workdir=FOLDER is missing"),
        (("--workdir=OUT",), "--images=FOLDER is missing"),
        (("--workdir=OUT", "--images=IN/first"), "--transfer_images=FOLDER is missing"),
        (("--workdir=OUT", "--images=IN/first", "--transfer_images=IN/second", "--methods=moco"), "out of byol"),
        (("--workdir=OUT", "--images=IN/isic", "--transfer_images=IN/second", "--layout=isic_2019"), "is missing"),
    ],
)
def test_one_line_says_what_to_do_and_nothing_is_written(
    tmp_path: pathlib.Path, folders: pathlib.Path, arguments: tuple[str, ...], reason: str
) -> None:
    here = [text.replace("OUT", str(tmp_path / "out")).replace("=IN", f"={folders}") for text in arguments]
    code, errors = reproduce(*here)
    lines = [line for line in errors.splitlines() if line.startswith("reproduce-byol-tracin: ")]
    assert code == 1
    assert len(lines) == 1
    assert reason in lines[0]
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()


def test_two_small_folders_run_to_the_page(tmp_path: pathlib.Path, folders: pathlib.Path) -> None:
    arguments = [f"--images={folders / 'first'}", f"--transfer_images={folders / 'second'}", f"--workdir={tmp_path}"]
    arguments += ["--steps=2", "--batch_size=4", "--epochs=1", "--seeds=0", "--methods=byol_tracin"]
    code, errors = reproduce(*arguments)
    assert code == 0, errors
    assert "1 seeds x 1 pre-trainings" in errors
    assert "1 of 1 seeds are done" in errors
    assert (tmp_path / "byol_tracin.html").exists()
