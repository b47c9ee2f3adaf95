"""Logistic regression in its primal form, for more rows than features.

Decisions = Z w, with Z the features and a column of ones.

As in the dual form, the fits of a block share the frozen curvature at one reference point. The
curvature of a prefix differs from that of the shortest prefix by the added rows: Woodbury's
identity applies, and one small Cholesky factor serves every prefix. The curvature without one row
differs from the full one by that row.

Shapes: n rows, r features with the ones, c columns (1, or the classes of a softmax), b fits.
    Weights [r, c, b]. Everything is float64.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular

from examine_jax.common.shapes import Array, Float
from examine_jax.valuation.logistic import loss as logistic
from examine_jax.valuation.logistic.newton_steps import (
    EPSILON,
    MOST_ROUNDING,
    NEWTON_STEPS,
    conjugate_descent,
    step_length,
)


class PrimalFits(NamedTuple):
    """Several fits."""

    weights: Float[Array, "r c b"]
    residual: Float[Array, " b"]  # norm of the gradient, less its rounding error


def fit(
    rows: Float[Array, "n r"],
    targets: Float[Array, "n c"],
    cost: Float[Array, " n"],
    start: PrimalFits,
    tolerance: Float[Array, ""],
    free_intercept: bool,
) -> PrimalFits:
    """One fit (b = 1) by damped Newton steps. A row of cost 0 is absent."""
    penalty = _penalty(rows.shape[1], free_intercept, rows.dtype)
    lengths = jnp.sqrt(jnp.sum(rows**2, axis=1))

    def evaluate(w: Array) -> tuple[Array, Array, Array]:
        decisions = rows @ w
        slope = logistic.gradient(decisions, targets, cost)
        descent = rows.T @ slope - penalty[:, None] * w
        return (
            decisions,
            descent,
            _beyond_rounding(jnp.linalg.norm(descent), lengths, w, decisions, slope, cost),
        )

    def step(state: Any) -> Any:
        count, w, decisions, descent, _, _ = state
        root = logistic.curvature_root(decisions, cost)
        direction = cho_solve(
            cho_factor(_hessian(rows, root, penalty)), descent.reshape(-1)
        ).reshape(w.shape)
        moved = rows @ direction

        def objective(length: Array) -> Array:
            quadratic = 0.5 * jnp.sum(
                penalty[:, None] * (2 * length * w + length**2 * direction) * direction
            )
            return quadratic + logistic.loss(decisions + length * moved, targets, cost)

        length = step_length(objective, -jnp.sum(descent * direction))
        w = w + length * direction
        return (count + 1, w, *evaluate(w), length)

    def unfinished(state: tuple[Array, ...]) -> Array:
        return (state[0] < NEWTON_STEPS) & ~(state[4] <= tolerance) & (state[5] > 0)

    w = start.weights[:, :, 0]
    _, w, _, _, residual, _ = lax.while_loop(
        unfinished, step, (jnp.int32(0), w, *evaluate(w), jnp.float64(1))
    )
    return PrimalFits(w[..., None], residual[None])


def fit_prefixes(
    rows: Float[Array, "n r"],
    targets: Float[Array, "n c"],
    cost: float | Float[Array, ""],
    start: PrimalFits,
    sizes: Any,
    tolerance: Float[Array, ""],
    free_intercept: bool,
) -> PrimalFits:
    """The fits to the first sizes[0], sizes[0] + 1, … rows.

    `start` (b = 1) is the fit to a shorter prefix.

    Args:
        sizes: [b] int, ascending; the last may repeat. The curvature is frozen at the fit to the
            last.
    """
    count, columns, width = rows.shape[0], targets.shape[1], rows.shape[1]
    present = jnp.arange(count)[:, None] < sizes[None, :]
    weight = jnp.where(present[:, -1], cost, 0.0)
    reference = fit(rows, targets, weight, start, 1e-3 * jnp.sqrt(jnp.sum(weight)), free_intercept)
    root = logistic.curvature_root(rows @ reference.weights[:, :, 0], weight)
    shortest = jnp.where(present[:, 0, None, None], root, 0.0)
    inverse = _inverse(
        _hessian(rows, shortest, _penalty(width, free_intercept, rows.dtype))
    )  # [rc, rc]

    added = jnp.minimum(
        sizes[0] + jnp.arange(sizes.shape[0]), count - 1
    )  # the rows beyond the shortest prefix
    is_added = jnp.arange(sizes.shape[0])[:, None] < (sizes - sizes[0])[None, :]  # [rows added, b]
    fresh = is_added[:, -1]
    features = jnp.where(fresh[:, None], rows[added], 0.0)
    # U = R' Z of the added rows, [mc, rc]
    rooted = jnp.einsum("mr,mdc->mcrd", features, jnp.where(fresh[:, None, None], root[added], 0.0))
    rooted = rooted.reshape(-1, width * columns)
    turned = rooted @ inverse
    factor = jnp.linalg.cholesky(jnp.eye(rooted.shape[0], dtype=rows.dtype) + turned @ rooted.T)
    half = solve_triangular(factor, jnp.eye(factor.shape[0], dtype=factor.dtype), lower=True)
    kept = jnp.repeat(is_added, columns, axis=0)

    def solve(descent: Array) -> Array:
        flat = descent.reshape(width * columns, -1)
        small = jnp.where(kept, half @ jnp.where(kept, turned @ flat, 0.0), 0.0)
        return (inverse @ flat - turned.T @ (half.T @ small)).reshape(descent.shape)

    return _together(rows, targets, cost * present, reference, solve, tolerance, free_intercept)


def fit_leave_one_out(
    rows: Float[Array, "n r"],
    targets: Float[Array, "n c"],
    cost: float | Float[Array, ""],
    full: PrimalFits,
    left_out: Any,
    tolerance: Float[Array, ""],
    free_intercept: bool,
) -> PrimalFits:
    """The fits without row left_out[0], left_out[1], …; `full` (b = 1) is the fit to all rows."""
    count, columns, width = rows.shape[0], targets.shape[1], rows.shape[1]
    present = jnp.arange(count)[:, None] != left_out[None, :]
    root = logistic.curvature_root(rows @ full.weights[:, :, 0], jnp.full(count, cost))
    inverse = _inverse(_hessian(rows, root, _penalty(width, free_intercept, rows.dtype)))
    # H - U U' without the row, U = Z R [rc, c] its own: H^-1 + H^-1 U (I - U' H^-1 U)^-1 U' H^-1.
    own = jnp.einsum("br,bdc->bcrd", rows[left_out], root[left_out]).reshape(-1, width * columns)
    turned = (own @ inverse).reshape(-1, columns, width * columns)
    kept = jnp.eye(columns, dtype=rows.dtype) - jnp.einsum(
        "bcx,bdx->bcd", turned, own.reshape(turned.shape)
    )
    kept_inverse = jnp.linalg.inv(kept)

    def solve(descent: Array) -> Array:
        flat = descent.reshape(width * columns, -1)
        at = jnp.einsum("bcd,bdx,xb->bc", kept_inverse, turned, flat, optimize="optimal")
        return (inverse @ flat + jnp.einsum("bcx,bc->xb", turned, at)).reshape(descent.shape)

    return _together(rows, targets, cost * present, full, solve, tolerance, free_intercept)


def _together(
    rows: Array,
    targets: Array,
    cost: Float[Array, "n b"],
    reference: PrimalFits,
    solve: Callable[[Array], Array],
    tolerance: Array,
    free_intercept: bool,
) -> PrimalFits:
    """All fits by steps with frozen curvature, from the reference.

    The caller refits those whose residual stays above the tolerance.
    """
    penalty = _penalty(rows.shape[1], free_intercept, rows.dtype)[:, None, None]
    lengths = jnp.sqrt(jnp.sum(rows**2, axis=1))
    beyond_rounding = jax.vmap(
        lambda norm, w, decisions, slope, cost: _beyond_rounding(
            norm, lengths, w, decisions, slope, cost
        ),
        in_axes=(0, 2, 2, 2, 1),
    )

    def evaluate(w: Array, decisions: Array) -> tuple[Array, Array, Array]:
        slope = jax.vmap(logistic.gradient, in_axes=(2, None, 1), out_axes=2)(
            decisions, targets, cost
        )
        descent = (rows.T @ slope.reshape(slope.shape[0], -1)).reshape(w.shape) - penalty * w
        norm = jnp.sqrt(jnp.sum(descent**2, axis=(0, 1)))
        return descent, beyond_rounding(norm, w, decisions, slope, cost), descent

    def along(w: Array, decisions: Array, step: Array) -> tuple[Array, Array, Array]:
        return (
            times(step),
            jnp.sum(penalty * w * step, axis=(0, 1)),
            jnp.sum(penalty * step**2, axis=(0, 1)),
        )

    def times(w: Array) -> Array:
        return (rows @ w.reshape(w.shape[0], -1)).reshape(-1, *w.shape[1:])

    w = jnp.broadcast_to(reference.weights, (*reference.weights.shape[:2], cost.shape[1]))
    w, residual = conjugate_descent(
        w, times(w), targets, cost, evaluate, lambda _, descent: solve(descent), along, tolerance
    )
    return PrimalFits(w, residual)


def _penalty(width: int, free_intercept: bool, dtype: Any) -> Array:
    return jnp.ones(width, dtype).at[-1].set(0.0 if free_intercept else 1.0)


def _hessian(rows: Array, root: Array, penalty: Array) -> Array:
    """[rc, rc]: the penalty, and the sum over rows of z z' (x) R R'."""
    width, columns = rows.shape[1], root.shape[1]
    if columns == 1:
        scaled = rows * root[:, 0]
        return scaled.T @ scaled + jnp.diag(penalty)
    scaled = jnp.einsum("nr,ndc->ncrd", rows, root).reshape(-1, width * columns)
    diagonal = jnp.repeat(penalty, columns)
    hessian = scaled.T @ scaled + jnp.diag(diagonal)
    # One shift of all classes' free intercepts changes nothing, so the matrix is singular in that
    # direction: make it regular.
    free = 1 - diagonal
    return hessian + jnp.outer(free, free)


def _inverse(matrix: Array) -> Array:
    half = solve_triangular(
        jnp.linalg.cholesky(matrix), jnp.eye(matrix.shape[0], dtype=matrix.dtype), lower=True
    )
    return half.T @ half


def _beyond_rounding(
    norm: Array,
    lengths: Float[Array, " n"],
    w: Float[Array, "r c"],
    decisions: Float[Array, "n c"],
    slope: Float[Array, "n c"],
    cost: Float[Array, " n"],
) -> Array:
    """The gradient's norm less its rounding error; infinite if rounding spoils the decisions."""
    size = jnp.sqrt(jnp.sum(w**2, axis=0))
    off = EPSILON * lengths[:, None] * size  # error of the decisions, [n, c]
    of_slope = EPSILON * jnp.abs(slope) + logistic.curvature_bound(decisions, cost) * off
    rounding = jnp.sum(lengths[:, None] * of_slope) + EPSILON * jnp.sum(size)
    spoilt = jnp.any((cost[:, None] > 0) & (off > MOST_ROUNDING * (1 + jnp.abs(decisions))))
    return jnp.where(
        spoilt,
        jnp.inf,
        jnp.where(norm > rounding, norm - rounding, jnp.where(jnp.isnan(norm), norm, 0.0)),
    )
