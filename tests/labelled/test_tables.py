"""Label files that fit their images, and those that do not."""

import pathlib
from typing import Any

import numpy as np
import pytest

from examine_jax.labelled.labelled_rows import as_text
from examine_jax.labelled.row_names import read_names
from examine_jax.labelled.tables import check_label_file, read_column, read_groups, read_labels

NAMES = ("b.png", 'quo"te,\n.png', "größe.png")


def write(tmp_path: pathlib.Path, text: str | bytes) -> pathlib.Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


FULL = 'label,image,note\ntumour,größe.png,x\nnormal,b.png,\ntumour,"quo""te,\n.png",y\n'


@pytest.mark.parametrize(
    "text", [FULL, "\ufeff" + FULL, FULL.replace("\n", "\r\n").replace(",\r\n.png", ",\n.png")]
)
def test_labels_come_in_the_order_of_the_images(tmp_path: pathlib.Path, text: str) -> None:
    labels = read_labels(write(tmp_path, text), NAMES)
    assert labels.classes == ("normal", "tumour")
    assert labels.values.tolist() == [0, 1, 1]
    assert labels.values.dtype.name == "int32"


def test_other_columns_hold_groups(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, "file,patient\na,p10\nb,p9\nc,p10\n")
    groups = read_labels(path, ("c", "b", "a"), image_column="file", label_column="patient")
    assert groups.classes == ("p10", "p9")
    assert groups.values.tolist() == [0, 1, 0]


def test_numbers_are_ordered_as_numbers(tmp_path: pathlib.Path) -> None:
    labels = read_labels(write(tmp_path, "image,label\na,10\nb,9\nc,2\n"), "abc")
    assert labels.classes == ("2", "9", "10")
    assert labels.values.tolist() == [2, 1, 0]


def test_spaces_around_a_label_are_not_part_of_it(tmp_path: pathlib.Path) -> None:
    labels = read_labels(write(tmp_path, "image,label\na, x\nb,x \nc,y\n"), "abc")
    assert labels.classes == ("x", "y")
    assert labels.values.tolist() == [0, 0, 1]


@pytest.mark.parametrize("missing", ["nan", "NaN", " "])
def test_nan_is_no_label(tmp_path: pathlib.Path, missing: str) -> None:
    path = write(tmp_path, f"image,label\na,2\nb,{missing}\nc,1\n")
    found = read_labels(path, "abc", partial=True)
    assert found.values.tolist() == [1, -1, 0]
    with pytest.raises(ValueError, match="line 3: 'b' has an empty label"):
        read_labels(path, "abc")


def test_what_a_file_says_of_images_that_could_not_be_read_is_passed_over(
    tmp_path: pathlib.Path,
) -> None:
    path = write(tmp_path, "image,label\na,x\nbroken,y\nb,x\nbroken too,\n")
    found = read_labels(path, "ab", skipped=("broken", "broken too", "another"))
    assert (found.values.tolist(), found.classes) == ([0, 0], ("x",))


def test_a_file_is_checked_before_images_are_known(tmp_path: pathlib.Path) -> None:
    check_label_file(write(tmp_path, "file,grade\na,1\n"), "file", "grade")
    with pytest.raises(ValueError, match="column 'grade'"):
        check_label_file(write(tmp_path, "file,label\na,1\n"), "file", "grade")
    with pytest.raises(OSError, match=r"nothing\.csv"):
        check_label_file(tmp_path / "nothing.csv")


def test_images_may_be_without_labels_where_that_is_said(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, "image,label\na,x\nb,\n")
    assert read_labels(path, "abc", partial=True).values.tolist() == [0, -1, -1]
    with pytest.raises(ValueError, match="line 3: 'b' has an empty label"):
        read_labels(path, "abc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,label\na,1\nb,1\nc,1\nz.png,2\ny,3\n",
            r"images that are not there: 'z\.png', 'y'; .*'a', 'b'",
        ),
        ("image,label\n" + "".join(f"x{i},1\n" for i in range(9)), "'x4' and 4 more"),
        ("image,label\na,1\n", "no row for 'b', 'c'; add a label"),
        ("image,label\na,1\nb,1\na,2\nc,1\n", "line 4: a second row for 'a'"),
        (
            "image,class\na,1\n",
            "column 'label' is absent; the columns are image, class; name another by "
            "--label_column",
        ),
        ("image,label,label\na,1,2\n", "column 'label' is there twice"),
        ("", "the columns are none"),
        ("image,label\na\n", "line 2 is cut short"),
        (b"image,label\na,\xff\n", "utf-8"),
        ('image,label\n"a,1\n', "end of data"),
    ],
)
def test_files_that_do_not_fit_say_where(
    tmp_path: pathlib.Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as failure:
        read_labels(write(tmp_path, text), "abc")
    assert "labels.csv" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_missing_file_and_a_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_labels(tmp_path / "nothing.csv", "abc")
    with pytest.raises(ValueError, match="not a plain file"):
        read_labels(tmp_path, "abc")


NAMED = ("a.png", "b.png", "c.png")


@pytest.mark.parametrize("read", [read_column, read_groups], ids=["labels", "groups"])
def test_names_under_another_header_are_refused_with_the_flag(
    tmp_path: pathlib.Path, read: Any
) -> None:
    """By order two of these three labels would be wrong."""
    path = write(tmp_path, "filename,label\nc.png,x\nb.png,y\na.png,z\n")
    arguments = {read_column: (3, "label", NAMED), read_groups: (3, NAMED, "image", "label")}[read]
    with pytest.raises(
        ValueError, match="column 'filename', not 'image': give --image_column=filename"
    ):
        read(path, *arguments)
    stems = write(tmp_path, "id,label\nc,x\nb,y\na,z\n")
    with pytest.raises(ValueError, match="--image_column=id"):
        read(stems, *arguments)
    without = {read_column: (3, "label"), read_groups: (3, None, "image", "label")}[read]
    path = write(tmp_path, "filename,label\nc.png,x\nb.png,y\na.png,z\n")
    with pytest.raises(
        ValueError, match="--image_column=filename, and a file of names beside the features"
    ):
        read(path, *without)


def test_labels_are_matched_by_order_where_nothing_names_images(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, "label,group\nx,1\ny,2\nx,3\n")
    assert read_column(path, 3, "label", NAMED).tolist() == ["x", "y", "x"]
    assert read_column(path, 3, "group").tolist() == ["1", "2", "3"]


def test_images_that_the_rows_cannot_be_matched_with_are_refused(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, "image,label\nc.png,x\nb.png,y\na.png,z\n")
    with pytest.raises(ValueError, match="names images, the features have no names"):
        read_column(path, 3, "label")


@pytest.mark.parametrize("read", [read_column, read_groups], ids=["labels", "groups"])
def test_index_and_image_that_contradict_each_other_are_refused(
    tmp_path: pathlib.Path, read: Any
) -> None:
    arguments = {read_column: (3, "label", NAMED), read_groups: (3, NAMED, "image", "label")}[read]
    path = write(tmp_path, "image,index,label\nc.png,2,x\nb.png,0,y\na.png,1,z\n")
    with pytest.raises(
        ValueError, match=r"line 3: index 0 is 'a\.png', but the column 'image' has 'b\.png'"
    ):
        read(path, *arguments)
    path = write(tmp_path, "image,index,label\nc.png,2,x\nb.png,1,y\na.png,0,z\n")
    found = read(path, *arguments)
    assert (
        found.tolist() if read is read_column else [found.classes[code] for code in found.values]
    ) == [
        "z",
        "y",
        "x",
    ]


def test_nan_as_text_is_no_class_of_a_matrix_either(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, "label\nx\nNaN\ny\n")
    assert read_column(path, 3, "label").tolist() == ["x", "", "y"]
    with pytest.raises(ValueError, match=r"labels are missing for row 1 \(1 in all\)"):
        as_text(np.array(["x", "nan", "y"]), None, "labels")
    with pytest.raises(ValueError, match="line 3: 'b' has an empty group"):
        read_groups(write(tmp_path, "image,group\na,x\nb,nan\nc,y\n"), 3, "abc")


def test_endings_in_capitals_are_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "L.CSV").write_text("label\nx\ny\n")
    (tmp_path / "N.TXT").write_text("a\nb\n")
    np.save(tmp_path / "l.npy", np.array([1, 2]))
    (tmp_path / "l.npy").rename(tmp_path / "L.NPY")
    assert read_column(tmp_path / "L.CSV", 2, "label").tolist() == ["x", "y"]
    assert read_column(tmp_path / "L.NPY", 2, "label").tolist() == [1, 2]
    assert read_names(tmp_path / "N.TXT", 2) == ["a", "b"]


def test_one_duplicate_in_many_rows_is_found(tmp_path: pathlib.Path) -> None:
    rows = 65_536  # comparing all pairs would take minutes
    lines = [f"{row},x\n" for row in range(rows - 1)]
    path = write(tmp_path, "index,label\n" + "".join(lines) + "7,x\n")
    with pytest.raises(ValueError, match=f"line {rows + 1}: a second row for '7'"):
        read_column(path, rows, "label")
