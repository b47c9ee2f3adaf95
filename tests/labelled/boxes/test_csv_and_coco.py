"""Boxes in CSV and COCO files: what is read, what is a problem, and round trips."""

import json
import pathlib

import numpy as np
import pytest

from examine_jax.labelled.boxes import read_boxes, write_boxes
from tests.support.random_boxes import random_boxes

CSV = """image_id,class_name,xmin,Y1,x2,y_max,rad_id,width,height
a.png,cyst,1,2,30,40,R9,100,50
a.png,cyst,1.5,2,30,40,R8,100,50
b.png,No finding,,,,,R9,60,60
b.png,nodule,0,0,10,10,R8,60,60
c.png,,,,,,R9,60,60
"""


def csv_file(folder: pathlib.Path, text: str) -> pathlib.Path:
    path = folder / "boxes.csv"
    path.write_text(text)
    return path


def test_columns_are_found_by_their_names(tmp_path: pathlib.Path) -> None:
    boxes, problems = read_boxes(csv_file(tmp_path, CSV))
    assert problems == ()
    assert boxes.images == ("a.png", "b.png", "c.png")
    assert boxes.sizes.tolist() == [[50, 100], [60, 60], [60, 60]]
    assert boxes.classes == ("cyst", "nodule")
    assert boxes.readers == ("R9", "R8")
    assert boxes.corners.tolist() == [[1, 2, 30, 40], [1.5, 2, 30, 40], [0, 0, 10, 10]]
    assert boxes.reader.tolist() == [0, 1, 1]
    assert sorted(map(tuple, boxes.readings.tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]


def test_what_detect_writes_is_read(tmp_path: pathlib.Path) -> None:
    header = "image,class,score,x_min,y_min,x_max,y_max\n"
    boxes, problems = read_boxes(csv_file(tmp_path, header))
    assert (len(boxes), boxes.images, boxes.classes, problems) == (0, (), (), ())
    assert boxes.score.tolist() == []
    boxes, _ = read_boxes(csv_file(tmp_path, header + "a.png,cyst,0.25,1,2,3,4\n"))
    assert boxes.score.tolist() == [0.25]
    write_boxes(tmp_path / "again.csv", boxes)
    assert (tmp_path / "again.csv").read_text() == header + "a.png,cyst,0.25,1.0,2.0,3.0,4.0\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.png,cyst,5,2,3,4,R1,9,9", "has no area"),
        ("a.png,cyst,nan,2,3,4,R1,9,9", "not of finite numbers"),
        ("a.png,cyst,1,2,inf,4,R1,9,9", "not of finite numbers"),
        ("a.png,cyst,one,2,3,4,R1,9,9", "are not all numbers"),
        ("a.png,cyst,1,,3,4,R1,9,9", "are not all numbers"),
        ("a.png,cyst,,,,,R1,9,9", "'cyst' has no coordinates"),
        ("a.png,,1,2,3,4,R1,9,9", "has no class"),
        (",cyst,1,2,3,4,R1,9,9", "names no image"),
        ("a.png,cyst,1,2,3,4,,9,9", "names no reader"),
        ("a.png,cyst,10,2,13,4,R1,9,9", "outside its image of 9 x 9"),
        ("a.png,cyst,1,2,3", "cut short"),
        ("g.png,cyst,1,2,3,4,R1,8,8", "differs from 9 x 9 in an earlier row"),
        ("a.png,flower,1,2,3,4,R1,9,9", "unknown class 'flower'"),
    ],
)
def test_a_bad_row_is_a_problem_with_its_line(
    tmp_path: pathlib.Path, row: str, reason: str
) -> None:
    header, good = CSV.splitlines()[0], "g.png,cyst,1,2,3,4,R1,9,9"
    path = csv_file(tmp_path, f"{header}\n{good}\n{row}\n")
    boxes, problems = read_boxes(path, classes=("cyst", "lump"))
    assert boxes.corners.tolist() == [[1, 2, 3, 4]]
    assert boxes.classes == ("cyst", "lump")
    assert len(problems) == 1
    assert problems[0].line == 3
    assert reason in problems[0].reason
    assert problems[0].place == f"{path}, line 3"


def test_a_table_without_the_columns_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"no column for class, x_max .*the columns are image"):
        read_boxes(csv_file(tmp_path, "image,x_min,y_min,y_max\n"))
    with pytest.raises(ValueError, match="no column for image"):
        read_boxes(csv_file(tmp_path, ""))


def document() -> dict:
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "height": 50, "width": 100},
            {"id": 0, "file_name": "b.png"},
            {"id": 90, "file_name": "c.png", "height": 50, "width": 100},
        ],
        "categories": [{"id": 40, "name": "cyst"}, {"id": 3, "name": "nodule"}],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 3, "bbox": [1, 2, 3, 4]},
            {"id": 5, "image_id": 7, "category_id": 40, "bbox": [1, 2, 3, 4.5], "area": 9},
            {"id": 6, "image_id": 7, "category_id": 3, "bbox": [5, 5, 5, 5], "iscrowd": 1},
        ],
    }


def coco_file(folder: pathlib.Path, content: object) -> pathlib.Path:
    path = folder / "boxes.json"
    path.write_text(json.dumps(content))
    return path


def test_coco_is_read_by_ids(tmp_path: pathlib.Path) -> None:
    boxes, problems = read_boxes(
        coco_file(tmp_path, document()), names=("b.png",), sizes=np.array([[30, 40]])
    )
    assert problems == ()
    assert boxes.images == ("a.png", "b.png", "c.png")
    assert boxes.sizes.tolist() == [[50, 100], [30, 40], [50, 100]]
    assert boxes.classes == ("cyst", "nodule")
    assert boxes.image.tolist() == [1, 0, 0]
    assert boxes.label.tolist() == [1, 0, 1]
    assert boxes.corners.tolist() == [[1, 2, 4, 6], [1, 2, 4, 6.5], [5, 5, 10, 10]]
    assert boxes.area.tolist() == [12, 9, 25]
    assert boxes.crowd.tolist() == [False, False, True]
    assert boxes.score is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"id": 5}, "annotation id 5 is there twice"),
        ({"image_id": 1}, "there is no image with id 1"),
        ({"category_id": 1}, "there is no category with id 1"),
        ({"bbox": [1, 2, 3]}, "not four numbers"),
        ({"bbox": None}, "not four numbers"),
        ({"bbox": ["1", 2, 3, 4]}, "not four numbers"),
        ({"bbox": [1, 2, 0, 4]}, "has no area"),
        ({"bbox": [1, 2, float("nan"), 4]}, "not of finite numbers"),
        ({"bbox": [1, 2, 10**400, 4]}, "not of finite numbers"),
        ({"bbox": [101, 2, 3, 4]}, "outside its image"),
    ],
)
def test_a_bad_annotation_is_a_problem_with_its_id(
    tmp_path: pathlib.Path, changed: dict, reason: str
) -> None:
    content = document()
    bad = {"id": 8, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], **changed}
    content["annotations"].append(bad)
    boxes, problems = read_boxes(coco_file(tmp_path, content))
    assert len(boxes) == 3
    assert [problem.line for problem in problems] == [bad["id"]]
    assert reason in problems[0].reason


def test_repeated_images_and_categories_are_problems(tmp_path: pathlib.Path) -> None:
    content = document()
    content["images"].append({"id": 7, "file_name": "again.png"})
    content["images"].append({"id": 8, "file_name": ""})
    content["categories"].append({"id": 3, "name": "other"})
    boxes, problems = read_boxes(coco_file(tmp_path, content))
    assert len(boxes) == 3
    assert boxes.classes == ("cyst", "nodule")
    assert len(problems) == 3


def test_ids_that_are_mostly_repeated_are_not_used(tmp_path: pathlib.Path) -> None:
    content = document()
    for entry in content["annotations"]:
        entry["id"] = 1
    boxes, problems = read_boxes(coco_file(tmp_path, content))
    assert len(boxes) == 3
    assert [problem.kept for problem in problems] == [True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("{", "no JSON"),
        ("", "no JSON"),
        ('[{"image_id": 1}]', "COCO results, which do not name their images"),
        ('[{"file_name": [1], "category_name": "a"}]', "do not name their images"),
        ("3", "its JSON is no object"),
        ('{"images": {}}', "'images' must be a list"),
        ('{"images": [], "categories": [], "annotations": [{}]}', "no categories"),
        ('{"images": [' + "1" * 5000 + "]}", "no JSON"),
    ],
)
def test_hostile_json_is_refused_in_one_line(
    tmp_path: pathlib.Path, text: str, message: str
) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        read_boxes(path)
    assert str(refused.value).startswith(f"{path}:")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_too_large_or_no_text_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "boxes.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="give text in UTF-8"):
        read_boxes(path)
    with open(path, "wb") as stream:
        stream.truncate(2**30 + 1)
    with pytest.raises(ValueError, match="more than the"):
        read_boxes(path)
    with pytest.raises(ValueError, match="boxes are read from"):
        read_boxes(csv_file(tmp_path, "").rename(tmp_path / "boxes.xlsx"))
    with pytest.raises(FileNotFoundError):
        read_boxes(tmp_path / "none.json")


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_what_is_written_is_read_back(tmp_path: pathlib.Path, suffix: str, scored: bool) -> None:
    boxes = random_boxes(scored=scored, read=not scored)
    path = tmp_path / f"boxes.{suffix}"
    write_boxes(path, boxes)
    again, problems = read_boxes(path)
    assert problems == ()
    again = again.with_classes(boxes.classes)
    np.testing.assert_allclose(again.corners, boxes.corners, atol=1e-12)
    assert np.array_equal(again.label, boxes.label)
    assert [again.images[i] for i in again.image] == [boxes.images[i] for i in boxes.image]
    if scored:
        assert np.array_equal(again.score, boxes.score)
    else:
        assert np.array_equal(again.sizes, boxes.sizes)
        assert again.images == boxes.images
        assert [again.readers[r] for r in again.reader] == [boxes.readers[r] for r in boxes.reader]
        if suffix == "csv":
            pairs = {(again.images[i], again.readers[r]) for i, r in again.readings}
            assert pairs == {(boxes.images[i], boxes.readers[r]) for i, r in boxes.readings}


def test_another_code_reads_what_is_written(tmp_path: pathlib.Path) -> None:
    globox = pytest.importorskip("globox")
    boxes = random_boxes(read=True)
    write_boxes(tmp_path / "boxes.json", boxes)
    theirs = globox.AnnotationSet.from_coco(tmp_path / "boxes.json")
    found = [(image, box.label, *box.ltrb) for image in boxes.images for box in theirs[image].boxes]
    expected = [
        (boxes.images[i], boxes.classes[label], *corners)
        for i, label, corners in zip(boxes.image, boxes.label, boxes.corners.tolist())
    ]
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    np.testing.assert_allclose(
        np.array([row[2:] for row in found], float), np.array([row[2:] for row in expected], float)
    )
    # And the other way round.
    theirs.save_coco(tmp_path / "theirs.json", auto_ids=True)
    again, problems = read_boxes(tmp_path / "theirs.json")
    assert problems == ()
    assert len(again) == len(boxes)


def test_results_have_the_ids_of_the_data_set(tmp_path: pathlib.Path) -> None:
    boxes = random_boxes(scored=True)
    write_boxes(tmp_path / "r.json", boxes, format="coco_results")
    results = json.loads((tmp_path / "r.json").read_text())
    assert min(entry["image_id"] for entry in results) >= 1
    assert [entry["category_id"] for entry in results] == (boxes.label + 1).tolist()
    assert [entry["score"] for entry in results] == boxes.score.tolist()
    again, problems = read_boxes(tmp_path / "r.json")
    assert problems == ()
    np.testing.assert_allclose(again.corners, boxes.corners, atol=1e-12)
    assert [again.images[i] for i in again.image] == [boxes.images[i] for i in boxes.image]
    with pytest.raises(ValueError, match="COCO results need scores"):
        write_boxes(tmp_path / "r.json", random_boxes(read=True), format="coco_results")


def test_the_bccd_boxes_are_read_whole(real_data: pathlib.Path) -> None:
    boxes, problems = read_boxes(real_data / "bccd" / "annotations.json")
    assert problems == ()
    assert (len(boxes), len(boxes.images)) == (4886, 364)
    assert np.bincount(boxes.label).tolist() == [4153, 372, 361]
