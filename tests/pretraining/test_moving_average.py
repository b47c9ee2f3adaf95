"""The moving average against deepmind-research's formulas (byol/utils/schedules.py), in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.pretraining.moving_average import MovingAverage


@pytest.mark.parametrize("start", [0.97, 0.99, 0.996, 0.0])
def test_the_decay_follows_half_a_cosine_from_its_start_to_one(start):
    steps = 40
    for k in (0, 1, 7, 20, 39, 40, 55):
        cosine_decay = 0.5 * (1 + np.cos(np.pi * min(k, steps) / steps))
        expected = 1 - (1 - start) * cosine_decay
        np.testing.assert_allclose(
            MovingAverage(start, steps).decay(jnp.int32(k)), expected, rtol=1e-6, atol=1e-7
        )


def test_the_average_moves_by_what_the_decay_leaves():
    average, params = {"a": jnp.array([1.0, 2.0])}, {"a": jnp.array([3.0, -2.0])}
    moved = MovingAverage(0.9, 10).update(average, params, jnp.int32(0))
    np.testing.assert_allclose(moved["a"], [1.2, 1.6], rtol=1e-6)
    settled = MovingAverage(0.9, 10).update(average, params, jnp.int32(10))
    np.testing.assert_array_equal(settled["a"], average["a"])


@pytest.mark.parametrize(
    ("start", "steps", "named"), [(1.1, 10, "start"), (-0.1, 10, "start"), (0.9, 0, "steps")]
)
def test_impossible_settings_are_refused(start, steps, named):
    with pytest.raises(ValueError, match=named):
        MovingAverage(start, steps)
