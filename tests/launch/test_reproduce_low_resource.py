"""The study's command, run as its user runs it: killed and started again, and refused where it cannot do what is asked."""

import csv
import pathlib
import signal
import time

import numpy as np
import pytest
from PIL import Image

from tests.launch.commands import ROOT, run, run_each, start

CLASSES = ("adipose", "tumour")
QUICK = ("--batch_sizes=8", "--table_batch=8", "--k=5", "--probe_learning_rates=0.01", "--probe_batch_size=32")
SHORT = ("--methods=dcl", "--architecture=small", "--image_size=16", "--steps=2", "--seeds=0,1", "--device=cpu")


def draw(folder: pathlib.Path, classes: dict[str, int]) -> pathlib.Path:
    """A folder of noise with a sub-folder a class, and groups.csv beside it, three images a group."""
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


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return draw(tmp_path_factory.mktemp("tiles"), dict.fromkeys(CLASSES, 24))


def columns(tiles: pathlib.Path) -> list[str]:
    table = tiles / "groups.csv"
    named = ["--image_column=file", "--label_column=class", f"--labels=tiles={table}", f"--groups=tiles={table}"]
    return [f"--images=tiles={tiles / 'images'}", *named]


def rows(file: pathlib.Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_killed_study_goes_on_where_it_was_and_ends_on_its_page(tiles: pathlib.Path, tmp_path: pathlib.Path) -> None:
    imagenet = ROOT / "tests" / "golden" / "weights" / "resnet_basic"
    flags = [f"--workdir={tmp_path / 'out'}", f"--imagenet={imagenet}", *columns(tiles), *QUICK, *SHORT]
    seeds = [tmp_path / "out" / "tiles" / f"seed_{seed}" for seed in (0, 1)]
    first = start("reproduce_low_resource", *flags)
    while first.poll() is None and not (seeds[0] / "dcl_8" / "training.json").exists():
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    before = {file: file.read_bytes() for file in seeds[0].rglob("*.json")}
    assert before

    code, told = run("reproduce_low_resource", *flags)
    assert code == 0, told
    assert "trainings to do" in told
    assert "seed_0/dcl_8: " not in told
    assert {file: file.read_bytes() for file in before} == before
    for seed in seeds:
        assert (seed / "dcl_8" / "encoder").is_dir()
    assert not list((tmp_path / "out").rglob("checkpoints"))

    controls = ["random initialisation", "colour statistics", "ImageNet transfer"]
    out = tmp_path / "out"
    for table in ("table_1", "table_2", "table_3"):
        assert [row["encoder"] for row in rows(out / f"{table}.csv")] == ["dcl", *controls]
    judged = {row["encoder"]: row["verdict"] for row in rows(out / "table_3.csv")}
    assert [judged[name] for name in controls[:2]] == ["control", "control"]
    assert all(judged[name] in ("learned", "not learned") for name in ("dcl", "ImageNet transfer"))
    assert len(rows(out / "batch_sizes.csv")) == 1
    page = (out / "low_resource.html").read_text(encoding="utf-8")
    assert "tumour (24); 16 groups" in page
    for figure in ("fig_3", "fig_4_tiles", "imbalance"):
        with Image.open(out / f"{figure}.png") as picture:
            assert min(picture.size) > 200, figure


def test_one_line_says_what_to_do_and_nothing_is_written(tiles: pathlib.Path, tmp_path: pathlib.Path) -> None:
    flat, single = tmp_path / "flat", draw(tmp_path / "single", {"adipose": 24, "tumour": 1})
    flat.mkdir()
    (flat / "a.png").write_bytes((tiles / "images" / "tumour" / "00.png").read_bytes())
    table = (tiles / "groups.csv").read_text()
    (tmp_path / "strange.csv").write_text(f"{table}\ntumour/99.png,tumour,g")
    (tmp_path / "short.csv").write_text(table.rpartition("\n")[0])
    few = "\n".join(f"{line.rpartition(',')[0]},tumour" if "tumour" in line else line for line in table.splitlines())
    (tmp_path / "few.csv").write_text(few)
    one = f"--images=tiles={tiles / 'images'}"
    named = ["--image_column=file", "--label_column=class"]
    cases: list[tuple[list[str], str]] = [
        ([], "--images=NAME=SOURCE is missing"),
        (["--images=tiles"], "--images takes NAME=SOURCE"),
        ([one, "--labels=other=L.csv"], "the sets are tiles"),
        ([one, "--ablated=other"], "the sets are tiles"),
        ([one, "--seeds=a"], "--seeds takes numbers"),
        ([one, "--batch_sizes=8"], "table_batch 64 is none of"),
        ([one, "--methods=nothing"], "once each, of"),
        ([one, "--steps=2", "--minutes=1"], "either steps or minutes"),
        ([one, *QUICK, "--imagenet=nowhere.safetensors"], "nowhere.safetensors"),
        ([one], "tiles: a batch of 64 out of"),
        ([one, *QUICK, "--k=40"], "tiles: k is 40, and there are"),
        ([f"--images=flat={flat}", *QUICK], "give a CSV file of labels"),
        ([f"--images=one={tiles}", *QUICK], "one sub-folder with images, images"),
        ([f"--images=single={single / 'images'}", *QUICK], "single: class tumour has 1 images"),
        ([f"{one},second={flat}", *QUICK], "give a CSV file of labels"),
        ([one, *QUICK, *named, f"--labels=tiles={tmp_path / 'strange.csv'}"], "images that are not there: 'tumour/99.png'"),
        ([one, *QUICK, *named, f"--labels=tiles={tmp_path / 'short.csv'}"], "no row for 'tumour/23.png'"),
        ([one, *QUICK, "--image_column=file", f"--groups=tiles={tmp_path / 'few.csv'}"], "class tumour has 24 images in 1 groups"),
        ([f"--images=breast={tiles / 'images'}", *QUICK], "in the breast set's layout"),
        ([f"--images=a/b={tiles / 'images'}", *QUICK], "'a/b' is no name for a set"),
    ]  # fmt: skip
    commands = [[f"--workdir={tmp_path / 'out'}", *given] for given, _ in cases]
    found = run_each("reproduce_low_resource", [[], *commands])
    for (given, reason), (code, errors) in zip([([], "--workdir=FOLDER is missing"), *cases], found, strict=True):
        lines = [line for line in errors.splitlines() if line.startswith("reproduce-low-resource: ")]
        assert code == 1, given
        assert len(lines) == 1, (given, errors)
        assert reason in lines[0], given
        assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()
