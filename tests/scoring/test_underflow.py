"""Features below the normal range: devices read them as 0, and the error bound covers that."""

import numpy as np
import pytest

from examine_jax.scoring import SOLVERS, examine, examine_groups
from examine_jax.scoring.summary import SpectralSummary
from tests.support.spectra import reference_gaps

NOISE = np.random.default_rng(0).normal(size=(12, 5))
# Of all-denormal rows, rows of which some entries are denormal, and zeros.
ROWS = {
    (dtype.__name__, magnitude): (magnitude * NOISE).astype(dtype)
    for dtype, magnitudes in ((np.float32, (1e-44, 1e-40, 1.2e-38)), (np.float64, (1e-310, 3e-308)))
    for magnitude in magnitudes
}
CASES = [(*key, center) for key in ROWS for center in (False, True)]


def _assert_covered(gap: object, bound: object, rows: np.ndarray, center: bool) -> None:
    # A power of two brings the reference to magnitudes at which LAPACK loses nothing.
    unit = 2.0**1000 if rows.dtype == np.float64 else 2.0**200
    exact, noise = reference_gaps(rows.astype(np.float64) * unit, center)
    bound = np.asarray(bound, np.float64)
    assert (bound > 0).all()
    error = np.abs(np.asarray(gap, np.float64) * unit - exact)
    assert (error <= bound * unit + noise).all()
    assert bound.max() <= 2 * 60**0.5 * float(np.finfo(rows.dtype).tiny) * 1.01


@pytest.mark.parametrize(("dtype", "magnitude", "center"), CASES)
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_s_bound_covers_what_underflows(
    name: str, dtype: str, magnitude: float, center: bool
) -> None:
    rows = ROWS[dtype, magnitude]
    found = examine(rows, solver=SOLVERS[name](), center=center)
    _assert_covered(found.gap, found.error_bound, rows, center)


@pytest.mark.parametrize(("dtype", "magnitude", "center"), CASES)
def test_groups_and_summaries_bounds_cover_what_underflows(
    dtype: str, magnitude: float, center: bool
) -> None:
    rows = ROWS[dtype, magnitude]
    groups = examine_groups(rows, np.arange(12), num_groups=13, center=center)
    _assert_covered(groups.gap[:12], groups.error_bound[:12], rows, center)
    assert float(groups.error_bound[12]) == 0, "nothing changes without an empty group"
    summary = SpectralSummary.of(rows)
    found = summary.examine(rows, center=center)
    _assert_covered(found.gap, found.error_bound, rows, center)
    assert (np.asarray(summary.examine_new(rows, center=center).error_bound) > 0).all()
