"""Centred float64 rows far from the origin, against a mean taken in extended precision."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.scoring import SOLVERS, Solver, examine, examine_groups
from examine_jax.scoring.chunks import examine_chunks
from examine_jax.scoring.summary import SpectralSummary
from examine_jax.scoring.top_k import examine_ky_fan, leave_one_out_singular_values

OFFSETS = (0.0, 3e5, 3e7, 1e10)
SHAPES = ((12, 5), (7, 9), (600, 5))


def _rows(offset: float, shape: tuple[int, int] = (12, 5)) -> np.ndarray:
    generator = np.random.default_rng(int(offset))
    return generator.normal(size=shape) + offset * generator.normal(size=shape[1])


def _singular_values(rows: np.ndarray) -> np.ndarray:
    """Of the centred rows; the mean is taken in NumPy's extended precision."""
    exact = rows.astype(np.longdouble)
    centred = (exact - exact.mean(0)).astype(np.float64)
    return np.linalg.svd(centred, compute_uv=False)


def _reference(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Gaps with the row deleted, and the rounding of LAPACK's singular values."""
    sigma = _singular_values(rows)
    left = [_singular_values(np.delete(rows, i, 0))[0] for i in range(len(rows))]
    return sigma[0] - np.array(left), 8e-16 * float(np.linalg.norm(sigma))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", SOLVERS)
def test_the_rows_distance_from_the_origin_costs_no_accuracy(
    name: str, shape: tuple[int, int]
) -> None:
    solver: Solver = SOLVERS[name]()
    for offset in OFFSETS:
        rows = _rows(offset, shape)
        exact, noise = _reference(rows)
        found = examine(rows, solver=solver, center=True)
        error = np.abs(np.asarray(found.gap) - exact)
        assert (error <= np.asarray(found.error_bound) + noise).all(), offset
        assert error.max() <= 1e-13 * exact.max() + 2 * noise, offset
        assert float(np.asarray(found.error_bound).max()) <= 1e-10


def test_masked_rows_far_from_the_others_do_not_move_the_mean() -> None:
    rows = np.concatenate([_rows(3e7), 1e12 + np.ones((3, 5))])
    exact, noise = _reference(rows[:12])
    found = examine(rows, center=True, where=np.arange(15) < 12)
    assert (np.abs(np.asarray(found.gap)[:12] - exact) <= 1e-13 * exact.max() + 2 * noise).all()


def test_groups_and_leading_values_are_as_accurate() -> None:
    for offset in OFFSETS:
        rows = _rows(offset)
        exact, noise = _reference(rows)
        groups = examine_groups(rows, np.arange(12), num_groups=12, center=True)
        error = np.abs(np.asarray(groups.gap) - exact)
        assert (error <= np.asarray(groups.error_bound) + noise).all()
        assert error.max() <= 1e-13 * exact.max() + 2 * noise
        values = np.asarray(leave_one_out_singular_values(rows, 2, center=True))
        left = [_singular_values(np.delete(rows, i, 0))[:2] for i in range(12)]
        np.testing.assert_allclose(values, left, rtol=1e-13)
        norms = examine_ky_fan(rows, 2, center=True)
        assert float(norms.norm) == pytest.approx(_singular_values(rows)[:2].sum(), rel=1e-13)


def test_summaries_bounds_hold_and_are_near_the_rounding_of_the_stored_mean() -> None:
    for offset in OFFSETS:
        rows = _rows(offset)
        exact, noise = _reference(rows)
        summary = SpectralSummary.of(rows)
        scale = Fraction(float(summary.scale))
        precise = [sum(map(Fraction, column.tolist())) * scale / len(rows) for column in rows.T]
        error = np.linalg.norm(
            [float(Fraction(x) - y) for x, y in zip(np.asarray(summary.mean).tolist(), precise)]
        )
        assert error <= float(summary.mean_error)
        assert float(summary.mean_error) <= 5e-14 * float(summary.scale) + 3e-16 * np.linalg.norm(
            summary.mean
        )
        for found in (
            summary.examine(rows, center=True),
            examine_chunks([rows[:7], rows[7:]], center=True),
        ):
            error = np.abs(np.asarray(found.gap) - exact)
            assert (error <= np.asarray(found.error_bound) + noise).all(), offset
            assert error.max() <= 1e-14 + 4e-16 * offset * np.sqrt(5)


def test_derivatives_do_not_depend_on_the_offset() -> None:
    generator = np.random.default_rng(0)
    # Multiples of 2^-16, so that rows and offset add exactly.
    rows = np.round(2.0**16 * generator.normal(size=(12, 5))) / 2.0**16
    far = rows + 3e7

    def first_gap(features: jax.Array) -> jax.Array:
        return examine(features, center=True).gap[0]

    with jax.enable_x64(True):
        near, moved = (jax.grad(first_gap)(jnp.asarray(x)) for x in (rows, far))
    np.testing.assert_allclose(moved, near, rtol=0, atol=1e-13)
