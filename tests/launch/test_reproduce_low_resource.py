"""The study's command, run as its user runs it: a run killed and started again, refusals."""

import csv
import dataclasses
import pathlib
import signal
import time

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import ROOT, run, run_each, start
from tests.support.tiny_architecture import TINY

CLASSES = ("adipose", "tumour")
QUICK = (
    "--batch_sizes=8",
    "--table_batch=8",
    "--k=5",
    "--probe_learning_rates=0.01",
    "--probe_batch_size=32",
)
SHORT = (
    "--methods=dcl",
    f"--architecture={TINY}",
    "--steps=2",
    "--seeds=0,1",
    "--device=cpu",
)


def draw(folder: pathlib.Path, classes: dict[str, int]) -> pathlib.Path:
    """A folder of noise, one sub-folder for each class; groups.csv has three images in a group."""
    generator = np.random.default_rng(0)
    lines = ["file,class,group"]
    for number, (name, count) in enumerate(classes.items()):
        (folder / "images" / name).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 100 + 80 * number, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{index:02d}.png")
            lines.append(f"{name}/{index:02d}.png,{name},{name}{index // 3}")
    (folder / "groups.csv").write_text("\n".join(lines))
    return folder


@dataclasses.dataclass(frozen=True)
class Runs:
    """A study that was killed and started again, and the commands that were refused."""

    killed: int
    before: dict[pathlib.Path, bytes]
    out: pathlib.Path
    code: int
    told: str
    refused: list[tuple[list[str], str, int, str]]
    nothing: pathlib.Path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Two processes: importing JAX and compiling take longer than the study does."""
    folder = draw(tmp_path_factory.mktemp("tiles"), dict.fromkeys(CLASSES, 24))
    out = folder / "out"
    table = folder / "groups.csv"
    columns = [
        "--image_column=file",
        "--label_column=class",
        f"--labels=tiles={table}",
        f"--groups=tiles={table}",
    ]
    imagenet = ROOT / "tests" / "golden" / "weights" / "resnet_basic"
    source = f"--images=tiles={folder / 'images'}"
    flags = [f"--workdir={out}", source, f"--imagenet={imagenet}", *columns, *QUICK, *SHORT]
    first = start("reproduce_low_resource", *flags)
    while (
        first.poll() is None and not (out / "tiles" / "seed_0" / "dcl_8" / "training.json").exists()
    ):
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = {file: file.read_bytes() for file in (out / "tiles" / "seed_0").rglob("*.json")}
    bad = impossible(folder)
    commands = [[f"--workdir={folder / 'nothing'}", *given] for given, _ in bad]
    bad.append(([], "--workdir=FOLDER is missing"))
    refused = run_each("reproduce_low_resource", [*commands, []])
    code, told = run("reproduce_low_resource", *flags)
    outcomes = [(given, reason, *one) for (given, reason), one in zip(bad, refused, strict=True)]
    return Runs(first.returncode, before, out, code, told, outcomes, folder / "nothing")


def rows(file: pathlib.Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.study
def test_a_killed_study_goes_on_where_it_was_and_ends_on_its_page(runs: Runs) -> None:
    assert runs.killed == -signal.SIGKILL
    assert runs.code == 0, runs.told
    assert "1 trainings to do" in runs.told
    assert "seed_0/dcl_8: " not in runs.told
    assert {file: file.read_bytes() for file in runs.before} == runs.before
    out = runs.out
    assert not list(out.rglob("checkpoints"))
    controls = ["random initialisation", "colour statistics", "ImageNet transfer"]
    for table in ("table_1", "table_2", "table_3"):
        assert [row["encoder"] for row in rows(out / f"{table}.csv")] == ["dcl", *controls]
    judged = {row["encoder"]: row["verdict"] for row in rows(out / "table_3.csv")}
    assert [judged[name] for name in controls[:2]] == ["control", "control"]
    assert all(judged[name] in ("learned", "not learned") for name in ("dcl", "ImageNet transfer"))
    assert len(rows(out / "batch_sizes.csv")) == 1
    page = (out / "low_resource.html").read_text(encoding="utf-8")
    assert "tumour (24); 16 groups" in page
    assert "are to come" not in page
    for figure in ("fig_3", "fig_4_tiles", "imbalance"):
        with Image.open(out / f"{figure}.png") as picture:
            assert min(picture.size) > 200, figure


@pytest.mark.study
def test_one_line_says_what_to_do_and_nothing_is_written(runs: Runs) -> None:
    for given, reason, code, errors in runs.refused:
        lines = [
            line for line in errors.splitlines() if line.startswith("reproduce-low-resource: ")
        ]
        assert code == 1, given
        assert len(lines) == 1, (given, errors)
        assert reason in lines[0], given
        assert "Traceback" not in errors
    assert not runs.nothing.exists()


def impossible(folder: pathlib.Path) -> list[tuple[list[str], str]]:
    """Flags that ask for what cannot be done, and a part of the answer."""
    flat, single = folder / "flat", draw(folder / "single", {"adipose": 24, "tumour": 1})
    flat.mkdir()
    (flat / "a.png").write_bytes((folder / "images" / "tumour" / "00.png").read_bytes())
    table = (folder / "groups.csv").read_text()
    (folder / "strange.csv").write_text(f"{table}\ntumour/99.png,tumour,g")
    (folder / "short.csv").write_text(table.rpartition("\n")[0])
    few = "\n".join(
        f"{line.rpartition(',')[0]},tumour" if "tumour" in line else line
        for line in table.splitlines()
    )
    (folder / "few.csv").write_text(few)
    one = f"--images=tiles={folder / 'images'}"
    named = ["--image_column=file", "--label_column=class"]
    return [
        ([], "--images=NAME=SOURCE is missing"),
        (["--images=tiles"], "--images takes NAME=SOURCE"),
        ([one, "--labels=other=L.csv"], "the sets are tiles"),
        ([one, "--ablated=other"], "the sets are tiles"),
        ([one, "--seeds=a"], "--seeds takes whole numbers"),
        ([one, "--batch_sizes=8"], "table_batch 64 is none of"),
        ([one, "--methods=nothing"], "once each, of"),
        ([one, "--steps=2", "--minutes=1"], "either steps or minutes"),
        ([one, *QUICK, "--imagenet=nowhere.safetensors"], "nowhere.safetensors"),
        ([one], "tiles: a batch of 64 out of"),
        ([one, *QUICK, "--k=40"], "tiles: k is 40, and there are"),
        ([f"--images=flat={flat}", *QUICK], "give a CSV file of labels"),
        ([f"--images=one={single}", *QUICK], "one sub-folder with images, images"),
        ([f"--images=single={single / 'images'}", *QUICK], "single: class tumour has 1 images"),
        ([f"{one},second={flat}", *QUICK], "give a CSV file of labels"),
        (
            [one, *QUICK, *named, f"--labels=tiles={folder / 'strange.csv'}"],
            "images that are not there: 'tumour/99.png'",
        ),
        (
            [one, *QUICK, *named, f"--labels=tiles={folder / 'short.csv'}"],
            "no row for 'tumour/23.png'",
        ),
        (
            [one, *QUICK, "--image_column=file", f"--groups=tiles={folder / 'few.csv'}"],
            "class tumour has 24 images in 1 groups",
        ),
        ([f"--images=breast={folder / 'images'}", *QUICK], "in the breast set's layout"),
        ([f"--images=a/b={folder / 'images'}", *QUICK], "'a/b' is no name for a set"),
    ]  # fmt: skip
