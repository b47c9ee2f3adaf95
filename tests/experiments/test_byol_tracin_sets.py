"""The study's sets: read in any layout, divided by class and group before anything is trained."""

import dataclasses
import pathlib

import numpy as np
import pytest

from examine_jax.evaluation.splits import check_split
from examine_jax.experiments.byol_tracin.sets import StudySet, divide, read_set
from examine_jax.experiments.byol_tracin.settings import StudySettings, study_preset
from tests.images import official_miniatures as miniatures

Sets = tuple[StudySet, StudySet]


@pytest.fixture(scope="module")
def skin(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    folder = tmp_path_factory.mktemp("skin")
    miniatures.isic_2019(folder / "isic_2019")
    miniatures.isic_2016(folder / "isic_2016")
    first, second = (
        read_set(folder / layout, layout, image_size=16, channels=3) for layout in ("isic_2019", "isic_2016")
    )
    return first, second


def test_splits_keep_groups_whole_and_every_class_on_both_sides(skin: Sets) -> None:
    for seed in (0, 1):
        split = divide(skin[0], study_preset("paper"), seed, (0.1, 0.5, 1.0))
        check_split((split.training, split.test), skin[0].labels, skin[0].groups)
        assert set(split.labelled[0.1]) <= set(split.training)
        assert len(split.labelled[0.1]) < len(split.labelled[0.5]) < len(split.labelled[1.0])
        np.testing.assert_array_equal(split.labelled[1.0], split.training)
    official = divide(skin[1], study_preset("paper"), 0, (1.0,))
    np.testing.assert_array_equal(official.test, np.flatnonzero(skin[1].tested))


def test_images_without_a_label_are_divided_evenly_too(tmp_path: pathlib.Path) -> None:
    """Five of the chest images to train on have no finding; half of the labels are those of two or three of them."""
    miniatures.chestx_ray14(tmp_path)
    chest = read_set(tmp_path, "chestx_ray14", image_size=16, channels=3)
    split = divide(chest, study_preset("paper"), 0, (0.5,))
    assert (~chest.labels[split.training].any(axis=1)).sum() == 5
    assert (~chest.labels[split.labelled[0.5]].any(axis=1)).sum() in (2, 3)


def test_a_class_with_one_image_is_named_with_its_set(skin: Sets) -> None:
    source = skin[0]
    labels = np.where(np.arange(len(source.labels)) == 0, 8, source.labels)
    odd = dataclasses.replace(source, labels=labels, classes=(*source.classes, "rare"), name="odd")
    with pytest.raises(ValueError, match="odd: class 8 has 1 images in 1 groups"):
        divide(odd, study_preset("paper"), 0, (1.0,))


def test_folders_have_their_classes_by_sub_folder(tmp_path: pathlib.Path) -> None:
    for number in range(4):
        miniatures.draw(tmp_path / "set" / "ab"[number % 2] / f"{number}.png", number)
    found = read_set(tmp_path / "set", "folder", image_size=16, channels=3)
    assert found.classes == ("a", "b")
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1])
    miniatures.draw(tmp_path / "set" / "loose.png", 0)
    with pytest.raises(ValueError, match=r"no class's sub-folder \(such as 'loose.png'\)"):
        read_set(tmp_path / "set", "folder", image_size=16, channels=3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"methods": ("byol", "moco")}, "out of byol, byol_fnc"),
        ({"methods": ("byol_tracin_pretrained",)}, "need a scorer"),
        ({"steps": 3, "minutes": 1.0}, "either steps or minutes"),
        ({"shares": (0.1, 1.5)}, "shares"),
        ({"seeds": (0, 0)}, "different ones"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StudySettings(**changes)  # type: ignore[arg-type]
