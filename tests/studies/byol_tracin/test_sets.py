"""The study's sets: read in any layout, divided by class and group before anything is trained."""

import dataclasses
import pathlib

import numpy as np
import pytest

from examine_jax.labelled.sets import LabelledSource
from examine_jax.labelled.splits import check_split
from examine_jax.studies.byol_tracin.sets import (
    StudySet,
    StudySource,
    divide,
    divide_both,
    read_set,
    shared_rows,
)
from examine_jax.studies.byol_tracin.settings import StudySettings, byol_tracin_preset
from tests.support import official_miniatures as miniatures

Sets = tuple[StudySet, StudySet]


def read_layout(folder: pathlib.Path, layout: str) -> StudySet:
    return read_set(StudySource(LabelledSource(folder), layout), image_size=16, channels=3)


@pytest.fixture(scope="module")
def skin(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    folder = tmp_path_factory.mktemp("skin")
    miniatures.isic_2019(folder / "isic_2019")
    miniatures.isic_2016(folder / "isic_2016")
    first, second = (read_layout(folder / layout, layout) for layout in ("isic_2019", "isic_2016"))
    return first, second


def test_splits_keep_groups_whole_and_every_class_on_both_sides(skin: Sets) -> None:
    for seed in (0, 1):
        split = divide(skin[0], byol_tracin_preset("paper"), seed, (0.1, 0.5, 1.0))
        check_split((split.training, split.test), skin[0].labels, skin[0].groups)
        assert set(split.labelled[0.1]) <= set(split.training)
        assert len(split.labelled[0.1]) < len(split.labelled[0.5]) < len(split.labelled[1.0])
        np.testing.assert_array_equal(split.labelled[1.0], split.training)
    official = divide(skin[1], byol_tracin_preset("paper"), 0, (1.0,))
    np.testing.assert_array_equal(official.test, np.flatnonzero(skin[1].tested))


def test_images_without_a_label_are_divided_evenly_too(tmp_path: pathlib.Path) -> None:
    """Half of the labels hold two or three of the five training images without a finding."""
    miniatures.chestx_ray14(tmp_path)
    chest = read_layout(tmp_path, "chestx_ray14")
    split = divide(chest, byol_tracin_preset("paper"), 0, (0.5,))
    assert (~chest.labels[split.training].any(axis=1)).sum() == 5
    assert (~chest.labels[split.labelled[0.5]].any(axis=1)).sum() in (2, 3)


def test_test_images_of_the_second_set_and_their_groups_are_no_training_images(skin: Sets) -> None:
    """ISIC 2019 holds images of ISIC 2016, by the same names; some are its test images."""
    source, other = skin
    own, others = divide_both(source, other, byol_tracin_preset("paper"), 0)
    names = {pathlib.PurePosixPath(name).stem for name in np.array(other.names)[others.test]}
    there = np.array([pathlib.PurePosixPath(name).stem in names for name in source.names])
    assert there.sum() == 8
    assert source.groups is not None
    groups = set(source.groups[there])
    assert not groups & set(source.groups[own.training])
    assert all(set(rows) <= set(own.training) for rows in own.labelled.values())
    assert len(own.left_out) + len(own.training) == len(
        divide(source, byol_tracin_preset("paper"), 0, (1.0,)).training
    )


def test_the_same_pixels_are_the_same_image_whatever_its_name(skin: Sets) -> None:
    source = dataclasses.replace(skin[0], official=False)
    renamed = dataclasses.replace(
        source, names=tuple(f"{i}.jpg" for i in range(len(source.names))), groups=None
    )
    np.testing.assert_array_equal(shared_rows(source, renamed, np.array([3, 5])), [3, 5])


def test_a_label_that_all_images_have_is_refused(tmp_path: pathlib.Path) -> None:
    miniatures.chestx_ray14(tmp_path)
    chest = read_layout(tmp_path, "chestx_ray14")
    labels = chest.labels.copy()
    labels[:, 2] = 1
    with pytest.raises(ValueError, match="every training image has the label Consolidation"):
        divide(dataclasses.replace(chest, labels=labels), byol_tracin_preset("paper"), 0, (1.0,))


def test_another_image_name_or_class_is_another_set(skin: Sets) -> None:
    source = skin[0]
    pixels = source.pixels.copy()
    pixels[7, 0, 0, 0] ^= 1
    others = (
        {"pixels": pixels},
        {"classes": (*source.classes[1:], "x")},
        {"names": (*source.names[1:], "x")},
    )
    digests = {
        source.fingerprint(),
        *(dataclasses.replace(source, **change).fingerprint() for change in others),
    }
    assert len(digests) == 4


def test_a_class_with_one_image_is_named_with_its_set(skin: Sets) -> None:
    source = skin[0]
    labels = np.where(np.arange(len(source.labels)) == 0, 8, source.labels)
    odd = dataclasses.replace(source, labels=labels, classes=(*source.classes, "rare"), name="odd")
    with pytest.raises(ValueError, match="odd: class rare has 1 images in 1 groups"):
        divide(odd, byol_tracin_preset("paper"), 0, (1.0,))


def test_folders_have_their_classes_by_sub_folder(tmp_path: pathlib.Path) -> None:
    for number in range(4):
        miniatures.draw(tmp_path / "set" / "ab"[number % 2] / f"{number}.png", number)
    found = read_layout(tmp_path / "set", "folder")
    assert found.classes == ("a", "b")
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1])
    miniatures.draw(tmp_path / "set" / "loose.png", 0)
    with pytest.raises(ValueError, match=r"no class's sub-folder \(such as 'loose.png'\)"):
        read_layout(tmp_path / "set", "folder")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"methods": ("byol", "moco")}, "out of byol, byol_fnc"),
        ({"methods": ("byol_tracin_pretrained",)}, "need a scorer"),
        ({"steps": 3, "minutes": 1.0}, "either steps or minutes"),
        ({"shares": (0.1, 1.5)}, "shares"),
        ({"seeds": (0, 0)}, "all must be different"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StudySettings(**changes)  # type: ignore[arg-type]
