"""Folds keep groups whole and have every class, wherever such folds exist."""

import itertools

import numpy as np
import pytest

from examine_jax.labelled.labelled_rows import folds_of


def most_folds(labels, groups, wanted):
    """By trying every assignment of groups to folds."""
    names = np.unique(groups)
    held = [frozenset(labels[groups == name].tolist()) for name in names]
    classes = frozenset(labels.tolist())
    for folds in range(wanted, 1, -1):
        for places in itertools.product(range(folds), repeat=len(names) - 1):
            found = [set() for _ in range(folds)]
            for classes_of_group, place in zip(held, (0, *places)):
                found[place] |= classes_of_group
            if all(one == classes for one in found):
                return folds
    return 1


def problems(seed):
    generator = np.random.default_rng(seed)
    for _ in range(60):
        classes, groups = generator.integers(2, 5), generator.integers(2, 7)
        rows = generator.integers(8, 30)
        labels = generator.integers(0, classes, rows).astype(np.int32)
        labels[:classes] = range(classes)
        labels[classes : 2 * classes] = range(classes)
        yield (
            labels[: max(rows, 2 * classes)],
            generator.integers(0, groups, len(labels)).astype(str),
        )


@pytest.mark.parametrize("seed", range(5))
def test_folds_by_group_are_as_many_as_there_can_be(seed):
    seen = set()
    for labels, groups in problems(seed):
        most = most_folds(labels, groups, 3)
        seen.add(most)
        if most < 2:
            with pytest.raises(ValueError, match="group"):
                folds_of(labels, groups, 3, seed)
            continue
        held = folds_of(labels, groups, 3, seed)
        np.testing.assert_array_equal(np.sort(np.concatenate(held)), np.arange(len(labels)))
        assert all(set(labels[part]) == set(labels) for part in held)
        for one, other in itertools.combinations(held, 2):
            assert not set(groups[one]) & set(groups[other])
        assert len(held) == most
    assert seen == {1, 2, 3}


def test_the_rarest_classes_groups_reduce_the_folds():
    labels = np.array([0] * 40 + [1] * 30, np.int32)
    groups = np.array([f"p{i % 8}" for i in range(40)] + [f"q{i % 2}" for i in range(30)])
    held = folds_of(labels, groups, 5, 0)
    assert len(held) == 2
    assert all(len(set(labels[part])) == 2 for part in held)
