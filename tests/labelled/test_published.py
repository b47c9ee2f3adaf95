"""Published sets in their own layouts give labels, groups and splits; contradictions are named."""

import pathlib
import shutil
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from examine_jax.images import ImageSet, load_folder
from examine_jax.labelled.published import read as official_layouts
from examine_jax.labelled.published.chestx_ray14 import CLASSES as CHESTX_RAY14_CLASSES
from examine_jax.labelled.published.isic_2019 import CLASSES as ISIC_2019_CLASSES
from examine_jax.labelled.published.read import read_official
from tests.support import official_miniatures as miniatures


def test_isic_2019_has_classes_and_lesions(tmp_path: pathlib.Path) -> None:
    miniatures.isic_2019(tmp_path)
    found = read_official("isic_2019", tmp_path, image_size=12)
    assert found.pixels.shape == (48, 12, 12, 3)
    assert found.classes == ISIC_2019_CLASSES
    np.testing.assert_array_equal(found.labels, np.arange(48) % 8)
    assert found.tested is None
    assert found.groups is not None
    # Images 8 to 47 name 24 lesions, the first eight none: they are on their own.
    assert len(np.unique(found.groups)) == 32
    assert found.groups[8] == found.groups[32] != found.groups[9]


def test_isic_2016_has_its_test_set(tmp_path: pathlib.Path) -> None:
    miniatures.isic_2016(tmp_path)
    found = read_official("isic_2016", tmp_path, image_size=12)
    assert found.tested is not None
    assert (len(found.names), int(found.tested.sum())) == (24, 8)
    np.testing.assert_array_equal(found.labels, np.arange(24) % 2)
    assert found.names[0] == "ISBI2016_ISIC_Part3_Training_Data/ISIC_0000000.jpg"


@pytest.mark.parametrize("on_demand", [False, True])
def test_chestx_ray14_has_several_labels_patients_and_a_split(
    tmp_path: pathlib.Path, on_demand: bool
) -> None:
    miniatures.chestx_ray14(tmp_path)
    found = read_official("chestx_ray14", tmp_path, image_size=12, channels=1, on_demand=on_demand)
    assert found.labels.shape == (94, 14)
    assert found.tested is not None
    assert found.groups is not None
    by_name = {name.rpartition("/")[2]: row for row, name in enumerate(found.names)}
    row = by_name["00000000_001.png"]
    assert [CHESTX_RAY14_CLASSES[code] for code in np.flatnonzero(found.labels[row])] == [
        "Atelectasis",
        "Cardiomegaly",
    ]
    assert not found.labels[by_name["00000900_000.png"]].any()
    assert found.groups[by_name["00000000_000.png"]] == found.groups[row]
    assert found.tested[by_name["00000901_000.png"]]
    assert not found.tested[row]
    rows = np.array([row, 0], np.int32)
    assert found.pixels[rows].shape == (2, 12, 12, 1)
    assert found.pixels.shape == (94, 12, 12, 1)


def test_images_on_demand_are_those_that_are_read_at_once(tmp_path: pathlib.Path) -> None:
    miniatures.chestx_ray14(tmp_path)
    demanded = read_official("chestx_ray14", tmp_path, image_size=12, on_demand=True)
    at_once = read_official("chestx_ray14", tmp_path, image_size=12)
    np.testing.assert_array_equal(demanded.pixels[np.arange(94)], at_once.pixels)
    assert demanded.names == at_once.names


@pytest.mark.parametrize("table", [True, False])
def test_shenzhen_has_its_classes_in_the_files_names(tmp_path: pathlib.Path, table: bool) -> None:
    miniatures.shenzhen(tmp_path)
    if not table:
        (tmp_path / "shenzhen_metadata.csv").unlink()
    found = read_official("shenzhen", tmp_path, image_size=12)
    np.testing.assert_array_equal(found.labels, np.arange(20) % 2)


def _replace(name: str, old: str, new: str) -> Callable[[pathlib.Path], None]:
    def change(folder: pathlib.Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def _remove(name: str) -> Callable[[pathlib.Path], None]:
    return lambda folder: (folder / name).unlink()


def _append(name: str, text: str) -> Callable[[pathlib.Path], None]:
    def change(folder: pathlib.Path) -> None:
        with (folder / name).open("a") as stream:
            stream.write(text)

    return change


def _cut(name: str, lines: int) -> Callable[[pathlib.Path], None]:
    def change(folder: pathlib.Path) -> None:
        kept = (folder / name).read_text().splitlines(keepends=True)[:lines]
        (folder / name).write_text("".join(kept))

    return change


def _both(*changes: Callable[[pathlib.Path], None]) -> Callable[[pathlib.Path], None]:
    def change(folder: pathlib.Path) -> None:
        for one in changes:
            one(folder)

    return change


_TRUTH, _METADATA = "ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv"
_ENTRIES, _TRAINING, _TEST = "Data_Entry_2017.csv", "train_val_list.txt", "test_list.txt"
_ROW_901 = "00000901_000.png,No Finding,0,901,31,\n"


@pytest.mark.parametrize(
    ("layout", "change", "reason"),
    [
        ("isic_2019", _remove(_TRUTH), f"{_TRUTH} is missing"),
        (
            "isic_2019",
            _remove("ISIC_2019_Training_Input/ISIC_0000003.jpg"),
            "labels name are not there: ISIC_0000003",
        ),
        (
            "isic_2019",
            _both(
                _replace(_TRUTH, "ISIC_0000003", "ISIC_0000099"),
                _replace(_METADATA, "ISIC_0000003", "ISIC_0000099"),
            ),
            "1 of 48 images that the isic_2019 labels name are not there: ISIC_0000099",
        ),
        (
            "isic_2019",
            _replace(_TRUTH, "ISIC_0000003", "ISIC_0000002"),
            "second row for 'ISIC_0000002'",
        ),
        ("isic_2019", _replace(_TRUTH, "SCC,UNK", "SCC,UNK,XYZ"), "unknown class 'XYZ'"),
        ("isic_2019", _replace(_TRUTH, "SCC", "SCX"), "the column 'SCC' is absent"),
        (
            "isic_2019",
            _replace(_TRUTH, "ISIC_0000000,1.0", "ISIC_0000000,0.0"),
            "needs one of the known classes",
        ),
        ("isic_2019", _replace(_TRUTH, "ISIC_0000000,1.0", "ISIC_0000000,yes"), "is no number"),
        (
            "isic_2016",
            _replace(
                "ISBI2016_ISIC_Part3_Training_GroundTruth.csv", "0000000,benign", "0000000,nevus"
            ),
            "unknown class",
        ),
        (
            "chestx_ray14",
            _replace("Data_Entry_2017.csv", "Hernia", "Hernja"),
            "unknown class 'Hernja'",
        ),
        (
            "chestx_ray14",
            _replace("test_list.txt", "00000901_000.png", ""),
            "00000901_000.png is neither in train_val_list",
        ),
        (
            "chestx_ray14",
            _both(_replace(_ENTRIES, _ROW_901, ""), _replace(_TEST, "00000901_000.png", "")),
            "have no chestx_ray14 label: 00000901_000",
        ),
        (
            "shenzhen",
            _replace("shenzhen_metadata.csv", "CHNCXR_0003_0", "CHNCXR_0003_7"),
            "names no known class",
        ),
        ("shenzhen", _remove("CXR_png/CHNCXR_0003_0.png"), "are not there: CHNCXR_0003_0"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: pathlib.Path, layout: str, change: Callable[[pathlib.Path], None], reason: str
) -> None:
    getattr(miniatures, layout)(tmp_path)
    change(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=reason) as caught:
        read_official(layout, tmp_path, image_size=12)
    assert "\n" not in str(caught.value)


_CONTRADICTIONS = {
    "an image in both lists": (
        "chestx_ray14",
        _append(_TEST, "00000900_000.png\n"),
        r"test_list.txt, line \d+: 00000900_000.png is in line \d+ of train_val_list.txt too; "
        r"remove it from one",
    ),
    "an image twice in a list": (
        "chestx_ray14",
        _append(_TEST, "00000901_000.png\n"),
        r"test_list.txt, line \d+: a second row for '00000901_000.png', which is in line \d+; "
        r"keep one",
    ),
    "the list of the test images alone": (
        "chestx_ray14",
        _remove(_TRAINING),
        "official split: add train_val_list.txt, or",
    ),
    "the other list alone": (
        "chestx_ray14",
        _remove(_TEST),
        "official split: add test_list.txt, or remove",
    ),
    "a list that names an image that the table lacks": (
        "chestx_ray14",
        _append(_TRAINING, "00000999_000.png\n"),
        r"train_val_list.txt, line \d+: 1 images have no row in Data_Entry_2017.csv: "
        r"00000999_000.png; add those rows",
    ),
    "an image of the lists whose row is gone": (
        "chestx_ray14",
        _replace(_ENTRIES, _ROW_901, ""),
        r"test_list.txt, line \d+: 1 images have no row in Data_Entry_2017.csv: 00000901_000.png",
    ),
    "findings beside none": (
        "chestx_ray14",
        _replace(_ENTRIES, "00000901_000.png,No Finding", "00000901_000.png,No Finding|Hernia"),
        r"line \d+: 'No Finding\|Hernia' is a contradiction",
    ),
    "two tables": (
        "chestx_ray14",
        _append("Data_Entry_2017_v2020.csv", ""),
        "two tables of labels, Data_Entry_2017.csv and Data_Entry_2017_v2020.csv; keep one",
    ),
    "an image in the ground truth twice": (
        "isic_2019",
        _append(_TRUTH, "ISIC_0000003,1.0" + ",0.0" * 8 + "\n"),
        "GroundTruth.csv, line 50: a second row for 'ISIC_0000003'; keep one",
    ),
    "another lesion in a second row": (
        "isic_2019",
        _append(_METADATA, "ISIC_0000010,55.0,anterior torso,HAM_99999,female\n"),
        "Metadata.csv, line 50: a second row for 'ISIC_0000010', which is in line 12; keep one",
    ),
    "metadata cut short": (
        "isic_2019",
        _cut(_METADATA, 20),
        r"29 images of ISIC_2019_Training_GroundTruth.csv have no row: ISIC_0000019, .* "
        r"and 24 more; give the whole file",
    ),
    "metadata of other images": (
        "isic_2019",
        _append(_METADATA, "ISIC_0000099,55.0,anterior torso,HAM_99999,female\n"),
        "Metadata.csv, line 50: 1 images have no row in ISIC_2019_Training_GroundTruth.csv: "
        "ISIC_0000099",
    ),
    "nearly a second class": (
        "isic_2019",
        _replace(_TRUTH, "ISIC_0000000,1.0,0.0", "ISIC_0000000,1.0,0.9"),
        "line 2: NV is 0.9; classes are marked by 1.0 and 0.0",
    ),
    "two classes": (
        "isic_2019",
        _replace(_TRUTH, "ISIC_0000000,1.0,0.0", "ISIC_0000000,1.0,1.0"),
        "ISIC_0000000 needs one of the known classes, has MEL, NV",
    ),
    "test images without their classes": (
        "isic_2016",
        _remove("ISBI2016_ISIC_Part3_Test_GroundTruth.csv"),
        "ISBI2016_ISIC_Part3_Test_GroundTruth.csv is missing",
    ),
    "an image trained on and tested on": (
        "isic_2016",
        _append("ISBI2016_ISIC_Part3_Test_GroundTruth.csv", "ISIC_0000000,0.0\n"),
        "Test_GroundTruth.csv, line 9: a second row for 'ISIC_0000000'",
    ),
}


@pytest.mark.parametrize("case", _CONTRADICTIONS)
def test_files_that_contradict_one_another_are_refused(tmp_path: pathlib.Path, case: str) -> None:
    layout, change, reason = _CONTRADICTIONS[case]
    getattr(miniatures, layout)(tmp_path)
    change(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=reason) as caught:
        read_official(layout, tmp_path, image_size=12)
    assert "\n" not in str(caught.value)


def test_without_either_list_there_is_no_official_split(tmp_path: pathlib.Path) -> None:
    miniatures.chestx_ray14(tmp_path)
    for name in (_TRAINING, _TEST):
        (tmp_path / name).unlink()
    assert read_official("chestx_ray14", tmp_path, image_size=12).tested is None


def test_an_archive_that_is_not_unpacked_shows_before_any_image_is_decoded(
    tmp_path: pathlib.Path,
) -> None:
    miniatures.chestx_ray14(tmp_path)
    shutil.rmtree(tmp_path / "images_002")
    calls: list[tuple[int, int]] = []
    with pytest.raises(
        ValueError, match=r"42 of 94 images .* not there: 00000000_001, .* and 37 more; .*unpacked"
    ) as caught:
        read_official(
            "chestx_ray14", tmp_path, image_size=12, on_progress=lambda *done: calls.append(done)
        )
    assert "or remove their rows from every file that names them" in str(caught.value)
    assert not calls


def test_pixels_of_one_folder_are_not_copied(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniatures.shenzhen(tmp_path)
    read = []

    def recorded(*args: Any, **named: Any) -> ImageSet:
        read.append(load_folder(*args, **named))
        return read[-1]

    monkeypatch.setattr(official_layouts, "load_folder", recorded)
    found = read_official("shenzhen", tmp_path, image_size=12)
    assert np.shares_memory(found.pixels, read[0].pixels)


def test_folders_are_joined_with_one_of_them_in_memory_at_a_time(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniatures.chestx_ray14(tmp_path)
    read: list[weakref.ref[ImageSet]] = []
    alive = []

    def recorded(*args: Any, **named: Any) -> ImageSet:
        alive.append(sum(one() is not None for one in read))
        found = load_folder(*args, **named)
        read.append(weakref.ref(found))
        return found

    monkeypatch.setattr(official_layouts, "load_folder", recorded)
    joined = read_official("chestx_ray14", tmp_path, image_size=12)
    assert alive == [0, 0]
    expected = [
        load_folder(tmp_path / f"images_00{part}" / "images", image_size=12).pixels
        for part in (1, 2)
    ]
    np.testing.assert_array_equal(joined.pixels, np.concatenate(expected))


@pytest.mark.parametrize("on_demand", [False, True])
def test_a_damaged_image_is_named_with_its_reason(tmp_path: pathlib.Path, on_demand: bool) -> None:
    miniatures.shenzhen(tmp_path)
    (tmp_path / "CXR_png" / "CHNCXR_0001_0.png").write_bytes(b"\x89PNG")
    with pytest.raises(
        ValueError,
        match=r"1 images are not readable: CHNCXR_0001_0\.png \(its content is no PNG.*their rows",
    ):
        read_official("shenzhen", tmp_path, image_size=12, on_demand=on_demand)


def test_an_unknown_layout_says_which_there_are(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        ValueError, match="choose from isic_2019, isic_2016, chestx_ray14, shenzhen"
    ):
        read_official("isic_2020", tmp_path, image_size=12)
