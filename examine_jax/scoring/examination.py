"""The results of an examination: tuples of named arrays, which pass through jit, vmap and grad."""

import enum
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.eigensystem import rounding
from examine_jax.scoring.equations.float64 import reduce_keeping_dtypes
from examine_jax.scoring.equations.rows import Rows, rows_dtype
from examine_jax.scoring.equations.secular_equation import Roots


class Path(enum.IntEnum):
    """How the values were computed; `Diagnostics.path` holds one of these."""

    FULL_FLOAT32 = 0  # eigendecomposition of a Gram matrix of float32 products, refined in float64
    FULL_FLOAT64 = 1  # eigendecomposition of a Gram matrix of float64 products
    KRYLOV = 2  # a few leading directions from a Krylov space, certified; no Gram matrix
    MASKED_POWER = 3  # power iteration over leave-one-out masks
    DENSE_SVD = 4  # one singular value decomposition for every row


class Diagnostics(NamedTuple):
    """How the values were computed. All fields are arrays, so that jit can return them.

    Attributes:
        iterations: [] int32, the number of steps of the slowest row.
        residual: [N] residual of each row's equation, in units of the squared features after
            scaling.
        path: [] int32, a member of `Path`.
    """

    iterations: Array
    residual: Array
    path: Array


class Examination(NamedTuple):
    """EXAMINE of every row: how much the top singular value falls when the row is left out.

    A row that `where` masks out has gap 0, score 1 and error bound 0: leaving out an absent row
    changes nothing.

    Attributes:
        score: [N] exp(-gap), the paper's phi (equation 3); higher is better.
        gap: [N] sigma - (sigma without row i), in the features' units. Rank by this; smaller is
            better.
        singular_value: [] sigma, the top singular value of all rows.
        loo_singular_values: [N] the top singular value without row i.
        error_bound: [N] the error of each gap is at most this.
        diagnostics: how the values were computed.
    """

    score: Array
    gap: Array
    singular_value: Array
    loo_singular_values: Array
    error_bound: Array
    diagnostics: Diagnostics

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies keep float64, whatever JAX's own 64-bit setting."""
        return reduce_keeping_dtypes(self)


def underflow_bound(rows: Rows) -> Array:
    """How far a gap may move because numbers below the dtype's normal range count as 0.

    Devices read such features as 0. Each of the N D entries moves by less than the smallest normal
    number, so each of the two singular values by at most sqrt(N D) times that.
    """
    tiny = float(np.finfo(rows_dtype(rows)).tiny)
    return 2 * tiny * jnp.sqrt(rows.present * rows.features.shape[1])


def examination_of(roots: Roots, first_value: Array, rows: Rows, path: Path) -> Examination:
    """The results from the roots t, in the features' units and dtype.

    The gaps are t / (sigma + sqrt(k_1 - t)).
    """
    dtype = rows_dtype(rows)
    if rows.where is not None:
        roots = roots._replace(
            t=jnp.where(rows.where, roots.t, 0), bound=jnp.where(rows.where, roots.bound, 0)
        )
    sigma = jnp.sqrt(first_value)
    without = jnp.sqrt(jnp.maximum(first_value - roots.t, 0))
    gap = roots.t / jnp.where(sigma > 0, sigma + without, 1)
    # An error of t moves sqrt(k_1 - t) by at most this bound. An error of k_1 moves sigma and
    # sqrt(k_1 - t) together, so it changes only their difference.
    below = without**2 - roots.bound
    bound = jnp.where(
        below > 0,
        roots.bound / (without + jnp.sqrt(jnp.maximum(below, 0)) + (below <= 0)),
        jnp.sqrt(roots.bound),
    )
    value_error = rounding(rows.features.shape[1], rows.total) * first_value
    bound += (
        gap * value_error / jnp.maximum(sigma * jnp.maximum(without, jnp.sqrt(value_error)), 1e-300)
    )
    bound += 2 * float(np.finfo(dtype).eps) * gap
    poison = jnp.where(jnp.isnan(rows.scale), jnp.nan, 0)  # an operation above may drop a NaN
    gap, bound, sigma, without = (
        (x + poison) / rows.scale for x in (gap, jnp.minimum(bound, sigma), sigma, without)
    )
    lost = underflow_bound(rows)
    bound += lost if rows.where is None else jnp.where(rows.where, lost, 0)
    diagnostics = Diagnostics(
        iterations=jnp.max(roots.steps).astype(jnp.int32),
        residual=roots.residual.astype(dtype),
        path=jnp.int32(path),
    )
    return Examination(
        score=jnp.exp(-gap).astype(dtype),
        gap=gap.astype(dtype),
        singular_value=sigma.astype(dtype),
        loo_singular_values=without.astype(dtype),
        error_bound=bound.astype(dtype),
        diagnostics=diagnostics,
    )
