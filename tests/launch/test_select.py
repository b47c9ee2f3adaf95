"""The command: its table, a second round, messages and flags."""

import csv
import pathlib

import numpy as np
import pytest

from examine_jax.selection import FacilityLocation, select
from tests.support.commands import run, run_each, run_here


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("select")
    features = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    np.save(folder / "f.npy", features)
    bad = features.copy()
    bad[[4, 9]] = np.nan
    np.save(folder / "bad.npy", bad)
    tables = {
        "names.csv": ["image", *(f"a/{row}.png" for row in range(60))],
        "groups.csv": ["index,group", *(f"{row},p{row % 7}" for row in range(60))],
        "scores.csv": ["image,usable", *(f"a/{row}.png,{int(row >= 30)}" for row in range(60))],
        "some.csv": ["image,label", "a/31.png,x", "a/32.png,", "a/33.png,y"],
        "unknown.csv": ["image", "a/31.png", "b/1.png"],
        "twice.csv": ["index", "1", "1"],
        "far.csv": ["index", "60"],
        "short.csv": ["index,label", "1,a", "2"],
        "other.csv": ["index,use", "1,1"],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_table_and_a_second_round(folder: pathlib.Path) -> None:
    flags = (f"--features={folder / 'f.npy'}", "--strategy=facility_location")
    code, errors = run("select", *flags, "--budget=10%", f"--output={folder / 'to_label.csv'}")
    assert code == 0, errors
    assert "6 of 60 usable images chosen" in errors
    rows = _rows(folder / "to_label.csv")
    expected = select(np.load(folder / "f.npy"), 9, strategy=FacilityLocation())
    first = select(np.load(folder / "f.npy"), 6, strategy=FacilityLocation())
    assert list(rows[0]) == ["order", "image", "index", "group", "covers", "nearest_chosen"]
    for order, row in enumerate(rows):
        image = expected.indices[order]
        assert row == {
            "order": str(order + 1),
            "image": f"a/{image}.png",
            "index": str(image),
            "group": "",
            "covers": str(first.covers[order]),
            "nearest_chosen": str(first.nearest_chosen[order]),
        }
    labelled = f"--labelled={folder / 'to_label.csv'}"
    code, errors = run_here(
        "select", *flags, "--budget=3", labelled, f"--output={folder / 'next.csv'}"
    )
    assert code == 0, errors
    assert [int(row["index"]) for row in _rows(folder / "next.csv")] == expected.indices[
        6:
    ].tolist()


def test_usable_images_groups_and_labelled_ones(folder: pathlib.Path) -> None:
    code, errors = run_here(
        "select",
        f"--features={folder / 'bad.npy'}",
        "--budget=5",
        f"--usable={folder / 'scores.csv'}",
        f"--groups={folder / 'groups.csv'}",
        "--per_group=1",
        f"--labelled={folder / 'some.csv'}",
        f"--output={folder / 'o.csv'}",
    )
    assert code == 0, errors
    rows = _rows(folder / "o.csv")
    assert all(int(row["index"]) >= 30 for row in rows)
    # 32 has no label yet, so its group is still open; those of 31 and 33 are not.
    assert sorted(row["group"] for row in rows) == sorted(
        f"p{group}" for group in range(7) if group not in (31 % 7, 33 % 7)
    )


REFUSED = [
    (["--budget=0"], "budget 0 asks for no image"),
    (["--budget=-2"], "budget -2 asks for no image"),
    (["--budget=150%"], "a share of 150%"),
    (["--budget=lots"], "'lots'"),
    (["--budget=61"], "budget 61 is above the 60 images"),
    ([], "--budget=K is missing"),
    (["--budget=31", "--usable={}/scores.csv"], "budget 31 is above the 30 images"),
    (["--budget=8", "--groups={}/groups.csv", "--per_group=1"], "budget 8 is above the 7 images"),
    (["--budget=2", "--per_group=1"], "--groups=FILE"),
    (["--budget=2", "--labelled={}/unknown.csv"], "no image 'b/1.png'"),
    (["--budget=2", "--labelled={}/twice.csv"], "a second row"),
    (["--budget=2", "--labelled={}/short.csv"], "short.csv, line 3 is cut short"),
    (["--budget=2", "--usable={}/other.csv"], "'usable' is absent; the columns are index, use"),
    (["--budget=2", "--labelled={}/far.csv"], "'60' is none of 0 to 59"),
    (["--budget=2", "--features={}/bad.npy"], "features of rows 4, 9 are not finite"),
    (["--budget=2", "--strategy=best"], "unknown strategy 'best'"),
    (["--budget=2", "--output={}/o.txt"], "must end in .csv"),
    (["--budget=2", "--output={}/names.csv", "--names={}/names.csv"], "would be overwritten"),
]


def test_an_error_is_one_line_and_nothing_is_written(folder: pathlib.Path) -> None:
    common = ["--features={}/f.npy", "--output={}/x.csv"]
    commands = [[flag.format(folder) for flag in (*common, *flags)] for flags, _ in REFUSED]
    for (flags, reason), (code, errors) in zip(REFUSED, run_each("select", commands)):
        assert code == 1, flags
        lines = [line for line in errors.splitlines() if not line.startswith("device:")]
        assert len(lines) == 1, errors
        assert lines[0].startswith("examine-select: ")
        assert reason in lines[0], flags
        assert "--label_column" not in lines[0]
    assert not (folder / "x.csv").exists()


def test_help_fits_a_screen() -> None:
    code, shown = run_here("select", "--help")
    assert code == 0
    lines = shown.rstrip().splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    for flag in ("--budget=K", "--labelled=FILE", "--per_group=N", "k_means_medoids, facility"):
        assert flag in shown
