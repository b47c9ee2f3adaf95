"""Splits: shares, classes and groups as promised."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examine_jax.evaluation.bootstrap import bootstrap_interval
from examine_jax.labelled.splits import check_split, stratified_split


def _grouped(seed, num_groups=60, num_classes=4):
    """Images in groups of one class each, of 1 to 30 images."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 31, num_groups)
    classes = np.concatenate(
        [
            np.repeat(np.arange(num_classes), 3),
            rng.integers(0, num_classes, num_groups - 3 * num_classes),
        ]
    )
    order = rng.permutation(sizes.sum())
    return np.repeat(classes, sizes)[order], np.repeat(np.arange(num_groups), sizes)[order]


@pytest.mark.parametrize("shares", [(0.7, 0.1, 0.2), (0.5, 0.5), (1.0,) * 5])
def test_single_images_are_split_to_the_image(shares):
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [500, 90, 30]))
    parts = stratified_split(labels, shares=shares, seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(620))
    for part, share in zip(parts, np.array(shares) / sum(shares)):
        assert np.abs(np.bincount(labels[part]) - share * np.array([500, 90, 30])).max() <= 1
        assert (np.diff(part) > 0).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_groups_stay_whole_and_every_part_has_every_class(seed):
    labels, groups = _grouped(seed)
    parts = stratified_split(labels, groups, seed=seed)
    check_split(parts, labels, groups)
    assert sum(map(len, parts)) == len(labels)
    for part, share in zip(parts, (0.7, 0.1, 0.2)):
        assert len(part) / len(labels) == pytest.approx(share, abs=0.08)


def test_real_sized_groups_come_within_two_images_in_a_hundred_of_their_shares():
    labels, groups = _grouped(0, num_groups=1200, num_classes=5)
    for part, share in zip(stratified_split(labels, groups, seed=3), (0.7, 0.1, 0.2)):
        assert np.abs(np.bincount(labels[part]) / np.bincount(labels) - share).max() < 0.02


def test_several_labels_an_image():
    rng = np.random.default_rng(0)
    labels, groups = (
        (rng.random((400, 3)) < [0.4, 0.1, 0.05]).astype(int),
        rng.integers(0, 120, 400),
    )
    parts = stratified_split(labels, groups, seed=0)
    check_split(parts, labels, groups)
    for part, share in zip(parts, (0.7, 0.1, 0.2)):
        np.testing.assert_allclose(labels[part].sum(axis=0) / labels.sum(axis=0), share, atol=0.07)


@pytest.mark.parametrize("patients", [4000, 900], ids=["single images", "patients"])
def test_images_without_any_label_are_shared_out_like_the_others(patients):
    rng = np.random.default_rng(0)
    labels = (rng.random((4000, 5)) < 0.04).astype(int)
    groups = np.arange(4000) if patients == 4000 else rng.integers(0, patients, 4000)
    parts = stratified_split(labels, groups, seed=0)
    check_split(parts, labels, groups)
    none = ~labels.any(axis=1)
    assert none.mean() > 0.8
    for part, share in zip(parts, (0.7, 0.1, 0.2)):
        assert len(part) / 4000 == pytest.approx(share, abs=0.02)
        assert none[part].sum() / none.sum() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    "groups",
    [
        np.array([0, 1, math.nan, 2, math.nan, 3.0]),
        np.array(["a", "b", None, "c", math.nan, "d"], object),
        np.array(
            ["2020-01-01", "2020-01-02", "NaT", "2020-01-03", "NaT", "2020-01-04"], "datetime64[D]"
        ),
    ],
)
def test_images_without_a_group_are_neither_one_group_nor_passed_over(groups):
    labels = np.array([0, 0, 0, 1, 1, 1])
    for use in (
        lambda: stratified_split(labels, groups, shares=(1.0, 1.0), seed=0),
        lambda: check_split([np.arange(3), np.arange(3, 6)], labels, groups),
        lambda: bootstrap_interval(lambda rows: 0.0, groups, seed=0),
    ):
        with pytest.raises(
            ValueError, match=r"images \[2, 4\] have no group \(2 in all\): give each"
        ):
            use()


def test_groups_that_have_no_order_are_refused():
    with pytest.raises(ValueError, match="give all as strings"):
        stratified_split(
            np.array([0, 0, 1, 1]), np.array(["a", 1, "b", 2], object), shares=(1.0, 1.0), seed=0
        )


def test_the_row_that_is_in_a_split_twice_is_named():
    for parts, row in ((([0, 1, 2, 2], [3, 4]), 2), (([0, 1], [3, 4, 1]), 1)):
        with pytest.raises(ValueError, match=f"row {row} is in the split twice"):
            check_split([np.array(rows) for rows in parts], np.array([0, 1, 0, 1, 0]))


def test_groups_of_other_images_are_refused():
    with pytest.raises(ValueError, match=r"groups \[3\] for 9 images"):
        stratified_split(np.arange(9) % 3, np.arange(3), seed=0)


def test_the_seed_decides_and_names_of_classes_and_groups_do_not():
    labels, groups = _grouped(1)
    names = np.array([f"class {label}" for label in labels])
    first = stratified_split(labels, groups, seed=0)
    for part, same, other in zip(
        first, stratified_split(names, groups * 7, seed=0), stratified_split(labels, groups, seed=1)
    ):
        np.testing.assert_array_equal(part, same)
        assert not np.array_equal(part, other)


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        ([0] * 9 + [1], None, "class 1 has 1 images in 1 groups, and 3 parts"),
        (["a"] * 9 + ["b"] * 5, [*range(9), 9, 9, 9, 10, 10], "class b has 5 images in 2 groups"),
        ([[0, 1]] * 5, None, "class 0 has 0 images"),
        ([[0, 2]] * 5, None, "zeros and ones"),
    ],
)
def test_a_class_that_cannot_be_in_every_part_is_named(labels, groups, message):
    with pytest.raises(ValueError, match=message):
        stratified_split(np.array(labels), None if groups is None else np.array(groups), seed=0)


def test_shares_must_be_positive():
    with pytest.raises(ValueError, match="shares"):
        stratified_split(np.zeros(9, int), shares=(0.5, 0.0, 0.5), seed=0)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([0, 1, 2], [3, 4, 5]), None),
        (([0, 1, 2], []), "part 1 of the split is empty"),
        (([0, 1, 2], [3, 4, 6]), "names row 6, but there are 6 images"),
        (([-1, 1, 2], [3, 4, 5]), "names row -1, but there are 6 images"),
        (([0, 1, 2], [2, 3, 4]), "row 2 is in the split twice"),
        (([0, 1, 2, 3], [4, 5]), "group y lies in parts 0 and 1"),
        (([0, 1, 2], [4, 5]), "part 1 of the split has no image of class 0"),
    ],
)
def test_a_split_that_leaks_or_lacks_is_refused(parts, message):
    labels, groups = np.array([0, 1, 0, 0, 1, 1]), np.array(["x", "x", "x", "y", "y", "y"])
    parts = tuple(np.array(part, int) for part in parts)
    if message is None:
        return check_split(parts, labels, groups)
    with pytest.raises(ValueError, match=message):
        check_split(parts, labels, groups)
