"""EXAMINE from its definition: one singular value decomposition for every row."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.jacobi import largest_singular_value
from examine_jax.scoring.equations.rows import Rows, block_of, rows_dtype
from examine_jax.scoring.examination import Diagnostics, Examination, Path, underflow_bound


@dataclasses.dataclass(frozen=True)
class DenseSVD:
    """N + 1 singular value decompositions in float64, following the definition.

    Time: O(N^2 D min(N, D)). It is for small sets, and a reference in tests.
    """

    def solve(self, rows: Rows) -> Examination:
        """The examination of scaled rows; traced with 64-bit types on."""
        count, width = rows.features.shape
        dtype = rows_dtype(rows)
        uncentred = block_of(rows._replace(mean=None), 0, count, jnp.float64)
        present = jnp.ones(count, bool) if rows.where is None else rows.where
        indices = jnp.arange(count)
        if rows.mean is not None:
            # Less one of the rows first, which is exact where all are far from the origin: a mean
            # of such rows would carry their rounding, and each fused use of it another one.
            uncentred = uncentred - uncentred[jnp.argmax(present)]

        def largest(left: Array) -> Array:
            kept = jnp.where(left[:, None], uncentred, 0)
            if rows.mean is not None:
                mean = jnp.sum(kept, 0) / jnp.maximum(jnp.sum(left), 1)
                kept = jnp.where(left[:, None], kept - mean, 0)
            return largest_singular_value(kept)

        sigma = largest(present)
        without = lax.map(lambda i: largest(present & (indices != i)), indices)
        gap = jnp.maximum(sigma - without, 0)
        rounding = 4 * 2.0**-52 * (count * width) ** 0.5 * sigma
        bound = rounding + 2 * float(np.finfo(dtype).eps) * gap
        poison = jnp.where(jnp.isnan(rows.scale), jnp.nan, 0)
        gap, bound, sigma, without = (
            (x + poison) / rows.scale for x in (gap, bound, sigma, without)
        )
        bound = jnp.where(present, bound + underflow_bound(rows), 0)
        return Examination(
            score=jnp.exp(-gap).astype(dtype),
            gap=gap.astype(dtype),
            singular_value=sigma.astype(dtype),
            loo_singular_values=without.astype(dtype),
            error_bound=bound.astype(dtype),
            diagnostics=Diagnostics(
                jnp.int32(0), jnp.zeros(count, dtype), jnp.int32(Path.DENSE_SVD)
            ),
        )
