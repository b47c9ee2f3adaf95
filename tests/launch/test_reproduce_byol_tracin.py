"""The study's command: its refusals, and a whole run on two small folders."""

import pathlib

import pytest

from tests.support import official_miniatures as miniatures
from tests.support.commands import run, run_each
from tests.support.tiny_architecture import TINY


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("folders")
    for number in range(20):
        miniatures.draw(folder / "first" / "ab"[number % 2] / f"{number}.png", number % 2)
        miniatures.draw(folder / "second" / "xyz"[number % 3] / f"{number}.png", number % 3)
    for number in range(9):
        miniatures.draw(folder / "odd" / "ab"[number // 8] / f"{number}.png", number % 2)
        miniatures.draw(folder / "loose" / f"{number}.png", number % 2)
    miniatures.isic_2019(folder / "isic")
    (folder / "isic" / "ISIC_2019_Training_GroundTruth.csv").unlink()
    lines = [
        "image,label",
        "nowhere.png,a",
        *(f"{'ab'[number % 2]}/{number}.png,{'ab'[number % 2]}" for number in range(20)),
    ]
    (folder / "missing.csv").write_text("\n".join(lines))
    return folder


BOTH = ["--workdir=OUT", "--images=IN/first", "--transfer_images=IN/second"]
REFUSED = {
    "no workdir": ([], "--workdir=FOLDER is missing"),
    "no images": (["--workdir=OUT"], "--images=FOLDER is missing"),
    "no second set": (
        ["--workdir=OUT", "--images=IN/first"],
        "--transfer_images=FOLDER is missing",
    ),
    "an unknown method": ([*BOTH, "--methods=moco"], "out of byol"),
    "no scorer": ([*BOTH, "--methods=byol_fs_pretrained"], "need a scorer"),
    "a scorer that is not there": ([*BOTH, "--scorer=IN/first"], "is not an encoder's folder"),
    "an unknown architecture": ([*BOTH, "--architecture=vgg"], "vgg"),
    "seeds in words": ([*BOTH, "--seeds=one"], "--seeds takes whole numbers"),
    "steps and minutes": ([*BOTH, "--steps=2", "--minutes=1"], "either steps or minutes"),
    "two lengths of the fine-tuning": (
        [*BOTH, "--epochs=2", "--fine_tuning_steps=9"],
        "either --epochs or",
    ),
    "a class with one image": ([*BOTH, "--images=IN/odd"], "odd: class b has 1 images"),
    "no labels": ([*BOTH, "--images=IN/loose"], "lie in no class's sub-folder"),
    "labels of missing files": ([*BOTH, "--labels=IN/missing.csv"], "nowhere.png"),
    "a layout's file is gone": ([*BOTH, "--images=IN/isic", "--layout=isic_2019"], "is missing"),
    "labels beside a layout": (
        [*BOTH, "--layout=isic_2019", "--labels=IN/missing.csv"],
        "labels and groups of its own",
    ),
}


def test_one_line_says_what_to_do_and_nothing_is_written(
    tmp_path: pathlib.Path, folders: pathlib.Path
) -> None:
    out = tmp_path / "out"
    commands = [
        [flag.replace("=OUT", f"={out}").replace("=IN", f"={folders}") for flag in flags]
        for flags, _ in REFUSED.values()
    ]
    for case, (code, errors) in zip(
        REFUSED, run_each("reproduce_byol_tracin", commands), strict=True
    ):
        lines = [line for line in errors.splitlines() if line.startswith("reproduce-byol-tracin: ")]
        assert code == 1, case
        assert len(lines) == 1, case
        assert REFUSED[case][1] in lines[0], (case, lines[0])
        assert "Traceback" not in errors, case
    assert not out.exists()


@pytest.mark.study
def test_two_small_folders_run_to_the_page(
    tmp_path: pathlib.Path, folders: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Most of the time goes into compiling: it optimises less, and no step is timed.
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    (tmp_path / "seed_7").mkdir()
    (tmp_path / "byol_step.json").write_text('{"seconds_a_step": 60}')
    flags = [
        f"--images={folders / 'first'}",
        f"--transfer_images={folders / 'second'}",
        f"--workdir={tmp_path}",
    ]
    flags += [f"--architecture={TINY}"]
    flags += ["--steps=2", "--batch_size=4", "--epochs=1", "--seeds=0", "--methods=byol_tracin"]
    code, errors = run("reproduce_byol_tracin", *flags)
    assert code == 0, errors
    assert "1 seeds x 1 pre-trainings of 2.0 min or more" in errors
    assert "holds seeds 7 too" in errors
    assert "1 of 1 seeds are done" in errors
    assert "byol_tracin" in (tmp_path / "byol_tracin.html").read_text()
