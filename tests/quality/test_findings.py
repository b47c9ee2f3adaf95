"""Damage is found in synthetic sets, clean images are left alone, and awkward sets are answered."""

import inspect

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from examine_jax.images.artefacts.registry import named_artefact
from examine_jax.quality import DESCRIPTORS, FINDINGS, describe, find
from examine_jax.quality.findings import _checked

RANDOM = np.random.default_rng(0)
SIDE = 48


def textures(count: int, tint: tuple[int, int, int], seed: int) -> np.ndarray:
    """Smooth textures of one colour with fine grain, like tissue."""
    draws = np.random.default_rng(seed)
    coarse = gaussian_filter(draws.normal(size=(count, SIDE, SIDE)), (0, 4, 4))
    fine = gaussian_filter(draws.normal(size=(count, SIDE, SIDE)), (0, 0.8, 0.8))
    grey = 20 * coarse / coarse.std() + draws.uniform(6, 12, (count, 1, 1)) * fine / fine.std()
    pixels = np.array(tint) + draws.normal(0, 5, (count, 1, 1, 1)) + grey[..., None]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


PURPLE, PINK = textures(150, (170, 110, 180), 1), textures(100, (220, 150, 190), 2)
CLEAN = np.concatenate([PURPLE, PINK])
DESCRIBED = np.stack([describe(image) for image in CLEAN])
DAMAGE = {
    "defocus": "blurred",
    "noise": "noisy",
    "jpeg": "compressed",
    "overexposed": "overexposed",
    "underexposed": "underexposed",
    "blank": "blank",
}


def with_damage(kind: str, rows: range) -> np.ndarray:
    described = DESCRIBED.copy()
    artefact = named_artefact(kind, 0.8)
    for row in rows:
        described[row] = describe(artefact.apply(CLEAN[row], row))
    return described


@pytest.mark.parametrize(("kind", "finding"), DAMAGE.items())
def test_damage_is_found_and_named(kind: str, finding: str) -> None:
    damaged = range(0, 250, 25)
    found = find(with_damage(kind, damaged))
    truth = np.isin(np.arange(250), damaged)
    assert sum(finding in found.findings[row] for row in damaged) >= 9
    assert not found.usable[truth].sum() > 1
    assert found.usable[~truth].mean() > 0.985
    assert roc_auc_score(truth, found.outlier) > 0.97


def test_strokes_of_ink_of_any_colour_are_bands_but_no_band_in_a_grey_picture_is() -> None:
    described = with_damage("pen", range(20))
    found = find(described)
    assert sum("dark_band" in found.findings[row] for row in range(20)) >= 16
    assert sum("dark_band" in names for names in found.findings[20:]) <= 2
    grey = np.flatnonzero(np.array(DESCRIPTORS) == "saturation_p95")
    described[:, grey] = 0
    assert (find(described).values["crossing_band"] == 0).all()


def test_a_quarter_of_damaged_images_that_are_alike_does_not_become_usual() -> None:
    damaged = np.arange(250) % 4 == 0
    found = find(with_damage("defocus", range(0, 250, 4)))
    assert (~found.usable[damaged]).mean() > 0.9
    assert found.usable[~damaged].mean() > 0.98


def test_clean_images_are_left_alone() -> None:
    found = find(DESCRIBED)
    assert found.usable.mean() >= 0.99
    assert sum(map(bool, found.findings)) <= 5


def test_the_order_of_images_does_not_matter() -> None:
    order = RANDOM.permutation(250)
    first, second = (
        find(with_damage("noise", range(20))),
        find(with_damage("noise", range(20))[order]),
    )
    np.testing.assert_array_equal(first.usable[order], second.usable)
    # In another order, sums differ in their last digits, as they do on another machine.
    np.testing.assert_array_equal(first.outlier[order], second.outlier)


def test_features_give_the_same_values_in_another_order_and_turned() -> None:
    features = np.random.default_rng(5).normal(size=(250, 40)) * np.arange(1, 41)
    order = RANDOM.permutation(250)
    first = find(DESCRIBED, features=features)
    for axes in (np.arange(40), np.arange(40)[::-1]):
        second = find(DESCRIBED[order], features=features[order][:, axes])
        np.testing.assert_array_equal(first.outlier[order], second.outlier)


def test_values_at_the_threshold_or_above_have_the_finding() -> None:
    found = find(with_damage("noise", range(20)))
    threshold, reason = found.thresholds["noise_floor"]
    assert reason
    above = found.values["noise_floor"] >= threshold
    assert all("noisy" in found.findings[row] for row in np.flatnonzero(above))
    assert above[:20].mean() > 0.9
    assert set(found.values) == set(found.thresholds)


def test_with_clean_references_a_wholly_blurred_set_is_found() -> None:
    blurred = with_damage("defocus", range(50))[:50]
    assert find(blurred).usable.mean() > 0.9
    assert find(blurred, reference=DESCRIBED[50:]).usable.mean() < 0.1


def test_each_group_has_its_own_measure() -> None:
    dark = np.stack([describe(image // 4) for image in CLEAN[:60]])
    both = np.concatenate([DESCRIBED, dark])
    groups = ["light"] * 250 + ["dark"] * 60
    assert find(both, groups=groups).usable.mean() > 0.98
    with pytest.raises(ValueError, match="groups; give one each"):
        find(both, groups=groups[1:])


def test_features_find_what_descriptors_cannot() -> None:
    features = RANDOM.normal(size=(250, 8)) * np.arange(1, 9)
    features[7] = 60
    found = find(DESCRIBED, features=features)
    assert found.findings[7] == ("unlike_others",)
    assert found.usable[7]
    assert found.outlier.argmax() == 7


def test_copies_are_found_and_the_first_usable_one_is_kept() -> None:
    images = CLEAN.copy()
    images[20], images[30] = images[10], np.clip(images[10].astype(int) + 2, 0, 255)
    described = DESCRIBED.copy()
    described[20], described[30] = describe(images[20]), describe(images[30])
    found = find(described, pixels=images)
    assert list(np.flatnonzero(found.duplicates_of >= 0)) == [20, 30]
    assert list(found.duplicates_of[[20, 30]]) == [10, 10]
    assert found.usable[[10, 20, 30]].all()
    assert found.findings[20] == ("duplicate",)


def test_an_image_of_another_layout_is_unlike_others() -> None:
    shade = np.linspace(-60, 60, SIDE)[:, None, None]
    images = np.clip(PURPLE[:80] + shade, 0, 255).astype(np.uint8)
    described = np.stack([describe(image) for image in images])
    described[3] = describe(images[3, ::-1])
    found = find(described)
    assert found.findings[3] == ("unlike_others",)
    assert sum("unlike_others" in names for names in found.findings) <= 3


def test_a_whole_image_of_another_stain_is_looked_at_and_stays_usable() -> None:
    described = DESCRIBED.copy()
    described[5] = describe(np.roll(CLEAN[5], 1, axis=2))  # sharp and well exposed, but blue
    found = find(described)
    assert "unlike_others" in found.findings[5]
    assert found.usable[5]
    assert found.outlier.argmax() == 5


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_few_images_are_judged_by_what_is_certain(count: int) -> None:
    described = DESCRIBED[:count].copy()
    assert find(described).usable.all()
    described[0] = describe(np.full((SIDE, SIDE, 3), 255, np.uint8))
    found = find(described, features=RANDOM.normal(size=(count, 4)))
    assert list(found.usable) == [False] + [True] * (count - 1)
    assert "blank" in found.findings[0]
    assert np.isfinite(found.outlier).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_set_of_constant_images_is_unusable(level: int) -> None:
    described = np.stack([describe(np.full((9, 9, 1), level, np.uint8))] * 60)
    found = find(described, features=np.zeros((60, 3)))
    assert not found.usable.any()
    assert list(found.duplicates_of) == [-1] + [0] * 59
    assert np.isfinite(found.outlier).all()


def test_one_image_of_its_kind_is_to_be_looked_at_only() -> None:
    grey = CLEAN[:1].mean(axis=3, keepdims=True).astype(np.uint8)
    described = DESCRIBED.copy()
    described[0] = describe(grey[0])
    assert find(described).usable[0]


ONE_TINT = DESCRIBED[:120]
SMOOTH = gaussian_filter(np.random.default_rng(0).normal(size=(SIDE, SIDE, 1)), (4, 4, 0))
DARK_GREY = (CLEAN[120].mean(axis=2, keepdims=True) * 0.35).astype(np.uint8)
LONE = {
    "grey": np.array(DARK_GREY),
    "grey in three channels": np.repeat(DARK_GREY, 3, axis=2),
    "smooth": (np.array([170, 110, 180]) + 5 * SMOOTH / SMOOTH.std()).astype(np.uint8),
    "large": np.tile(CLEAN[120], (3, 3, 1)) // 2,
}


@pytest.mark.parametrize("name", LONE)
def test_relative_findings_make_no_image_unusable_that_is_alone_of_its_kind(name: str) -> None:
    found = find(np.concatenate([ONE_TINT, describe(LONE[name])[None]]))
    assert found.usable.all()
    assert "unlike_others" in found.findings[120]
    assert found.outlier.argmax() == 120
    if "grey" in name:
        assert "odd_colour" not in found.findings[120]


def test_a_few_grey_images_among_colour_ones_are_no_measure_of_each_other() -> None:
    grey = np.stack([describe(np.roll(DARK_GREY, step, axis=0)) for step in range(12)])
    assert find(np.concatenate([ONE_TINT, grey])).usable.all()


def test_certain_damage_makes_an_image_alone_of_its_kind_unusable() -> None:
    black = describe(np.full((SIDE, SIDE, 1), 3, np.uint8))
    assert not find(np.concatenate([ONE_TINT, black[None]])).usable[120]
    blurred = describe(named_artefact("defocus", 0.8).apply(CLEAN[120], 0))
    assert not find(np.concatenate([ONE_TINT, blurred[None]])).usable[120]


def test_noise_in_colour_makes_no_kind_of_its_own_of_a_grey_image() -> None:
    grey = np.repeat(CLEAN[:120].mean(axis=3, keepdims=True), 3, axis=3)
    noisy = grey[:6] + np.random.default_rng(3).normal(0, 25, grey[:6].shape)
    pictures = np.clip(np.rint(np.concatenate([grey, noisy])), 0, 255).astype(np.uint8)
    found = find(np.stack([describe(picture) for picture in pictures]))
    assert all("noisy" in names for names in found.findings[-6:])
    assert not found.usable[-6:].any()


def test_grey_and_colour_images_may_be_mixed() -> None:
    grey = np.stack([describe(image[..., :1]) for image in CLEAN[:60]])
    assert find(np.concatenate([DESCRIBED[60:], grey])).usable.mean() > 0.98


def test_unfit_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="descriptions is empty"):
        find(np.empty((0, len(DESCRIPTORS))))
    features = np.zeros((250, 3))
    features[[3, 8]] = np.nan
    with pytest.raises(ValueError, match="rows 3, 8"):
        find(DESCRIBED, features=features)
    with pytest.raises(ValueError, match=r"features have the shape \[250, 0\]"):
        find(DESCRIBED, features=np.empty((250, 0)))
    with pytest.raises(ValueError, match=r"features have the shape \[250\]"):
        inspect.unwrap(_checked)(np.zeros(250), "features", 250)
    with pytest.raises(ValueError, match="249 rows of features"):
        find(DESCRIBED, features=features[1:])
    with pytest.raises(ValueError, match="columns"):
        find(DESCRIBED[:, 1:])
    with pytest.raises(ValueError, match="9 reference images: give at least 10"):
        find(DESCRIBED, reference=DESCRIBED[:9])
    with pytest.raises(ValueError, match="reference is empty"):
        find(DESCRIBED, reference=DESCRIBED[:0])


def test_strange_images_and_copies_stay_usable() -> None:
    assert not FINDINGS["unlike_others"]
    assert not FINDINGS["duplicate"]
