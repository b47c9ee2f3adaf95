"""The main job, run as its user runs it."""

import csv
import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from examine_jax.scoring import examine
from tests.support.commands import ROOT, run, run_each, run_here, start
from tests.support.spectra import reference_gaps
from tests.support.tiny_architecture import TINY

QUICK = (f"--architecture={TINY}", "--steps=3", "--batch_size=8")


def read(file: pathlib.Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Sixteen images, two of them alike, and files that only look like images."""
    root = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    names = [f"{i:02d}.png" for i in range(12)] + [
        '<b>&"quoted".png',
        "日本.png",
        "sub/deep.png",
        "=SUM(A1).png",
    ]
    (root / "sub").mkdir()
    for i, name in enumerate(names):
        pixels = generator.integers(0, 255, (30, 30, 3), np.uint8) if i != 1 else pixels
        Image.fromarray(pixels).save(root / name)
    (root / "empty.png").write_bytes(b"")
    (root / "text.png").write_text("not an image")
    (root / "cut.png").write_bytes((root / "00.png").read_bytes()[:200])
    (root / "loop").symlink_to(root)
    return root


@pytest.fixture(scope="module")
def finished(folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp("out")
    code, errors = run_here("assess", f"--images={folder}", f"--workdir={workdir}", *QUICK)
    assert code == 0, errors
    return workdir


def test_every_readable_image_is_scored_and_the_rest_is_listed_with_reasons(
    finished: pathlib.Path,
) -> None:
    rows = read(finished / "scores.csv")
    assert list(rows[0]) == [
        *("image", "index", "score", "gap", "error_bound", "rank"),
        *("modality", "rank_in_modality", "usable", "outlier", "findings"),
    ]
    assert {row["usable"] for row in rows} <= {"0", "1"}
    assert all(float(row["outlier"]) >= 0 for row in rows)
    assert len(rows) == 16
    assert {'<b>&"quoted".png', "日本.png", "sub/deep.png", "=SUM(A1).png"} <= {
        row["image"] for row in rows
    }
    assert sorted(int(row["rank"]) for row in rows) == list(range(1, 17))
    gaps = np.array([float(row["gap"]) for row in rows])
    ranks = np.array([int(row["rank"]) for row in rows])
    np.testing.assert_array_equal(np.argsort(ranks), np.lexsort((np.arange(16), gaps)))
    skipped = {row["image"]: row["reason"] for row in read(finished / "skipped.csv")}
    assert {"empty.png", "text.png", "cut.png"} <= set(skipped)
    assert all(skipped.values())


def test_features_npy_is_the_matrix_that_was_scored(finished: pathlib.Path) -> None:
    features = np.load(finished / "features.npy")
    rows = read(finished / "scores.csv")
    np.testing.assert_array_equal(
        np.array([row["gap"] for row in rows], np.float32), np.asarray(examine(features).gap)
    )
    gaps, _ = reference_gaps(features)
    assert np.abs(np.array([float(row["gap"]) for row in rows]) - gaps).max() <= 1e-6 * gaps.max()


def test_the_page_and_the_pictures_are_there_and_the_settings_are_recorded(
    finished: pathlib.Path,
) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;" in page
    assert "<b>&" not in page
    assert "exact" in page
    for name in (
        "score_distribution",
        "gallery",
        "feature_map",
        "training_loss",
        "reconstructions",
    ):
        with Image.open(finished / f"{name}.png") as picture:
            assert picture.size[0] > 300
    configuration = json.loads((finished / "config.json").read_text())
    assert configuration["settings"]["training"]["batch_size"] == 8
    assert (finished / "encoder" / "config.json").is_file()


def test_the_same_command_again_changes_nothing(
    folder: pathlib.Path, finished: pathlib.Path
) -> None:
    before = (finished / "scores.csv").read_bytes()
    code, errors = run_here("assess", f"--images={folder}", f"--workdir={finished}", *QUICK)
    assert code == 0, errors
    assert (finished / "scores.csv").read_bytes() == before


def test_a_trained_encoder_gives_the_same_scores(
    folder: pathlib.Path, finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    code, errors = run_here(
        "assess",
        f"--images={folder}",
        f"--workdir={tmp_path / 'o'}",
        f"--encoder={finished / 'encoder'}",
    )
    assert code == 0, errors
    assert (tmp_path / "o" / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()


def test_killed_at_any_moment_and_started_again_it_ends_with_the_same_scores(
    folder: pathlib.Path, finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / "o"
    for wait_for in ("config.json", "metrics.jsonl", "encoder"):
        process = start("assess", f"--images={folder}", f"--workdir={workdir}", *QUICK)
        deadline = time.monotonic() + 300
        while (
            not (workdir / wait_for).exists()
            and process.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (workdir / "report.html").exists()
    code, errors = run("assess", f"--images={folder}", f"--workdir={workdir}", *QUICK)
    assert code == 0, errors
    assert "device: cpu" in errors
    assert (workdir / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()


def test_ctrl_c_while_training_saves_and_says_how_to_go_on(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / "o"
    # A shell's background processes ignore the signal, so it is set back.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from launch.assess import main; main()"
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            program,
            f"--images={folder}",
            f"--workdir={workdir}",
            f"--architecture={TINY}",
            "--steps=1000000",
            "--batch_size=8",
            "--device=cpu",
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = workdir / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "steps in" in errors.splitlines()[-1]
    assert "the same command again goes on from there" in errors.splitlines()[-1]
    assert any(step.name.isdigit() for step in (workdir / "checkpoints").iterdir())


def test_noise_levels_are_told_apart_and_compared_with_controls(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    code, errors = run_here(
        "assess",
        f"--images={folder}",
        f"--workdir={tmp_path}",
        "--noise_levels=0,.5,1",
        "--noise_training=clean_then_mixed",
        *QUICK,
    )
    assert code == 0, errors
    levels = [float(row["level"]) for row in read(tmp_path / "noise_levels.csv")]
    assert sorted(set(levels)) == [0, 0.5, 1]
    names = [row["features"] for row in read(tmp_path / "noise_separation.csv")]
    assert names[:4] == ["trained encoder", "untrained encoder", "raw pixels", "channel means"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_made_elsewhere_are_scored_as_they_are(
    tmp_path: pathlib.Path, dtype: type
) -> None:
    features = np.random.default_rng(0).normal(size=(30, 8)).astype(dtype)
    np.save(tmp_path / "f.npy", features)
    code, errors = run_here(
        "assess", f"--features={tmp_path / 'f.npy'}", f"--workdir={tmp_path / 'o'}"
    )
    assert code == 0, errors
    gaps, _ = reference_gaps(features)
    rows = read(tmp_path / "o" / "scores.csv")
    tolerance = 1e-6 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(
        [float(row["gap"]) for row in rows], gaps, rtol=10 * tolerance, atol=tolerance * gaps.max()
    )
    np.testing.assert_array_equal(np.load(tmp_path / "o" / "features.npy"), features)


def test_a_workdir_among_the_images_and_their_repair_leave_no_trace_in_the_next_run(
    tmp_path: pathlib.Path,
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    generator = np.random.default_rng(1)
    for i in range(8):
        Image.fromarray(generator.integers(0, 255, (30, 30, 3), np.uint8)).save(images / f"{i}.png")
    flags = (f"--images={images}", f"--architecture={TINY}", "--steps=1", "--batch_size=8")
    (images / "torn.png").write_bytes(b"")
    for workdir in (images / "sub" / "out", tmp_path / "apart"):
        for _ in range(2):
            code, errors = run_here("assess", f"--workdir={workdir}", *flags)
            assert code == 0, errors
        assert [row["image"] for row in read(workdir / "scores.csv")] == [
            f"{i}.png" for i in range(8)
        ]
    assert {row["image"] for row in read(tmp_path / "apart" / "skipped.csv")} == {
        "torn.png",
        "sub/out/",
    }
    (images / "torn.png").unlink()
    (images / "sub").rename(tmp_path / "sub")
    code, errors = run_here("assess", f"--workdir={tmp_path / 'apart'}", *flags)
    assert code == 0, errors
    assert "skipped" not in errors
    assert not (tmp_path / "apart" / "skipped.csv").exists()


def _case(tmp_path: pathlib.Path, name: str) -> list[str]:
    out = f"--workdir={tmp_path / 'o'}"
    array = tmp_path / "a.npy"
    match name:
        case "no workdir":
            return []
        case "no such folder":
            return [out, f"--images={tmp_path / 'nothing'}"]
        case "no image":
            (tmp_path / "e").mkdir()
            (tmp_path / "e" / "a.png").write_text("no")
            return [out, f"--images={tmp_path / 'e'}"]
        case "one image":
            np.save(array, np.zeros((1, 24, 24, 3), np.uint8))
            return [out, f"--images={array}", "--image_size=24"]
        case "nan features":
            np.save(array, np.array([[1, 2], [np.nan, 1], [3, 4]], np.float32))
            return [out, f"--features={array}"]
        case "flat features":
            np.save(array, np.zeros(5, np.float32))
            return [out, f"--features={array}"]
        case "pickled features":
            np.save(array, np.array([{"a": 1}], object), allow_pickle=True)
            return [out, f"--features={array}"]
        case "no gpu":
            return [out, "--device=gpu"]
        case "unknown architecture":
            return [out, "--architecture=huge"]
        case "no encoder":
            return [out, f"--encoder={tmp_path}"]
        case "bad levels":
            return [out, "--noise_levels=0,much"]
        case "the images' folder":
            Image.new("L", (24, 24)).save(tmp_path / "a.png")
            return [f"--workdir={tmp_path}", f"--images={tmp_path}"]
        case "an encoder's own":
            return [out, f"--encoder={tmp_path}", "--image_size=96", "--method=simclr"]
        case "an encoder's noise":
            return [out, f"--encoder={tmp_path}", "--noise_levels=0,1", "--noise_training=clean"]
        case "features are made":
            np.save(array, np.eye(4, dtype=np.float32))
            return [out, f"--features={array}", "--pooling=mean", "--batch_size=3"]
        case "no noise":
            return [out, "--noise_spread=variance"]
        case "another run":
            np.save(array, np.eye(4, dtype=np.float32))
            (tmp_path / "o").mkdir()
            (tmp_path / "o" / "config.json").write_text('{"features": "other.npy"}')
            return [out, f"--features={array}"]
        case _:  # a file where the workdir should be
            (tmp_path / "o").write_text("")
            return [out]


REFUSED = [
    ("no workdir", "--workdir"),
    ("no such folder", "nothing"),
    ("no image", "a.png"),
    ("one image", "at least two"),
    ("nan features", "1 of 3 rows: 1"),
    ("flat features", "matrix"),
    ("pickled features", "a.npy"),
    ("unknown architecture", "small, examine_paper"),
    ("no encoder", "config.json"),
    ("bad levels", "numbers"),
    ("the images' folder", "charts would be read as images"),
    ("an encoder's own", "leave out --method and --image_size"),
    ("an encoder's noise", "leave out --noise_training"),
    ("features are made", "made already: leave out --batch_size and --pooling"),
    ("no noise", "without --noise_levels no noise is added: leave out --noise_spread"),
    ("another run", "another run"),
    ("workdir is a file", "o"),
]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[pathlib.Path, int, str]]:
    folders = [tmp_path_factory.mktemp("refused") for _ in REFUSED]
    ended = run_each(
        "assess", [_case(folder, name) for folder, (name, _) in zip(folders, REFUSED, strict=True)]
    )
    return {
        name: (folder, *end) for (name, _), folder, end in zip(REFUSED, folders, ended, strict=True)
    }


@pytest.mark.parametrize(("name", "message"), REFUSED)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing_behind(
    refused: dict[str, tuple[pathlib.Path, int, str]], name: str, message: str
) -> None:
    folder, code, errors = refused[name]
    lines = [line for line in errors.splitlines() if line.startswith("examine-assess: ")]
    assert code == 1, errors
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in errors
    assert not (folder / "o" / "scores.csv").exists()


def test_a_process_that_is_refused_ends_with_an_exit_code(tmp_path: pathlib.Path) -> None:
    code, errors = run("assess", *_case(tmp_path, "no gpu"))  # it sees the CPU alone
    assert code == 1
    assert errors.startswith("examine-assess: --device=gpu")
    assert errors.count("\n") == 1
    assert not (tmp_path / "o").exists()
