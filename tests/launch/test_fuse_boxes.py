"""The command that fuses readers' boxes: its tables, messages and flags."""

import csv
import pathlib

import numpy as np
import pytest

from examine_jax.detection.agreement import AGREEMENT_HEADER
from examine_jax.detection.fusion import fuse
from examine_jax.labelled.boxes import read_boxes
from tests.support.commands import run_here

BOXES = """image_id,rad_id,class_name,x_min,y_min,x_max,y_max
a,R8,cyst,10,10,50,50
a,R9,cyst,12,10,52,50
a,R10,No finding,,,,
b,R8,nodule,10,10,20,20
b,R9,nodule,60,60,80,80
b,R9,nodule,9,9,5,5
c,R9,No finding,,,,
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "boxes.csv").write_text(BOXES)
    return tmp_path


def test_boxes_are_fused_and_agreement_is_told(folder: pathlib.Path) -> None:
    flags = (f"--boxes={folder / 'boxes.csv'}", f"--output={folder / 'fused.csv'}", "--draws=20")
    code, shown = run_here("fuse_boxes", *flags)
    assert code == 0, shown
    assert "4 boxes of 3 readers on 3 images become 3 boxes" in shown
    assert "R8 and R9: 2 images, matched IoU 0.905 (0.905 to 0.905), unmatched share 0.500" in shown
    assert "left out of the file: 1" in shown
    fused, problems = read_boxes(folder / "fused.csv")
    assert problems == ()
    assert fused.images == ("a", "b", "c")
    expected = fuse(read_boxes(folder / "boxes.csv")[0])
    np.testing.assert_array_equal(fused.corners, expected.corners)
    with open(folder / "fused.agreement.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == AGREEMENT_HEADER
    assert [(r["reader_a"], r["reader_b"], r["class_name"]) for r in rows][:3] == [
        ("R8", "R9", "all classes"),
        ("R8", "R9", "cyst"),
        ("R8", "R9", "nodule"),
    ]
    assert rows[2]["matched_iou"] == ""
    assert "line 7: the box 9, 9, 5, 5 has no area" in (folder / "fused.skipped.csv").read_text()


def test_json_is_coco(folder: pathlib.Path) -> None:
    flags = (f"--boxes={folder / 'boxes.csv'}", f"--output={folder / 'fused.json'}", "--draws=1")
    code, shown = run_here("fuse_boxes", *flags, "--order=released", "--iou=0.95")
    assert code == 0, shown
    fused, problems = read_boxes(folder / "fused.json")
    assert problems == ()
    assert (len(fused), fused.images) == (4, ("a", "b", "c"))


def test_boxes_without_readers_are_fused_too(folder: pathlib.Path) -> None:
    (folder / "plain.csv").write_text("image,class,x1,y1,x2,y2\na,c,0,0,9,9\na,c,0,0,9,10\n")
    code, shown = run_here(
        "fuse_boxes", f"--boxes={folder / 'plain.csv'}", f"--output={folder / 'fused.csv'}"
    )
    assert code == 0, shown
    assert "no agreement: the readers are not known" in shown
    assert len(read_boxes(folder / "fused.csv")[0]) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--output=fused.txt",), "must end in .csv or .json"),
        (("--output=none/fused.csv",), "there is no folder"),
        (("--output=boxes.csv",), "is read and would be overwritten"),
        (("--output=f.csv", "--iou=2"), "--iou takes"),
        (("--output=f.csv", "--format=pdf"), "unknown format of boxes 'pdf'"),
        (("--output=f.csv", "--boxes=none.csv"), "none.csv"),
    ],
)
def test_a_refusal_is_one_line(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(folder)
    code, shown = run_here("fuse_boxes", "--boxes=boxes.csv", *flags)
    assert code == 1
    assert message in shown.splitlines()[-1]
    assert not (folder / "f.csv").exists()


def test_help_names_the_main_flags() -> None:
    code, shown = run_here("fuse_boxes", "--help")
    assert code == 0
    assert "--order=csv|released" in shown
    assert "python -m launch.fuse_boxes --boxes=" in shown
    assert max(map(len, shown.splitlines())) <= 100
