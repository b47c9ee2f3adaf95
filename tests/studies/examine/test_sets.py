"""The sets of EXAMINE's study: disjoint, groups whole, noise as in the paper."""

import dataclasses

import numpy as np
import pytest

from examine_jax.labelled.sets import LabelledImages
from examine_jax.studies.examine.sets import ExamineSplit, divide, mean_of, noisy_assessed
from examine_jax.studies.examine.settings import (
    ExperimentSettings,
    NoiseSettings,
    SetSizes,
    examine_preset,
)

SIZES = SetSizes(pretraining=60, assessed=25, clean=10, validation=30)


def images(count: int, group_size: int | None) -> LabelledImages:
    generator = np.random.default_rng(0)
    groups = None if group_size is None else np.arange(count) // group_size
    labels = np.arange(count) % 2 if group_size is None else (np.arange(count) // group_size) % 2
    pixels = generator.integers(0, 200, (count, 4, 4, 3), dtype=np.uint8)
    return LabelledImages(
        tuple(map(str, range(count))), pixels, labels.astype(np.int64), ("a", "b"), groups
    )


def parts(division: ExamineSplit, halves: bool) -> list[np.ndarray]:
    every = [getattr(division, field.name) for field in dataclasses.fields(division)]
    return every if halves else every[:-1]


@pytest.mark.parametrize("valued_on", ["validation", "half"])
@pytest.mark.parametrize("group_size", [None, 3])
def test_no_row_and_no_group_is_in_two_sets_and_each_has_every_class(
    group_size: int | None, valued_on: str
) -> None:
    there = images(300, group_size)
    settings = ExperimentSettings(sizes=SIZES, valued_on=valued_on)
    seen: list[set[int]] = []
    for seed in (0, 1):
        found = parts(divide(there, settings, seed), valued_on == "half")
        groups = [
            set((there.groups if group_size else np.arange(300))[part].tolist()) for part in found
        ]
        for place, group in enumerate(groups):
            assert not any(group & other for other in groups[:place])
        assert all(set(there.labels[part]) == {0, 1} for part in found)
        seen.append(set(found[1].tolist()))
        if valued_on == "validation":
            assert [len(part) for part in found] == [60, 25, 10, 30]
    assert seen[0] != seen[1]


def test_too_few_images_give_smaller_sets_in_proportion() -> None:
    division = divide(images(60, None), ExperimentSettings(sizes=SIZES), seed=0)
    assert [len(part) for part in parts(division, False)] == pytest.approx(
        [28.8, 12, 4.8, 14.4], abs=2
    )


def test_the_same_set_defines_v_and_measures_unless_halves_are_asked_for() -> None:
    division = divide(images(300, None), ExperimentSettings(sizes=SIZES), seed=0)
    np.testing.assert_array_equal(division.valued_on, division.measured_on)


@pytest.mark.parametrize("division", ["even", "drawn"])
def test_four_fifths_are_noisy_evenly_or_by_chance(division: str) -> None:
    pixels = np.full((50, 3, 3, 3), 100, np.uint8)
    noisy, level = noisy_assessed(pixels, NoiseSettings(division=division), 0, mean_of(pixels))
    kinds, counts = np.unique(level, return_counts=True)
    assert (level > 0).sum() == 40
    np.testing.assert_array_equal(noisy[level == 0], pixels[level == 0])
    assert (noisy[level > 0] != 100).any(axis=(1, 2, 3)).all()
    if division == "even":
        np.testing.assert_array_equal(kinds, [0, 0.1, 0.3, 0.5, 1])
        assert counts.tolist() == [10] * 5
    else:
        assert set(kinds) <= {0, 0.1, 0.3, 0.5, 1}
        assert counts.tolist() != [10] * 5


def test_one_group_cannot_be_divided() -> None:
    one = dataclasses.replace(images(300, None), groups=np.zeros(300, np.int64))
    with pytest.raises(ValueError, match="in 1 groups"):
        divide(one, ExperimentSettings(sizes=SIZES), seed=0)


def test_the_paper_preset_has_the_papers_numbers() -> None:
    paper = examine_preset("paper")
    assert dataclasses.astuple(paper.sizes) == (160_000, 500, 100, 20_000)
    assert paper.noise.assessed * paper.sizes.assessed == 400
    assert paper.noise.pretraining * paper.sizes.pretraining == 60_000
    assert paper.noise.levels == (0.1, 0.3, 0.5, 1.0)
    assert paper.training.methods == ("mae", "autoencoder", "simclr", "byol")
    assert len(paper.seeds) == 5
    assert paper.preprocessing == "none"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"valuers": ("loo",)}, "examine and others"),
        ({"valuers": ("examine", "nothing")}, "examine and others"),
        ({"valuers": ("examine", "random")}, "examine and others"),
        ({"seeds": (0, 0)}, "all must be different"),
        ({"mislabelled": 0.6}, "between"),
    ],
)
def test_impossible_settings_are_refused(change: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        dataclasses.replace(examine_preset("small"), **change)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="paper, small"):
        examine_preset("medium")
