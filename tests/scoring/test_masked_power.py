"""Masks of a flat spectrum, with more leading eigenvectors than the smallest number."""

import numpy as np

from examine_jax.scoring import MaskedPower, Path, examine
from tests.support.spectra import reference_gaps


def test_gaps_of_a_flat_spectrum_are_within_their_bounds() -> None:
    rows = np.random.default_rng(0).normal(size=(96, 130)).astype(np.float32)
    exact, noise = reference_gaps(rows)
    found = examine(rows, solver=MaskedPower())
    error = np.abs(np.asarray(found.gap, np.float64) - exact)
    assert (error <= np.asarray(found.error_bound) + noise).all()
    assert error.max() <= 1e-6 * exact.max()
    assert int(found.diagnostics.path) == Path.MASKED_POWER
    assert 1 < int(found.diagnostics.iterations) <= 16
