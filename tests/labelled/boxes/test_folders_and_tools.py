"""Boxes in Pascal VOC, YOLO and VinDr-CXR's layout, and what is written for drawing tools."""

import json
import pathlib

import numpy as np
import pytest

from examine_jax.labelled.boxes import BoxSet, format_of, match_images, read_boxes, write_boxes
from tests.support.random_boxes import random_boxes

VOC = """<annotation>
  <filename>a.png</filename>
  <size><width>100</width><height>50</height><depth>1</depth></size>
  <object><name>cyst</name><difficult>1</difficult>
    <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>50</ymax></bndbox>
    <part><name>wall</name><bndbox><xmin>5</xmin></bndbox></part>
  </object>
  <object><name>cyst</name><bndbox><xmin>9</xmin><ymin>2</ymin><xmax>3</xmax></bndbox></object>
  <object>
    <bndbox><xmin>9</xmin><ymin>2</ymin><xmax>30</xmax><ymax>9</ymax></bndbox>
  </object>
  <object><name>nodule</name>
    <bndbox><xmin>9</xmin><ymin>2</ymin><xmax>3</xmax><ymax>9</ymax></bndbox></object>
</annotation>
"""


def test_voc_counts_from_1_and_includes_the_last_pixel(tmp_path: pathlib.Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.xml").write_text(VOC)
    (tmp_path / "empty.xml").write_text("<annotation><size/></annotation>")
    (tmp_path / "twice.xml").write_text(VOC)
    (tmp_path / "other.xml").write_text("<html/>")
    (tmp_path / "torn.xml").write_text(VOC[:-30])
    boxes, problems = read_boxes(tmp_path)
    assert boxes.images == ("empty", "a.png")
    assert boxes.sizes.tolist() == [[-1, -1], [50, 100]]
    assert boxes.corners.tolist() == [[0, 1, 30, 50]]
    found = {(pathlib.Path(p.file).name, p.line): p.reason for p in problems}
    assert "another file has the boxes" in found.pop(("twice.xml", None))
    assert "no Pascal VOC annotation but <html>" in found.pop(("other.xml", None))
    assert "no XML" in found.pop(("torn.xml", None))
    assert "not of four numbers" in found.pop(("a.xml", 8))
    assert "an object without a name" in found.pop(("a.xml", 9))
    assert "has no area" in found.pop(("a.xml", 12))
    assert not found


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_hostile_xml_is_refused(tmp_path: pathlib.Path, head: str) -> None:
    (tmp_path / "a.xml").write_text(f"{head}<annotation>&b;</annotation>")
    with pytest.raises(ValueError, match=r"a.xml: XML with entities"):
        read_boxes(tmp_path)


def yolo_folder(folder: pathlib.Path, names: str = "names: [cyst, nodule]") -> pathlib.Path:
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "data.yaml").write_text(names)
    (folder / "labels" / "train" / "a.b.txt").write_text(
        "0 .5 .5 .2 .4\n\n1 0.1 0.1 0.2 0.1 0.3 0.4\n7 .5 .5 .2 .2\n0 .5 .5 .2\n0 .5 .5 x .2\n"
        "nan .5 .5 .2 .2\n1 .5 .5 -.2 .2\n"
    )
    (folder / "labels" / "train" / "none.txt").write_text("")
    (folder / "labels" / "train" / "stranger.txt").write_text("0 .5 .5 .2 .2")
    return folder


@pytest.mark.parametrize(
    "names", ["names: [cyst, nodule]", "names:\n  1: nodule\n  0: cyst", "names:\n- cyst\n- nodule"]
)
def test_yolo_is_read_with_the_images_sizes(tmp_path: pathlib.Path, names: str) -> None:
    images = ("train/a.b.jpg", "train/none.jpg")
    sizes = np.array([[100, 200], [10, 10]])
    boxes, problems = read_boxes(yolo_folder(tmp_path, names), names=images, sizes=sizes)
    assert boxes.images == ("train/a.b", "train/none")
    assert boxes.classes == ("cyst", "nodule")
    np.testing.assert_allclose(boxes.corners, [[80, 30, 120, 70], [20, 10, 60, 40]])
    assert boxes.score is None
    assert [problem.line for problem in problems] == [4, 5, 6, 7, None, 8]
    joined, _ = match_images(boxes, images, sizes)
    np.testing.assert_allclose(joined.corners, boxes.corners)
    assert joined.counts().tolist() == [2, 0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("names: {0: a, 2: b}", "are not 0 to 1"),
        ("names: 3", "must list the names"),
        ("names: [a, a]", "'a' is there twice"),
        ("names: [", "no YAML"),
        ("names: !!python/object/apply:os.system ['true']", "no YAML"),
        ("[" * 5000, "brackets"),
    ],
)
def test_bad_names_of_classes_are_refused(tmp_path: pathlib.Path, names: str, message: str) -> None:
    known = {"names": ("train/none.jpg",), "sizes": np.array([[10, 10]])}
    with pytest.raises(ValueError, match=message):
        read_boxes(yolo_folder(tmp_path, names), **known)


def test_yolo_without_images_or_names_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="give the folder of images"):
        read_boxes(yolo_folder(tmp_path))
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(ValueError, match=r"in no data.yaml or classes.txt"):
        read_boxes(tmp_path, format="yolo")


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("format", ["voc", "yolo"])
def test_folders_are_read_back(tmp_path: pathlib.Path, format: str, scored: bool) -> None:
    boxes = random_boxes(scored=scored)
    write_boxes(tmp_path, boxes, format=format)
    assert format_of(tmp_path) == format
    again, problems = read_boxes(tmp_path, names=boxes.images, sizes=boxes.sizes)
    assert problems == ()
    again, problems = match_images(again.with_classes(boxes.classes), boxes.images, boxes.sizes)
    assert problems == ()
    order = np.argsort(again.image, kind="stable")
    np.testing.assert_allclose(again.corners[order], boxes.corners, atol=1e-10)
    assert np.array_equal(again.label[order], boxes.label)
    assert np.array_equal(again.image[order], boxes.image)
    if scored and format == "yolo":
        assert np.array_equal(again.score[order], boxes.score)


def test_another_code_reads_the_folders(tmp_path: pathlib.Path) -> None:
    globox = pytest.importorskip("globox")
    from PIL import Image

    boxes = random_boxes()
    images = tuple(pathlib.PurePosixPath(name).name for name in boxes.images)
    boxes = BoxSet(**{**_fields(boxes), "images": images})
    for name in ("voc", "yolo", "images"):
        (tmp_path / name).mkdir()
    for name, (height, width) in zip(images, boxes.sizes.tolist()):
        Image.new("1", (width, height)).save(tmp_path / "images" / name)
    write_boxes(tmp_path / "voc", boxes, format="voc")
    theirs = globox.AnnotationSet.from_pascal_voc(tmp_path / "voc")
    expected = boxes.corners + np.array([1, 1, 0, 0])  # globox hands the file's numbers on
    _compare(theirs, boxes, expected)
    theirs.save_pascal_voc(tmp_path / "voc2")
    again, problems = read_boxes(tmp_path / "voc2")
    assert problems == ()
    order = [again.images.index(image) for image in images]
    np.testing.assert_allclose(again.select(order).corners, boxes.corners)

    write_boxes(tmp_path / "yolo", boxes, format="yolo")
    (tmp_path / "yolo" / "classes.txt").rename(tmp_path / "classes.txt")
    theirs = globox.AnnotationSet.from_yolo_v5(
        tmp_path / "yolo", image_folder=tmp_path / "images", image_extension=".png"
    )
    numbered = BoxSet(**{**_fields(boxes), "classes": ("0", "1", "2")})
    _compare(theirs, numbered, boxes.corners)
    theirs.save_yolo_v5(tmp_path / "yolo2", label_to_id={"0": 0, "1": 1})
    again, problems = read_boxes(tmp_path / "yolo2", names=images, sizes=boxes.sizes)
    assert problems == ()
    again, _ = match_images(again, images, boxes.sizes)
    np.testing.assert_allclose(
        again.corners[np.argsort(again.image, kind="stable")], boxes.corners, atol=1e-3
    )


def _fields(boxes: BoxSet) -> dict:
    return {name: value for name, value in vars(boxes).items() if not name.startswith("_")}


def _compare(theirs, boxes: BoxSet, corners: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    for image, name in enumerate(boxes.images):
        rows = boxes.of_image(image)
        found = theirs[name].boxes if name in theirs.image_ids else []
        assert [box.label for box in found] == [boxes.classes[boxes.label[row]] for row in rows]
        np.testing.assert_allclose(
            np.array([box.ltrb for box in found]).reshape(-1, 4), corners[rows], atol=1e-6
        )


def test_files_that_would_collide_or_lead_out_are_refused(tmp_path: pathlib.Path) -> None:
    boxes = random_boxes()
    for name, message in (
        ("folder/im äge 0.jpg", "would both have the file"),
        ("../a.png", "outside the folder"),
        ("/a.png", "outside the folder"),
    ):
        with pytest.raises(ValueError, match=message):
            write_boxes(
                tmp_path,
                BoxSet(**{**_fields(boxes), "images": (*boxes.images[:-1], name)}),
                format="voc",
            )
    with pytest.raises(ValueError, match="name a folder that exists"):
        write_boxes(tmp_path / "none", boxes, format="yolo")
    unknown = BoxSet(**{**_fields(boxes), "sizes": np.full((9, 2), -1)})
    with pytest.raises(ValueError, match=r"the size of .* is not known"):
        write_boxes(tmp_path, unknown, format="yolo")


PHYSIONET = """image_id,rad_id,class_name,x_min,y_min,x_max,y_max
50a418,R10,Cardiomegaly,691,1375,1653,1831
50a418,R9,Cardiomegaly,700,1380,1650,1840
50a418,R8,No finding,,,,
9f3b,R9,No finding,,,,
"""
KAGGLE = """image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max
50a418,Cardiomegaly,3,R10,691.0,1375.0,1653.0,1831.0
9f3b,No finding,14,R9,,,,
9f3c,No finding,14,R9,0,0,1,1
"""


def test_vindr_is_read_as_physionet_hands_it_out(tmp_path: pathlib.Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "annotations_train.csv").write_text(PHYSIONET)
    assert format_of(tmp_path) == "vindr"
    names, sizes = ("train/50a418.dicom", "train/9f3b.dicom"), np.array([[2336, 2080], [9, 9]])
    boxes, problems = read_boxes(tmp_path, names=names, sizes=sizes)
    assert problems == ()
    assert boxes.classes == ("Cardiomegaly",)
    assert boxes.readers == ("R10", "R9", "R8")
    assert boxes.sizes.tolist() == sizes.tolist()
    assert sorted(map(tuple, boxes.readings.tolist())) == [(0, 0), (0, 1), (0, 2), (1, 1)]
    joined, _ = match_images(boxes, names[::-1], sizes[::-1])
    assert joined.image.tolist() == [1, 1]
    (tmp_path / "annotations" / "annotations_test.csv").write_text("")
    with pytest.raises(ValueError, match="several tables"):
        read_boxes(tmp_path)


def test_vindr_is_read_as_kaggle_hands_it_out(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(KAGGLE)
    boxes, problems = read_boxes(tmp_path)
    assert problems == ()
    assert (boxes.classes, boxes.images) == (("Cardiomegaly",), ("50a418", "9f3b", "9f3c"))
    path.write_text(
        "\n".join(",".join(r.split(",")[:1] + r.split(",")[2:]) for r in KAGGLE.splitlines())
    )
    without_names, _ = read_boxes(path, format="vindr")
    assert without_names.classes == ("Cardiomegaly",)


def test_label_studio_takes_percent_and_keeps_scores(tmp_path: pathlib.Path) -> None:
    boxes = random_boxes(scored=True)
    write_boxes(tmp_path / "tasks.json", boxes, format="label_studio")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert [task["data"]["image"] for task in tasks] == list(boxes.images)
    regions = [region for task in tasks for region in task["predictions"][0]["result"]]
    found = np.array(
        [
            (v["x"], v["y"], v["x"] + v["width"], v["y"] + v["height"])
            for v in (region["value"] for region in regions)
        ]
    )
    sides = boxes.sizes[boxes.image][:, [1, 0, 1, 0]]
    np.testing.assert_allclose(found / 100 * sides, boxes.corners)
    assert [region["score"] for region in regions] == boxes.score.tolist()
    assert regions[0]["original_width"] == boxes.sizes[boxes.image[0], 1]
    assert "score" not in tasks[-1]["predictions"][0]


def test_cvat_gets_the_score_as_an_attribute(tmp_path: pathlib.Path) -> None:
    boxes = random_boxes(scored=True)
    write_boxes(tmp_path / "cvat.json", boxes, format="cvat")
    document = json.loads((tmp_path / "cvat.json").read_text())
    entries = document["annotations"]
    assert [entry["attributes"]["score"] for entry in entries] == boxes.score.tolist()
    assert all(entry["segmentation"] == [] and entry["iscrowd"] == 0 for entry in entries)
    for part in ("images", "categories", "annotations"):
        ids = [entry["id"] for entry in document[part]]
        assert ids == list(range(1, len(ids) + 1))


def test_an_unknown_format_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="unknown format of boxes 'pdf': choose from coco, "):
        read_boxes(tmp_path, format="pdf")
    with pytest.raises(ValueError, match=r"written to .csv or .json; name the format"):
        write_boxes(tmp_path / "a.txt", random_boxes())
    with pytest.raises(ValueError, match="no boxes in this folder"):
        read_boxes(tmp_path)
