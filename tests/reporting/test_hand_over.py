"""The chosen images reach the tools in which they are labelled, in order and without metadata."""

import csv
import json
import pathlib
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from examine_jax.reporting.hand_over.chosen import ChosenImage, ChosenImages
from examine_jax.reporting.hand_over.registry import FORMATS, NAMES, hand_over
from tests.support.names import HOSTILE_NAMES

FILE_NAMES = ("b %20 &.jpg", "#a?b.jpg", "日本/c.jpg", "d;e+f.jpg")


def _pixels(order: int) -> np.ndarray:
    return np.random.default_rng(order).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def _chosen(root: pathlib.Path, names: tuple[str, ...], *, files: bool) -> ChosenImages:
    images = []
    for order, name in enumerate(names, 1):
        file = root / name if files else None
        if file is not None:
            file.parent.mkdir(exist_ok=True, parents=True)
            exif = Image.Exif()
            exif[0x010E] = "a patient's name"
            Image.fromarray(_pixels(order)).save(file, format="JPEG", exif=exif)
        nearest = names[order - 2] if order > 1 else ""
        images.append(ChosenImage(order, name, 10 * order, "p1", order, nearest, file))
    return ChosenImages(tuple(images), lambda image: _pixels(image.order), root)


def test_the_list_has_a_line_for_each_name_in_order(tmp_path: pathlib.Path) -> None:
    assert hand_over(tmp_path, _chosen(tmp_path, HOSTILE_NAMES, files=False)) == ("list",)
    lines = (tmp_path / "to_label.txt").read_text(encoding="utf-8").split("\n")
    assert len(lines) == len(HOSTILE_NAMES) + 1
    for name, line in zip(HOSTILE_NAMES, lines, strict=False):
        assert line.replace("\\n", "\n").replace("\\r", "\r") == name
    assert sorted(file.name for file in tmp_path.iterdir()) == ["to_label.txt"]


def test_label_studio_finds_each_image_below_its_document_root(tmp_path: pathlib.Path) -> None:
    workdir, images = tmp_path / "o", tmp_path / "images"
    workdir.mkdir()
    chosen = _chosen(images, FILE_NAMES, files=True)
    assert hand_over(workdir, chosen) == ("list", "label_studio")
    tasks = json.loads((workdir / "label_studio.json").read_text())
    assert [task["data"]["order"] for task in tasks] == [1, 2, 3, 4]
    assert [task["data"]["name"] for task in tasks] == list(FILE_NAMES)
    assert tasks[1]["data"]["nearest_chosen"] == FILE_NAMES[0]
    for task in tasks:
        # Basic JSON format: only `data` is required. The path is decoded as Label Studio does it.
        assert set(task) == {"data"}
        url = urllib.parse.urlparse(task["data"]["image"])
        assert url.path == "/data/local-files/"
        (path,) = urllib.parse.parse_qs(url.query)["d"]
        assert (images / path).read_bytes() == (images / task["data"]["name"]).read_bytes()


def test_fiftyone_gets_a_key_in_order_and_a_file_for_each_image(tmp_path: pathlib.Path) -> None:
    chosen = _chosen(tmp_path / "images", FILE_NAMES, files=True)
    assert hand_over(tmp_path, chosen, ["fiftyone"]) == ("fiftyone",)
    folder = tmp_path / "fiftyone"
    labels = json.loads((folder / "labels.json").read_text())
    # As FiftyOneImageClassificationDatasetImporter reads them: keys sorted, paths joined.
    keys = sorted(labels["labels"])
    assert keys == ["0001", "0002", "0003", "0004"]
    assert set(labels["labels"].values()) == {None}
    files = json.loads((folder / "data.json").read_text())
    for key, image in zip(keys, chosen.images, strict=True):
        assert image.file is not None
        assert image.file.samefile(folder / files[key])


def test_pictures_are_exact_and_without_names_or_metadata(tmp_path: pathlib.Path) -> None:
    workdir, images = tmp_path / "o", tmp_path / "images"
    workdir.mkdir()
    (workdir / "to_label").mkdir()
    (workdir / "to_label" / "notes.txt").write_text("the user's own")
    chosen = _chosen(images, FILE_NAMES, files=True)
    assert hand_over(workdir, chosen, ["png", "label_studio"]) == ("label_studio", "png")
    written = sorted(file.name for file in (workdir / "to_label").iterdir())
    assert written == ["0001.png", "0002.png", "0003.png", "0004.png", "notes.txt"]
    for order in range(1, 5):
        with Image.open(workdir / "to_label" / f"000{order}.png") as picture:
            assert picture.info == {}
            assert not picture.getexif()
            np.testing.assert_array_equal(np.asarray(picture), _pixels(order))
    tasks = json.loads((workdir / "label_studio.json").read_text())
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=to_label/0001.png"


def test_originals_are_kept_only_if_asked_for(tmp_path: pathlib.Path) -> None:
    chosen = _chosen(tmp_path / "images", FILE_NAMES, files=True)
    assert hand_over(tmp_path, chosen, ["list"], keep_originals=True) == ("list", "png")
    for image in chosen.images:
        assert image.file is not None
        copy = tmp_path / "to_label" / f"000{image.order}.jpg"
        assert copy.read_bytes() == image.file.read_bytes()


def test_formats_that_point_to_files_get_pictures_where_there_are_no_files(
    tmp_path: pathlib.Path,
) -> None:
    chosen = _chosen(tmp_path, ("a[0]", "a[1]"), files=False)
    assert hand_over(tmp_path, chosen, ["fiftyone"]) == ("fiftyone", "png")
    files = json.loads((tmp_path / "fiftyone" / "data.json").read_text())
    assert [pathlib.Path(file).name for file in files.values()] == ["0001.png", "0002.png"]


def test_a_grey_picture_stays_grey(tmp_path: pathlib.Path) -> None:
    chosen = ChosenImages(
        (ChosenImage(1, "a", 0, "", 1, ""),), lambda _: np.full((5, 4, 1), 7, np.uint8), tmp_path
    )
    hand_over(tmp_path, chosen, ["png"])
    with Image.open(tmp_path / "to_label" / "0001.png") as picture:
        assert picture.mode == "L"
        assert picture.size == (4, 5)


def test_lists_of_an_earlier_choice_do_not_stay(tmp_path: pathlib.Path) -> None:
    chosen = _chosen(tmp_path / "images", FILE_NAMES, files=True)
    hand_over(tmp_path, chosen, NAMES)
    assert hand_over(tmp_path, None) == ()
    left = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert not left & {"to_label.txt", "label_studio.json", "data.json", "labels.json"}
    assert not left & {"0001.png", "to_label_pictures.csv"}


def test_a_rerun_keeps_the_users_annotations(tmp_path: pathlib.Path) -> None:
    chosen = _chosen(tmp_path / "images", FILE_NAMES, files=True)
    hand_over(tmp_path, chosen, ["png"])
    folder = tmp_path / "to_label"
    own = {
        "0001.txt": b"0 .5 .5 .1 .1",
        "0001.json": b"{}",
        "0002.xml": b"<a/>",
        "0003.png": b"drawn on",
    }
    for name, content in own.items():
        (folder / name).write_bytes(content)
    more = ("more.jpg",)
    for again in (chosen, chosen, _chosen(tmp_path / "images", FILE_NAMES + more, files=True)):
        hand_over(tmp_path, again, ["png"])
        assert {name: (folder / name).read_bytes() for name in own} == own
    assert (folder / "0005.png").is_file()
    hand_over(tmp_path, chosen, ["list"])
    assert {file.name for file in folder.iterdir()} == {*own, "0001.png", "0002.png", "0004.png"}
    other = _chosen(tmp_path / "images", FILE_NAMES[::-1], files=True)
    for formats in (["png"], ["list"]):
        with pytest.raises(ValueError, match=r"another choice \(0001.json, 0001.txt, 0002.xml, "):
            hand_over(tmp_path, other, formats)
    hand_over(tmp_path, None)
    assert {name: (folder / name).read_bytes() for name in own} == own
    assert (folder / "0001.png").is_file()


def test_a_file_that_no_run_wrote_is_not_overwritten(tmp_path: pathlib.Path) -> None:
    chosen = _chosen(tmp_path / "images", FILE_NAMES, files=True)
    (tmp_path / "to_label").mkdir()
    (tmp_path / "to_label" / "0002.png").write_text("the user's")
    hand_over(tmp_path, chosen, ["list"])
    with pytest.raises(ValueError, match=r"0002\.png"):
        hand_over(tmp_path, chosen, ["png"])
    assert (tmp_path / "to_label" / "0002.png").read_text() == "the user's"
    assert len(list((tmp_path / "to_label").iterdir())) == 1


def test_no_picture_of_an_old_choice_lies_beside_a_new_list(tmp_path: pathlib.Path) -> None:
    chosen = _chosen(tmp_path / "images", FILE_NAMES, files=True)
    hand_over(tmp_path, chosen, ["png"])
    with (tmp_path / "to_label_pictures.csv").open(newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    assert [row["file"] for row in table] == ["0001.png", "0002.png", "0003.png", "0004.png"]
    assert [row["image"] for row in table] == list(FILE_NAMES)
    assert [row["index"] for row in table] == ["10", "20", "30", "40"]
    swapped = (FILE_NAMES[0], *FILE_NAMES[:0:-1])
    hand_over(tmp_path, _chosen(tmp_path / "images", swapped, files=True), ["list"])
    left = {file.name for file in (tmp_path / "to_label").iterdir()}
    assert left == {"0001.png", "0003.png"}  # the first and the middle one are where they were


def test_a_killed_run_leaves_nothing_that_cannot_be_replaced(tmp_path: pathlib.Path) -> None:
    chosen = _chosen(tmp_path / "images", FILE_NAMES, files=True)

    def killed(image: ChosenImage) -> np.ndarray:
        if image.order == 3:
            raise KeyboardInterrupt
        return _pixels(image.order)

    with pytest.raises(KeyboardInterrupt):
        hand_over(tmp_path, ChosenImages(chosen.images, killed, chosen.root), ["png"])
    hand_over(tmp_path, _chosen(tmp_path / "images", FILE_NAMES[::-1], files=True), ["png"])
    assert len(list((tmp_path / "to_label").iterdir())) == 4


def test_a_table_that_names_other_files_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "0001.png").write_text("outside")
    lines = "file,image,index,sha256\n../0001.png,a,0,\n"
    (tmp_path / "to_label_pictures.csv").write_text(lines)
    with pytest.raises(ValueError, match=r"lists '\.\./0001\.png'"):
        hand_over(tmp_path, None)
    assert (tmp_path / "0001.png").is_file()


def test_originals_that_browsers_do_not_show_are_copied_with_a_picture_for_the_tools(
    tmp_path: pathlib.Path,
) -> None:
    file = tmp_path / "IM.dcm"
    file.write_bytes(b"not decoded here")
    image = ChosenImage(1, "IM.dcm", 0, "", 1, "", file, shown=False)
    chosen = ChosenImages((image,), lambda _: _pixels(1), tmp_path)
    assert hand_over(tmp_path, chosen, keep_originals=True) == ("list", "png")
    assert [one.name for one in (tmp_path / "to_label").iterdir()] == ["0001.dcm"]
    hand_over(tmp_path, chosen, ["label_studio"], keep_originals=True)
    written = sorted(one.name for one in (tmp_path / "to_label").iterdir())
    assert written == ["0001.dcm", "0001.png"]
    assert (tmp_path / "to_label" / "0001.dcm").read_bytes() == file.read_bytes()
    assert "to_label/0001.png" in (tmp_path / "label_studio.json").read_text()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_written_twice(name: str, tmp_path: pathlib.Path) -> None:
    chosen = _chosen(tmp_path / "images", FILE_NAMES, files=True)
    assert hand_over(tmp_path, chosen, [name]) == hand_over(tmp_path, chosen, [name])
