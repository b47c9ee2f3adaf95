"""Names of images beside a matrix of features."""

import pathlib

import pytest

from examine_jax.labelled.row_names import names_beside, read_names


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("n.txt", "a.png\nb, c.png\nd.png\n"),
        ("n.txt", "a.png\r\nb, c.png\r\nd.png"),
        ("n.csv", 'image\na.png\n"b, c.png"\nd.png\n'),
        ("n.csv", '\ufeffindex,image,score\n0,a.png,1\n1,"b, c.png",1\n2,d.png,1\n'),
    ],
)
def test_names_are_read_a_line_or_a_record_each(
    file: str, content: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / file).write_bytes(content.encode())
    assert read_names(tmp_path / file, 3) == ["a.png", "b, c.png", "d.png"]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("n.txt", b"a\nb\n", "2 names for 3 rows"),
        ("n.txt", b"a\nb\nc\nd\n", "4 names for 3 rows"),
        ("n.txt", b"a\nb\n\xff\n", "utf-8"),
        (
            "n.csv",
            b"name\na\nb\nc\n",
            "'image' is absent; the columns are name; name another by --image_column",
        ),
        ("n.csv", b"", "'image' is absent"),
        ("n.csv", b"index,image\n0,a\n2,c\n1,b\n", "line 3: the index is 2, not 1"),
        ("n.csv", b'image\n"a\nb\n', "n.csv"),
        ("n.csv", b"index,image\n0,a\n1\n2,b\n", "line 3 is cut short"),
        ("n.json", b"[]", r"\.csv and \.txt"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    file: str, content: bytes, reason: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=reason) as raised:
        read_names(tmp_path / file, 3)
    assert file in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_file_of_names_is_the_features_own_or_the_folders(tmp_path: pathlib.Path) -> None:
    features = tmp_path / "f.npy"
    features.touch()
    assert names_beside(features) is None
    (tmp_path / "names.txt").touch()
    assert names_beside(features) == names_beside(tmp_path) == tmp_path / "names.txt"
    (tmp_path / "f.names.csv").touch()
    assert names_beside(features) == tmp_path / "f.names.csv"
    (tmp_path / "f.names.txt").touch()
    with pytest.raises(ValueError, match="say which"):
        names_beside(features)
