"""The eigendecomposition of F F' by NumPy, for direct calls: nothing is compiled for a new N.

The steps are those of `rows.prepare`, `eigensystem.gram_of_rows` and `eigensystem.decompose`.
"""

import contextlib
from typing import NamedTuple

import numpy as np

from examine_jax.scoring.equations.blas_threads import SMALL, one_blas_thread
from examine_jax.scoring.equations.eigensystem import share_of_noise


class HostEigensystem(NamedTuple):
    """Eigenvalues and eigenvectors of the Gram matrix of the (scaled, centred) rows. Float64.

    Attributes:
        values: [n] k_1 >= k_2 >= ...
        vectors: [n, n] in columns.
        scale: a power of two that brings the largest entry to 1..2.
    """

    values: np.ndarray
    vectors: np.ndarray
    scale: float


def host_eigensystem(features: np.ndarray, center: bool) -> HostEigensystem | None:
    """The eigensystem of F F' for rows [n, D], n <= D, that are all present; n may be 0.

    None: some feature is NaN or infinite.
    """
    if not len(features):
        return HostEigensystem(np.zeros(0), np.zeros((0, 0)), 1.0)
    # This needs no array of magnitudes. Both are NaN if there is a NaN.
    lowest, highest = float(np.min(features)), float(np.max(features))
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        return None
    largest = max(-lowest, highest)
    limit = 1000 if features.dtype == np.float64 else 126  # as in `rows.prepare`
    exponent = int(np.clip(1 - np.frexp(largest)[1], -limit, limit)) if largest > 0 else 0
    scale = 2.0**exponent
    rows = features.astype(np.float64)
    rows *= scale
    if center:
        rows -= rows.mean(0)
        rows -= rows.mean(0)  # the rounding error of the first mean
    with one_blas_thread() if len(rows) <= SMALL else contextlib.nullcontext():
        values, vectors = np.linalg.eigh(rows @ rows.T)
    noise = share_of_noise(len(rows)) * values[-1]
    values = np.where(values < noise, 0, values)[::-1]
    return HostEigensystem(values, vectors[:, ::-1], scale)
