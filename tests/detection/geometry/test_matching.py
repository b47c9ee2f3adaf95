"""Matching candidates to true boxes, and sampling them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.detection.geometry.matching import Matcher
from examine_jax.detection.geometry.sampling import sample

OVERLAPS = np.array([[0.8, 0.5, 0.1, 0.4, 0.0], [0.2, 0.6, 0.2, 0.4, 0.0]], np.float32)
RPN = jax.jit(Matcher(0.7, 0.3, keep_best=True))
ROI = jax.jit(Matcher(0.5, 0.5, keep_best=False))
BOTH = np.ones(2, bool)


def test_thresholds_and_the_best_candidate_of_each_truth():
    truth, positive, negative = RPN(OVERLAPS, BOTH)
    np.testing.assert_array_equal(truth[:4], [0, 1, 1, 0])
    np.testing.assert_array_equal(positive, [True, True, False, False, False])
    np.testing.assert_array_equal(negative, [False, False, True, False, True])
    _, positive, negative = ROI(OVERLAPS, BOTH)
    np.testing.assert_array_equal(positive, [True, True, False, False, False])
    np.testing.assert_array_equal(negative, ~positive)


def test_a_truth_that_nothing_overlaps_makes_nothing_positive():
    overlaps = np.zeros((1, 6), np.float32)
    _, positive, negative = RPN(overlaps, np.ones(1, bool))
    assert not positive.any()
    assert negative.all()


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_rows_that_are_masked_out_change_nothing(rows):
    padded = np.concatenate([OVERLAPS, np.full((rows, 5), 0.9, np.float32)])
    mask = np.arange(len(padded)) < 2
    for found, expected in zip(RPN(padded, mask), RPN(OVERLAPS, BOTH)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rows", [0, 2])
def test_without_truths_all_is_background(rows):
    _, positive, negative = RPN(np.full((rows, 5), 0.9, np.float32), np.zeros(rows, bool))
    assert not positive.any()
    assert negative.all()


def test_impossible_thresholds_are_refused():
    with pytest.raises(ValueError, match="0 < low <= high <= 1"):
        Matcher(0.3, 0.7, keep_best=True)


draw = jax.jit(sample, static_argnums=(3, 4))


def drawn(positives, negatives, count=8, share=0.25, seed=0, candidates=40):
    rows = np.arange(candidates)
    positive = rows < positives
    negative = (rows >= positives) & (rows < positives + negatives)
    found = draw(jax.random.key(seed), positive, negative, count, share)
    index = np.asarray(found.rows)[np.asarray(found.mask)]
    assert len(set(index)) == len(index), "without replacement"
    is_positive = np.asarray(found.positive)[np.asarray(found.mask)]
    np.testing.assert_array_equal(np.asarray(positive)[index], is_positive)
    np.testing.assert_array_equal(np.asarray(negative)[index], ~is_positive)
    return is_positive.sum(), (~is_positive).sum()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((10, 30), (2, 6)),
        ((1, 30), (1, 7)),  # negative ones fill up
        ((0, 30), (0, 8)),
        ((10, 3), (2, 3)),  # fewer in all
        ((5, 0), (2, 0)),
        ((0, 0), (0, 0)),
    ],
)
def test_the_numbers_in_a_sample(given, expected):
    assert drawn(*given) == expected


def test_fewer_candidates_than_places():
    assert drawn(2, 3, count=64, share=0.5, candidates=5) == (2, 3)


def test_each_candidate_is_drawn_equally_often():
    keys = jax.random.split(jax.random.key(0), 4000)
    positive, negative = jnp.arange(12) < 4, jnp.arange(12) >= 4
    found = jax.jit(jax.vmap(lambda key: sample(key, positive, negative, 4, 0.5)))(keys)
    counts = np.bincount(np.asarray(found.rows).ravel(), minlength=12)
    np.testing.assert_allclose(counts[:4], 2000, rtol=0.1)
    np.testing.assert_allclose(counts[4:], 1000, rtol=0.1)


def test_candidates_beyond_the_real_ones_change_nothing():
    few, many = (
        draw(jax.random.key(3), rows < 5, (rows >= 5) & (rows < 20), 8, 0.5)
        for rows in (np.arange(20), np.arange(33))
    )
    for one, other in zip(few, many):
        np.testing.assert_array_equal(one, other)
