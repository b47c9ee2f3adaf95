"""Bootstrap intervals by group, against the enumeration of all draws."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from examine_jax.evaluation.bootstrap import bootstrap_interval


def test_draws_groups_whole_with_replacement():
    groups, values = (
        np.array(["b", "a", "b", "c", "a", "a"]),
        np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]),
    )
    seen = set()

    def total(rows):
        seen.add(values[rows].sum())
        return float(values[rows].sum())

    interval = bootstrap_interval(total, groups, seed=0, num_draws=3000)
    sums = {name: values[groups == name].sum() for name in "abc"}
    expected = [sum(sums[name] for name in draw) for draw in itertools.product("abc", repeat=3)]
    assert seen == set(expected) | {values.sum()}
    assert interval.value == values.sum()
    low, high = np.quantile(expected, [0.025, 0.975], method="inverted_cdf")
    assert (interval.low, interval.high) == (low, high)


def test_single_images_agree_with_scipy():
    values = np.random.default_rng(0).exponential(size=200)
    found = bootstrap_interval(
        lambda rows: float(values[rows].mean()), np.arange(200), seed=1, num_draws=4000
    )
    expected = bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.05 * width)
    assert found.high == pytest.approx(expected.high, abs=0.05 * width)


def test_copies_of_images_do_not_narrow_the_interval():
    values = np.random.default_rng(0).standard_normal(40)
    once = bootstrap_interval(lambda rows: float(values[rows].mean()), np.arange(40), seed=0)
    copies = np.tile(values, 5)
    by_group = bootstrap_interval(
        lambda rows: float(copies[rows].mean()), np.tile(np.arange(40), 5), seed=0
    )
    assert (by_group.low, by_group.high) == pytest.approx((once.low, once.high))


def test_draws_with_nan_are_counted_and_left_out():
    values = np.array([1.0, 2.0, 3.0])
    interval = bootstrap_interval(
        lambda rows: float(values[rows].mean()) if 0 in rows else math.nan,
        np.arange(3),
        seed=0,
        num_draws=2000,
    )
    assert interval.num_undefined / 2000 == pytest.approx((2 / 3) ** 3, abs=0.04)
    assert 1 <= interval.low < interval.high <= 7 / 3
    nothing = bootstrap_interval(lambda rows: math.nan, np.arange(3), seed=0, num_draws=5)
    assert nothing.num_undefined == 5
    assert math.isnan(nothing.low)


def test_equal_seeds_give_equal_intervals():
    values = np.random.default_rng(0).standard_normal(30)

    def interval(seed):
        return bootstrap_interval(
            lambda rows: float(values[rows].mean()), np.arange(30), seed=seed, num_draws=50
        )

    assert interval(0) == interval(0) != interval(1)


@pytest.mark.parametrize(
    ("groups", "knobs", "message"),
    [
        ([0, 0], {}, "1 groups among 2 images"),
        ([0, 1], {"confidence": 1.0}, "confidence"),
        ([0, 1], {"num_draws": 0}, "num_draws"),
    ],
)
def test_invalid_input_is_refused(groups, knobs, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(lambda rows: 0.0, np.array(groups), seed=0, **knobs)
