"""The main job's decision: which images to look at and which to label."""

import csv
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from examine_jax.selection import select
from tests.support.commands import run_here

ENCODER = pathlib.Path(__file__).parents[1] / "golden" / "version_0_1" / "mae"


def read(file: pathlib.Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def done(*flags: object) -> str:
    code, printed = run_here("assess", *flags)
    assert code == 0, printed
    return printed


def refused(*flags: object) -> str:
    code, printed = run_here("assess", *flags)
    lines = [line for line in printed.splitlines() if line.startswith("examine-assess: ")]
    assert (code, len(lines)) == (1, 1), printed
    return lines[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Forty textures of three colours, two of them blank."""
    root = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for i in range(40):
        colour = np.array([[200, 120, 150], [140, 90, 160], [90, 150, 120]][i % 3])
        texture = generator.normal(0, 20, (24, 20, 1)).repeat(2, 0).repeat(2, 1)
        pixels = colour + texture * (i not in (7, 20))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(root / f"{i:02}.png")
    return root


@pytest.fixture(scope="module")
def assessed(folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp("out")
    done(
        f"--images={folder}",
        f"--workdir={workdir}",
        f"--encoder={ENCODER}",
        "--budget=6",
    )
    return workdir


def test_unusable_images_are_named_and_not_to_be_labelled(assessed: pathlib.Path) -> None:
    rows = {row["image"]: row for row in read(assessed / "scores.csv")}
    for name in ("07.png", "20.png"):
        assert rows[name]["usable"] == "0"
        assert "blank" in rows[name]["findings"].split(";")
    chosen = [row["image"] for row in read(assessed / "to_label.csv")]
    assert len(chosen) == 6
    assert all(rows[name]["usable"] == "1" for name in chosen)
    page = (assessed / "report.html").read_text(encoding="utf-8")
    assert page.index("Images to look at") < page.index("What to label first")
    assert page.index("What to label first") < page.index("s ranking, and what")
    assert "patients" in page
    assert "How much of the set the chosen images stand for" in page


def test_the_table_is_what_select_chooses(assessed: pathlib.Path) -> None:
    rows = read(assessed / "to_label.csv")
    assert list(rows[0]) == ["order", "image", "index", "group", "covers", "nearest_chosen"]
    scores = read(assessed / "scores.csv")
    usable = np.array(
        [row["usable"] == "1" and "duplicate" not in row["findings"] for row in scores]
    )
    found = select(np.load(assessed / "features.npy"), 6, usable=usable, key=0)
    assert [int(row["index"]) for row in rows] == found.indices.tolist()
    assert [int(row["covers"]) for row in rows] == found.covers.tolist()
    assert [int(row["nearest_chosen"]) for row in rows] == found.nearest_chosen.tolist()
    assert all(row["image"] == scores[int(row["index"])]["image"] for row in rows)


def test_by_default_a_list_and_tasks_are_handed_over(
    assessed: pathlib.Path, folder: pathlib.Path
) -> None:
    names = [row["image"] for row in read(assessed / "to_label.csv")]
    assert (assessed / "to_label.txt").read_text().split() == names
    tasks = json.loads((assessed / "label_studio.json").read_text())
    assert [task["data"]["image"].partition("=")[2] for task in tasks] == names
    assert not (assessed / "to_label").exists()
    assert not (assessed / "fiftyone").exists()


def test_another_budget_may_be_given_in_the_same_workdir(
    assessed: pathlib.Path, folder: pathlib.Path
) -> None:
    scores = (assessed / "scores.csv").read_bytes()
    flags = (
        f"--images={folder}",
        f"--workdir={assessed}",
        f"--encoder={ENCODER}",
    )
    done(*flags, "--budget=25%", "--hand_over=png,fiftyone")
    chosen = read(assessed / "to_label.csv")
    usable = sum(
        row["usable"] == "1" and "duplicate" not in row["findings"]
        for row in read(assessed / "scores.csv")
    )
    assert len(chosen) == round(0.25 * usable)
    assert json.loads((assessed / "config.json").read_text())["decision"]["budget"] == "25%"
    assert (assessed / "scores.csv").read_bytes() == scores
    for row in chosen:
        with Image.open(assessed / "to_label" / f"{int(row['order']):04}.png") as picture:
            own = np.asarray(picture)
        with Image.open(folder / row["image"]) as original:
            np.testing.assert_array_equal(own, np.asarray(original))
    done(*flags)
    assert not (assessed / "to_label.csv").exists()
    assert not (assessed / "to_label.txt").exists()
    assert "You gave no budget" in (assessed / "report.html").read_text()


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("features")
    generator = np.random.default_rng(1)
    rows = np.repeat(10 * np.eye(4), 15, axis=0) + generator.normal(size=(60, 4))
    np.save(root / "f.npy", rows.astype(np.float32))
    lines = ["index,group", *(f"{i},p{i // 6}" for i in range(60))]
    (root / "groups.csv").write_text("\n".join(lines) + "\n")
    return root


def test_given_features_are_chosen_from_and_say_nothing_of_usability(
    features: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    done(f"--features={features / 'f.npy'}", f"--workdir={tmp_path}", "--budget=4")
    assert {
        (row["usable"], row["outlier"], row["findings"]) for row in read(tmp_path / "scores.csv")
    } == {("", "", "")}
    chosen = read(tmp_path / "to_label.csv")
    assert sorted(int(row["index"]) // 15 for row in chosen) == [0, 1, 2, 3]
    assert sum(int(row["covers"]) for row in chosen) == 60
    assert chosen[0]["image"] == f"row {chosen[0]['index']}"


def test_a_second_round_goes_on_where_the_first_stopped(
    features: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    first = [7, 22, 3]
    lines = ["order,image,index", *(f"{i},row {row},{row}" for i, row in enumerate(first, 1))]
    (tmp_path / "to_label.csv").write_text("\n".join(lines) + "\n")
    done(
        f"--features={features / 'f.npy'}",
        f"--workdir={tmp_path / 'two'}",
        "--budget=4",
        f"--labelled={tmp_path / 'to_label.csv'}",
    )
    chosen = [int(row["index"]) for row in read(tmp_path / "two" / "to_label.csv")]
    found = select(np.load(features / "f.npy"), 4, labelled=first, key=0)
    assert chosen == found.indices.tolist()
    assert not set(chosen) & set(first)
    table = tmp_path / "two" / "to_label.csv"
    before = table.read_bytes()
    for flag in ("labelled", "pilot", "groups"):
        line = refused(
            f"--features={features / 'f.npy'}",
            f"--workdir={tmp_path / 'two'}",
            "--budget=4",
            f"--{flag}={tmp_path / 'one' / '..' / 'two' / 'to_label.csv'}",
        )
        assert "own to_label.csv" in line
        assert table.read_bytes() == before
    assert "3 images are labelled already" in (tmp_path / "two" / "report.html").read_text()


def test_a_pilot_says_what_served_and_counts_as_labelled(
    features: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    labels = [f"{row},{'abcd'[row // 15]}" for row in range(0, 60, 2)]
    (tmp_path / "pilot.csv").write_text("\n".join(["index,label", *labels]) + "\n")
    done(
        f"--features={features / 'f.npy'}",
        f"--workdir={tmp_path / 'o'}",
        f"--pilot={tmp_path / 'pilot.csv'}",
        "--budget=5",
    )
    assert all(int(row["index"]) % 2 for row in read(tmp_path / "o" / "to_label.csv"))
    page = (tmp_path / "o" / "report.html").read_text()
    assert "pilot of 30 labelled images of 4 classes" in page
    assert "What more labels would buy" in page
    assert (tmp_path / "o" / "learning_curve.png").is_file()
    for labels, message in (
        (["0,a", "1,a"], "1 class"),
        (["0,a", "1,a", "2,b"], "needs 5 of each"),
        (["77,a"], "index '77'"),
    ):
        (tmp_path / "pilot.csv").write_text("\n".join(["index,label", *labels]) + "\n")
        flags = (f"--workdir={tmp_path / 'p'}", f"--pilot={tmp_path / 'pilot.csv'}")
        assert message in refused(f"--features={features / 'f.npy'}", *flags)


def test_a_pilot_that_cannot_be_judged_ends_before_any_training(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    labels = [
        f"{row:02}.png,{'benign' if row % 2 else 'malignant'},p{row % 4}" for row in range(20)
    ]
    table = tmp_path / "pilot.csv"
    table.write_text("\n".join(["file,kind,patient", *labels]) + "\n")
    flags = (f"--images={folder}", f"--workdir={tmp_path / 'o'}", f"--pilot={table}")
    assert "name another by --label_column" in refused(*flags)
    columns = ("--image_column=file", "--label_column=kind", "--group_column=patient")
    assert "leave out --group_column" in refused(*flags, *columns)
    rest = [f"{row:02}.png,,q{row}" for row in range(20, 40)]
    groups = tmp_path / "groups.csv"
    groups.write_text("\n".join(["file,kind,patient", *labels, *rest]) + "\n")
    line = refused(*flags, *columns, f"--groups={groups}")
    assert "pilot.csv: class benign has 10 images in 2 groups" in line
    assert not (tmp_path / "o" / "checkpoints").exists()


def test_no_more_of_a_group_than_asked(features: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done(
        f"--features={features / 'f.npy'}",
        f"--workdir={tmp_path}",
        f"--groups={features / 'groups.csv'}",
        "--per_group=1",
        "--budget=10",
        "--strategy=random",
    )
    assert len({row["group"] for row in read(tmp_path / "to_label.csv")}) == 10


REFUSED = [
    (["--budget=0"], "asks for no image"),
    (["--budget=-3"], "asks for no image"),
    (["--budget=150%"], "more than all images"),
    (["--budget=many"], "as 2%"),
    (["--budget=61"], "above the 60"),
    (["--budget=4", "--labelled={unknown}"], "index '99'"),
    (["--budget=4", "--per_group=2"], "--groups=FILE"),
    (["--budget=11", "--groups={groups}", "--per_group=1"], "above the 10"),
    (["--budget=4", "--groups={few}"], "no group for 59"),
    (["--budget=4", "--strategy=best"], "unknown strategy 'best'"),
    (["--hand_over=list", "--budget=4"], "leave out --hand_over"),
    (["--reference_images=x"], "leave out --reference_images"),
]


@pytest.mark.parametrize(("flags", "message"), REFUSED)
def test_what_cannot_be_chosen_is_one_line(
    flags: list[str], message: str, features: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "unknown.csv").write_text("index,label\n99,a\n")
    (tmp_path / "few.csv").write_text("index,group\n0,a\n")
    paths = {
        "unknown": tmp_path / "unknown.csv",
        "few": tmp_path / "few.csv",
        "groups": features / "groups.csv",
    }
    line = refused(
        f"--features={features / 'f.npy'}",
        f"--workdir={tmp_path / 'o'}",
        *(flag.format(**paths) for flag in flags),
    )
    assert message in line
    assert not (tmp_path / "o" / "scores.csv").exists()


def test_a_table_of_unknown_images_or_a_budget_too_large_ends_before_any_training(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "l.csv").write_text("image,label\n00.png,a\nother.png,b\n")
    flags = (f"--images={folder}", f"--workdir={tmp_path / 'o'}", "--budget=39")
    assert "'other.png'" in refused(*flags, f"--labelled={tmp_path / 'l.csv'}")
    (tmp_path / "l.csv").write_text("image,label\n00.png,a\n01.png,b\n02.png,\n")
    assert "above the 38" in refused(*flags, f"--labelled={tmp_path / 'l.csv'}")
    assert not (tmp_path / "o" / "checkpoints").exists()
    assert "without --budget" in refused(*flags[:2], "--hand_over=png")


def _saved(folder: pathlib.Path, images: dict[str, np.ndarray]) -> pathlib.Path:
    folder.mkdir()
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_if_no_image_is_usable_the_page_says_so_and_a_budget_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    images = _saved(
        tmp_path / "images",
        {f"{i}.png": np.full((30, 30, 3), 20 * i + 9, np.uint8) for i in range(12)},
    )
    flags = (f"--images={images}", f"--encoder={ENCODER}", f"--workdir={tmp_path / 'o'}")
    assert "none of the 12 images is usable" in refused(*flags, "--budget=2")
    page = (tmp_path / "o" / "report.html").read_text()
    assert "No images were chosen: none of the 12 images is usable" in page
    assert len(read(tmp_path / "o" / "scores.csv")) == 12
    assert not (tmp_path / "o" / "to_label.csv").exists()
    done(*flags)
    page = (tmp_path / "o" / "report.html").read_text()
    assert "No image is left to label" in page
    assert {row["usable"] for row in read(tmp_path / "o" / "scores.csv")} == {"0"}
    assert len(list(images.iterdir())) == 12


def test_two_images_and_grey_beside_colour_are_assessed(tmp_path: pathlib.Path) -> None:
    generator = np.random.default_rng(0)
    images = _saved(
        tmp_path / "images",
        {
            "grey.png": generator.integers(0, 256, (40, 30), np.uint8),
            "colour.png": generator.integers(0, 256, (30, 40, 3), np.uint8),
        },
    )
    done(
        f"--images={images}",
        f"--encoder={ENCODER}",
        f"--workdir={tmp_path / 'o'}",
        "--budget=100%",
        "--hand_over=png",
    )
    page = (tmp_path / "o" / "report.html").read_text()
    assert "at least half of the images that can be labelled" in page
    assert "How much of the set the chosen images stand for" not in page
    order = {row["image"]: int(row["order"]) for row in read(tmp_path / "o" / "to_label.csv")}
    modes = {}
    for name in ("grey.png", "colour.png"):
        with Image.open(tmp_path / "o" / "to_label" / f"{order[name]:04}.png") as picture:
            modes[name] = picture.mode
    assert modes == {"grey.png": "L", "colour.png": "RGB"}


def test_an_image_alone_of_its_kind_is_to_be_looked_at(
    tmp_path: pathlib.Path,
) -> None:
    generator = np.random.default_rng(0)
    colour = np.array([180, 120, 160])

    def tissue(scale: int) -> np.ndarray:
        side = 48 // scale
        texture = generator.normal(0, 25, (side, side, 1)).repeat(scale, 0).repeat(scale, 1)
        return np.clip(colour + texture, 0, 255).astype(np.uint8)

    images = {f"{i:02}.png": tissue(2) for i in range(40)}
    images["rare.png"] = np.roll(tissue(2), 1, axis=2)  # another stain, sharp and well exposed
    done(
        f"--images={_saved(tmp_path / 'images', images)}",
        f"--encoder={ENCODER}",
        f"--workdir={tmp_path / 'o'}",
        "--budget=2",
    )
    rare = next(row for row in read(tmp_path / "o" / "scores.csv") if row["image"] == "rare.png")
    assert "unlike_others" in rare["findings"].split(";")
    assert rare["usable"] == "1"
    page = (tmp_path / "o" / "report.html").read_text()
    assert "rare disease" in page
    assert "discard" not in page
