"""Published sets in their own layout: what their files say reaches the images; what does not fit is named."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from examine_jax.images.official_layouts import CHESTX_RAY14_CLASSES, ISIC_2019_CLASSES, read_official
from tests.images import official_miniatures as miniatures


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
def test_chestx_ray14_has_several_labels_patients_and_a_split(tmp_path: pathlib.Path, on_demand: bool) -> None:
    miniatures.chestx_ray14(tmp_path)
    found = read_official("chestx_ray14", tmp_path, image_size=12, channels=1, on_demand=on_demand)
    assert found.labels.shape == (94, 14)
    assert found.tested is not None
    assert found.groups is not None
    by_name = {name.rpartition("/")[2]: row for row, name in enumerate(found.names)}
    row = by_name["00000000_001.png"]
    assert [CHESTX_RAY14_CLASSES[code] for code in np.flatnonzero(found.labels[row])] == ["Atelectasis", "Cardiomegaly"]
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


_TRUTH = "ISIC_2019_Training_GroundTruth.csv"


@pytest.mark.parametrize(
    ("layout", "change", "reason"),
    [
        ("isic_2019", _remove(_TRUTH), f"{_TRUTH} is missing"),
        ("isic_2019", _remove("ISIC_2019_Training_Input/ISIC_0000003.jpg"), "labels name are not there: ISIC_0000003"),
        ("isic_2019", _replace(_TRUTH, "ISIC_0000003", "ISIC_0000099"), "are not there: ISIC_0000099"),
        ("isic_2019", _replace(_TRUTH, "ISIC_0000003", "ISIC_0000002"), "second row for 'ISIC_0000002'"),
        ("isic_2019", _replace(_TRUTH, "SCC,UNK", "SCC,UNK,XYZ"), "unknown class 'XYZ'"),
        ("isic_2019", _replace(_TRUTH, "SCC", "SCX"), "no column 'SCC'"),
        ("isic_2019", _replace(_TRUTH, "ISIC_0000000,1.0", "ISIC_0000000,0.0"), "needs one of the known classes"),
        ("isic_2019", _replace(_TRUTH, "ISIC_0000000,1.0", "ISIC_0000000,yes"), "is no number"),
        (
            "isic_2016",
            _replace("ISBI2016_ISIC_Part3_Training_GroundTruth.csv", "0000000,benign", "0000000,nevus"),
            "unknown class",
        ),
        ("chestx_ray14", _replace("Data_Entry_2017.csv", "Hernia", "Hernja"), "unknown class 'Hernja'"),
        (
            "chestx_ray14",
            _replace("test_list.txt", "00000901_000.png", ""),
            "00000901_000.png is neither in train_val_list",
        ),
        (
            "chestx_ray14",
            _replace("Data_Entry_2017.csv", "00000901_000.png,No Finding,0,901,31,\n", ""),
            "have no chestx_ray14 label",
        ),
        ("shenzhen", _replace("shenzhen_metadata.csv", "CHNCXR_0003_0", "CHNCXR_0003_7"), "tells no known class"),
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


def test_a_damaged_image_is_named_with_its_reason(tmp_path: pathlib.Path) -> None:
    miniatures.shenzhen(tmp_path)
    (tmp_path / "CXR_png" / "CHNCXR_0001_0.png").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match=r"CHNCXR_0001_0.*not readable: CHNCXR_0001_0\.png"):
        read_official("shenzhen", tmp_path, image_size=12)


def test_an_unknown_layout_says_which_there_are(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="there are: isic_2019, isic_2016, chestx_ray14, shenzhen"):
        read_official("isic_2020", tmp_path, image_size=12)
