"""Labelled images with labels and groups; errors in tables show before any image is decoded."""

import csv
import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image

from examine_jax.labelled.sets import LabelledImages, LabelledSource, read_labelled


def write(folder: pathlib.Path, count: int, rows: list[tuple[str, ...]]) -> pathlib.Path:
    folder.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    table = folder.parent / "table.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "kind", "patient"), *rows])
    return table


COLUMNS = {"image_column": "file", "label_column": "kind", "group_column": "patient"}
ROWS = [(f"{n}.png", "ab"[n % 2], f"p{n // 2}") for n in range(6)]


def read(folder: pathlib.Path, table: pathlib.Path | None) -> LabelledImages:
    source = LabelledSource(folder, labels=table, groups=table, **COLUMNS)
    return read_labelled(source, image_size=8, channels=3)


def test_a_folder_with_its_labels_and_groups(tmp_path: pathlib.Path) -> None:
    rows = [(f"{n}.png", "sick" if n % 3 else "well", f"p{n // 2}") for n in range(6)]
    found = read(tmp_path / "images", write(tmp_path / "images", 6, rows))
    assert found.classes == ("sick", "well")
    assert [found.classes[label] for label in found.labels] == [
        dict((row[0], row[1]) for row in rows)[name] for name in found.names
    ]
    assert found.groups is not None
    assert len(np.unique(found.groups)) == 3


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(f"{n}.png", "ab"[n % 2], "p") for n in range(3)], "no row for '3.png'"),
        ([(f"{n}.png", "a", "p") for n in range(4)], "1 classes for 4 images"),
        ([(f"{n}.png", f"{n}", "p") for n in range(4)], "4 classes for 4 images"),
    ],
)
def test_labels_that_will_not_do_are_refused(
    tmp_path: pathlib.Path, rows: list, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        read(tmp_path / "images", write(tmp_path / "images", 4, rows))


@pytest.mark.parametrize("which", ["labels", "groups"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"file,kind\n", "column 'patient' is absent|no row for '0.png'"),
        (b"name,kind,patient\n", "column 'file' is absent"),
        (b"file,kind,patient\n0.png,a,\xff\n", "give a CSV file in UTF-8"),
        (b"file,kind,patient\n0.png,a,p\n0.png,a,p\n", "line 3: a second row for '0.png'"),
        (b"file,kind,patient\n7.png,a,p\n", "images that are not there: '7.png'"),
        (
            b"file,kind,patient\n0.png,a,p\n",
            "no row for '1.png', '2.png', '3.png', '4.png', '5.png'; add a",
        ),
        (
            b"file,kind,patient\n" + b"".join(b"%d.png,,\n" % n for n in range(6)),
            "has an empty (kind|patient); fill it in",
        ),
    ],
)
def test_a_wrong_file_shows_before_any_image_is_decoded(
    tmp_path: pathlib.Path, which: str, content: bytes | None, reason: str
) -> None:
    sound = write(tmp_path / "images", 6, ROWS)
    wrong = tmp_path / "wrong.csv"
    if content is not None:
        wrong.write_bytes(content)
    reports: list[tuple[int, int]] = []
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        read_labelled(
            LabelledSource(
                tmp_path / "images",
                **{"labels": sound, "groups": sound, **{which: wrong}},
                **COLUMNS,
            ),
            image_size=8,
            channels=3,
            on_progress=lambda *done: reports.append(done),
        )
    assert not reports


def test_a_column_of_one_class_shows_before_any_image_is_decoded(tmp_path: pathlib.Path) -> None:
    table = write(tmp_path / "images", 4, [(f"{n}.png", "a", "p") for n in range(4)])
    reports: list[tuple[int, int]] = []
    with pytest.raises(ValueError, match="1 classes for 4 images"):
        read_labelled(
            LabelledSource(
                tmp_path / "images", labels=table, image_column="file", label_column="kind"
            ),
            image_size=8,
            channels=3,
            on_progress=lambda *done: reports.append(done),
        )
    assert not reports


@pytest.mark.parametrize("row", [True, False])
@pytest.mark.parametrize("damage", ["header", "pixels"])
def test_an_image_that_cannot_be_read_is_skipped_with_its_row_or_without(
    tmp_path: pathlib.Path, damage: str, row: bool
) -> None:
    folder = tmp_path / "images"
    # A class and a patient of its own, neither of which is left.
    table = write(folder, 6, [*ROWS[:5], *([("5.png", "A", "P")] if row else [])])
    content = (folder / "5.png").read_bytes()
    (folder / "5.png").write_bytes(b"\x89PNG" if damage == "header" else content[:60])
    found = read(folder, table)
    assert found.names == tuple(f"{n}.png" for n in range(5))
    assert found.skipped == 1
    assert found.classes == ("a", "b")
    np.testing.assert_array_equal(found.labels, [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(found.groups, [0, 0, 1, 1, 2])


def test_images_without_a_row_are_refused_beside_one_that_cannot_be_read(
    tmp_path: pathlib.Path,
) -> None:
    table = write(tmp_path / "images", 6, ROWS[:3])
    (tmp_path / "images" / "3.png").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match=r"no row for '4\.png', '5\.png'; add a"):
        read(tmp_path / "images", table)


@pytest.mark.parametrize("there", [True, False])
def test_an_array_file_has_its_labels_in_a_csv_file(tmp_path: pathlib.Path, there: bool) -> None:
    np.save(tmp_path / "tiles.npy", np.zeros((6, 8, 8), np.uint8))
    table = tmp_path / "table.csv"
    if not there:
        with pytest.raises(FileNotFoundError, match=r"table\.csv"):
            read(tmp_path / "tiles.npy", table)
        return
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [("file", "kind", "patient"), *((f"tiles[{n}]", *ROWS[n][1:]) for n in range(6))]
        )
    np.testing.assert_array_equal(read(tmp_path / "tiles.npy", table).labels, [0, 1, 0, 1, 0, 1])


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_the_frames_of_a_file_have_a_row_each(tmp_path: pathlib.Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")
    shipped = (
        pathlib.Path(pydicom.__file__).parent / "data" / "test_files" / "SC_rgb_rle_2frame.dcm"
    )
    names = ["0.png", "1.png", "2.dcm[0]", "2.dcm[1]"]
    table = write(
        tmp_path / "images", 2, [(name, "ab"[n % 2], "p") for n, name in enumerate(names)]
    )
    (tmp_path / "images" / "2.dcm").write_bytes(shipped.read_bytes())
    assert list(read(tmp_path / "images", table).names) == names
    table.write_text(table.read_text().replace("2.dcm[1]", "2.dcm[2]"))
    with pytest.raises(ValueError, match=r"not there: '2.dcm\[2\]'"):
        read(tmp_path / "images", table)


def test_a_tfds_data_set_has_its_labels_in_a_csv_file(tmp_path: pathlib.Path) -> None:
    tfds = pytest.importorskip("tensorflow_datasets", reason="TFDS sources need examine-jax[tfds]")
    table = tmp_path / "table.csv"
    reports: list[tuple[int, int]] = []
    for names in (6, 7):
        with table.open("w", newline="") as stream:
            csv.writer(stream).writerows(
                [("image", "label"), *((f"train[{n}]", "ab"[n % 2]) for n in range(names))]
            )
        with tfds.testing.mock_data(num_examples=6):
            if names == 6:
                found = read_labelled(
                    LabelledSource("tfds:patch_camelyon", labels=table), image_size=8, channels=3
                )
                np.testing.assert_array_equal(found.labels, [0, 1, 0, 1, 0, 1])
                continue
            with pytest.raises(ValueError, match=r"not there: 'train\[6\]'"):
                read_labelled(
                    LabelledSource("tfds:patch_camelyon", labels=table),
                    image_size=8,
                    channels=3,
                    on_progress=lambda *done: reports.append(done),
                )
    assert not reports


def test_no_labels_at_all_are_refused(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "images", 3, [])
    with pytest.raises(ValueError, match="give a CSV file of labels"):
        read(tmp_path / "images", None)


def test_an_archives_folders_are_classes_and_a_list_takes_a_table(tmp_path: pathlib.Path) -> None:
    table = write(tmp_path / "images", 6, ROWS)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for name, kind, _ in ROWS:
            archive.write(tmp_path / "images" / name, f"{kind}/{name}")
    found = read_labelled(LabelledSource(tmp_path / "packed.zip"), image_size=8, channels=3)
    assert found.classes == ("a", "b")
    assert found.names == ("a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png", "b/5.png")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    listed = tmp_path / "images" / "list.txt"
    listed.write_text("".join(f"{row[0]}\n" for row in ROWS))
    assert read(listed, table).labels.tolist() == [0, 1] * 3
    absolute = tmp_path / "list.txt"
    absolute.write_text("".join(f"../{tmp_path.name}/images/{row[0]}\n" for row in ROWS))
    with pytest.raises(ValueError, match="6 images lie in no class's sub-folder"):
        read_labelled(LabelledSource(absolute), image_size=8, channels=3)
