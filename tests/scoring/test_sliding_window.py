"""A window slides over a stream row by row: errors stay small, and the bounds hold.

Rows are integers, so that the right mean and scatter are known as fractions.
"""

import fractions
import pathlib
import pickle

import jax
import numpy as np
import pytest

from examine_jax.scoring.equations import double_double
from examine_jax.scoring.equations.double_double import Pair
from examine_jax.scoring.equations.float64 import float64_types
from examine_jax.scoring.summary import SpectralSummary

WINDOW, WIDTH, STEPS = 80, 4, 500
OFFSETS = (0, 2**20)  # the second is a thousand times the rows' spread


def _stream(offset: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1001, (WINDOW + STEPS, WIDTH)) + offset


@jax.jit
def _slide(summary: SpectralSummary, coming: jax.Array, going: jax.Array) -> SpectralSummary:
    return jax.lax.scan(
        lambda summary, rows: (summary.update(rows[0][None]).remove(rows[1][None]), None),
        summary,
        (coming, going),
    )[0]


def _exact(*halves: object) -> fractions.Fraction:
    return sum((fractions.Fraction(float(half)) for half in halves), fractions.Fraction())


def _assert_bounds_hold(summary: SpectralSummary, rows: np.ndarray) -> None:
    count, scale = len(rows), _exact(summary.scale)
    total = rows.sum(0)
    products = count * (rows.T @ rows) - np.outer(total, total)

    def distance(number: int, unit: fractions.Fraction, *halves: float) -> float:
        return float(_exact(*halves) - int(number) * unit / count)

    errors = np.vectorize(distance)
    size = np.linalg.norm(np.asarray(summary.scatter))
    of_mean, of_scatter = np.asarray(summary.rest_errors)
    assert float(summary.count) == count
    mean = (total, scale, summary.mean)
    assert np.linalg.norm(errors(*mean)) <= float(summary.mean_error)
    assert np.linalg.norm(errors(*mean, summary.mean_rest)) <= of_mean
    scatter = (products, scale**2, summary.scatter)
    assert np.linalg.norm(errors(*scatter)) <= float(summary.scatter_error) <= 1e-13 * size
    assert np.linalg.norm(errors(*scatter, summary.scatter_rest)) <= of_scatter


@pytest.mark.parametrize("wide", [False, True], ids=["x64-off", "x64-on"])
@pytest.mark.parametrize("offset", OFFSETS)
def test_errors_do_not_build_up_as_a_window_slides(offset: int, wide: bool) -> None:
    stream = _stream(offset)
    rows = stream.astype(np.float32)
    with jax.enable_x64(wide):
        first = SpectralSummary.of(rows[:WINDOW])
        last = _slide(first, rows[WINDOW:], rows[:STEPS])
    _assert_bounds_hold(first, stream[:WINDOW])
    _assert_bounds_hold(last, stream[STEPS:])
    start, end = (float(summary.rest_errors[1]) for summary in (first, last))
    # After a million steps the bound is at most a few percent above the first one.
    assert end - start <= 1e-8 * start


def test_single_rows_and_small_sets_are_added_and_removed_exactly(tmp_path: pathlib.Path) -> None:
    stream = _stream(7)
    rows = stream.astype(np.float32)
    summary = SpectralSummary.of(rows[:1])
    for start in range(1, 41, 8):
        summary = summary.update(rows[start : start + 8])
    summary = summary.remove(rows[:1]).remove(rows[1:9])
    summary.save(tmp_path / "summary.npz")
    for arrived in (
        summary,
        pickle.loads(pickle.dumps(summary)),  # noqa: S301
        SpectralSummary.load(tmp_path / "summary.npz"),
    ):
        _assert_bounds_hold(arrived, stream[9:41])
        assert float(arrived.rest_errors[1]) <= 1e-26 * np.trace(arrived.scatter)


def test_a_summary_without_rounding_errors_is_what_it_was() -> None:
    rows = _stream(0)[:WINDOW].astype(np.float32)
    summary = SpectralSummary.of(rows)
    earlier = SpectralSummary(*summary[:6])  # as an earlier version's program makes it
    np.testing.assert_allclose(earlier.examine(rows).gap, summary.examine(rows).gap, rtol=1e-6)
    _assert_bounds_hold(earlier.update(rows[:1]).remove(rows[:1]), _stream(0)[:WINDOW])


def test_pairs_of_numbers_are_right_to_a_hundred_bits() -> None:
    generator = np.random.default_rng(0)

    def pairs() -> Pair:
        high = generator.normal(size=200) * 2.0 ** generator.integers(-60, 60, 200)
        return Pair(high, high * generator.uniform(-1, 1, 200) * 2.0**-54)

    one, other = pairs(), pairs()
    operations = {
        "add": lambda x, y: x + y,
        "multiply": lambda x, y: x * y,
    }
    for name, operation in operations.items():
        with float64_types():
            found = jax.jit(getattr(double_double, name))(one, other)
        for values in zip(*found, *one, *other):
            right = operation(_exact(*values[2:4]), _exact(*values[4:]))
            assert abs(_exact(*values[:2]) - right) <= abs(right) * _exact(double_double.ROUNDING)
    with float64_types():
        found = jax.jit(double_double.divide)(one, other.high)
    for values in zip(*found, *one, other.high):
        right = _exact(*values[2:4]) / _exact(values[4])
        assert abs(_exact(*values[:2]) - right) <= abs(right) * _exact(double_double.ROUNDING)
