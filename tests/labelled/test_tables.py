"""Label files that fit their images, and those that do not."""

import pathlib

import pytest

from examine_jax.labelled.tables import check_label_file, read_labels

NAMES = ("b.png", 'quo"te,\n.png', "größe.png")


def write(tmp_path: pathlib.Path, text: str | bytes) -> pathlib.Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


FULL = 'label,image,note\ntumour,größe.png,x\nnormal,b.png,\ntumour,"quo""te,\n.png",y\n'


@pytest.mark.parametrize("text", [FULL, "\ufeff" + FULL, FULL.replace("\n", "\r\n").replace(",\r\n.png", ",\n.png")])
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


def test_what_a_file_says_of_images_that_could_not_be_read_is_passed_over(tmp_path: pathlib.Path) -> None:
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
        ("image,label\na,1\nb,1\nc,1\nz.png,2\ny,3\n", r"images that are not there: 'z\.png', 'y'; .*'a', 'b'"),
        ("image,label\n" + "".join(f"x{i},1\n" for i in range(9)), "'x4' and 4 more"),
        ("image,label\na,1\n", "no row for 'b', 'c'; add a label"),
        ("image,label\na,1\nb,1\na,2\nc,1\n", "line 4: a second row for 'a'"),
        ("image,class\na,1\n", "column 'label': no such; the columns are image, class"),
        ("image,label,label\na,1,2\n", "column 'label': twice such"),
        ("", "the columns are none"),
        ("image,label\na\n", "line 2 is cut short"),
        (b"image,label\na,\xff\n", "utf-8"),
        ('image,label\n"a,1\n', "end of data"),
    ],
)
def test_files_that_do_not_fit_say_where(tmp_path: pathlib.Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as failure:
        read_labels(write(tmp_path, text), "abc")
    assert "labels.csv" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_missing_file_and_a_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_labels(tmp_path / "nothing.csv", "abc")
    with pytest.raises(ValueError, match="not a plain file"):
        read_labels(tmp_path, "abc")
