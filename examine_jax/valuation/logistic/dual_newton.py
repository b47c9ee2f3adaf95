"""Logistic regression in its dual form, for fewer rows than features.

Decisions = K a + b, with K the rows' Gram matrix.

At the optimum a = g(K a + b), with g = cost * (target - probability). Newton's method solves a -
g(K a + b) = 0 for several fits at once. The fits of a block share the curvature R R' at one
reference point, frozen. Then one Cholesky factor of I + R' K R serves them
all: the factor of a prefix of the rows is a leading part of it, and the inverse without one row is
    a rank-one change of the inverse.
Freezing changes the path but not the limit, as each fit has its own residual.

Shapes: n rows, c columns (1, or the classes of a softmax), b fits. Coefficients [n, c, b],
    intercepts [c, b]. Everything is float64.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular

from examine_jax.common.shapes import Array, Float
from examine_jax.valuation.logistic import loss as logistic
from examine_jax.valuation.logistic.newton_steps import (
    EPSILON,
    MOST_ROUNDING,
    NEWTON_STEPS,
    conjugate_descent,
    step_length,
)


class DualFits(NamedTuple):
    """Several fits."""

    coefficients: Float[Array, "n c b"]
    intercept: Float[Array, "c b"]  # zero where it is part of the kernel
    residual: Float[Array, " b"]  # norm of the primal gradient, less its rounding error


def fit(
    kernel: Float[Array, "n n"],
    targets: Float[Array, "n c"],
    cost: Float[Array, " n"],
    start: DualFits,
    tolerance: Float[Array, ""],
    free_intercept: bool,
) -> DualFits:
    """One fit (b = 1) by damped Newton steps. A row of cost 0 is absent."""
    present = cost > 0
    lengths = jnp.sqrt(jnp.diagonal(kernel))

    def evaluate(a: Array, b: Array) -> tuple[Array, Array, Array]:
        decisions = kernel @ a + b
        slope = logistic.gradient(decisions, targets, cost)
        rest = jnp.where(present[:, None], slope - a, 0.0)
        norm = _norm(rest, kernel @ rest, _imbalance(a, rest, free_intercept))
        norm = _beyond_rounding(norm, lengths, a, b, decisions, slope, cost, free_intercept)
        return decisions, rest, norm

    def step(state: Any) -> Any:
        count, a, b, decisions, rest, _, _ = state
        root, factor = frozen_curvature(kernel, decisions, cost)
        direction, shift = _solve(
            kernel, root, _by_factor(factor), a[..., None], rest[..., None], free_intercept
        )
        direction, shift = direction[..., 0], shift[..., 0]
        moved = kernel @ direction  # before the intercept's shift
        flat, curved = (
            jnp.sum(direction * decisions) - jnp.sum(direction * b),
            jnp.sum(direction * moved),
        )
        slope = flat - jnp.sum(logistic.gradient(decisions, targets, cost) * (moved + shift))

        def objective(length: Array) -> Array:
            quadratic = length * flat + 0.5 * length**2 * curved
            return quadratic + logistic.loss(decisions + length * (moved + shift), targets, cost)

        length = step_length(objective, slope)
        a, b = a + length * direction, b + length * shift
        return (count + 1, a, b, *evaluate(a, b), length)

    def unfinished(state: tuple[Array, ...]) -> Array:
        count, _, _, _, _, residual, length = state
        return (count < NEWTON_STEPS) & ~(residual <= tolerance) & (length > 0)

    a, b = jnp.where(present[:, None], start.coefficients[:, :, 0], 0.0), start.intercept[:, 0]
    initial = (jnp.int32(0), a, b, *evaluate(a, b), jnp.float64(1))
    _, a, b, _, _, residual, _ = lax.while_loop(unfinished, step, initial)
    return DualFits(a[..., None], b[:, None], residual[None])


def frozen_curvature(
    kernel: Float[Array, "n n"], decisions: Float[Array, "n c"], cost: Float[Array, " n"]
) -> tuple[Float[Array, "n c c"], Float[Array, "nc nc"]]:
    """R at these decisions, and the lower Cholesky factor of I + R' K R."""
    root = logistic.curvature_root(decisions, cost)
    rows, columns, _ = root.shape
    if columns == 1:
        r = root[:, 0, 0]
        matrix = r[:, None] * kernel * r[None, :]
    else:
        matrix = jnp.einsum("idc,ij,jde->icje", root, kernel, root).reshape(
            rows * columns, rows * columns
        )
    return root, jnp.linalg.cholesky(matrix + jnp.eye(rows * columns, dtype=kernel.dtype))


def fit_prefixes(
    kernel: Float[Array, "n n"],
    targets: Float[Array, "n c"],
    cost: float | Float[Array, ""],
    start: DualFits,
    sizes: Any,
    tolerance: Float[Array, ""],
    free_intercept: bool,
) -> DualFits:
    """The fits to the first sizes[0], sizes[1], … rows.

    `start` (b = 1) is the fit to a shorter prefix.

    Args:
        sizes: [b] int, ascending; the curvature is frozen at the fit to the last.
    """
    rows = jnp.arange(targets.shape[0])
    present = rows[:, None] < sizes[None, :]  # [n, b]
    weight = jnp.where(present[:, -1], cost, 0.0)
    reference = fit(
        kernel, targets, weight, start, 1e-3 * jnp.sqrt(jnp.sum(weight)), free_intercept
    )
    decisions = kernel @ reference.coefficients[:, :, 0] + reference.intercept[:, 0]
    root, factor = frozen_curvature(kernel, decisions, weight)
    inverse = solve_triangular(factor, jnp.eye(factor.shape[0], dtype=factor.dtype), lower=True)
    solve = _by_inverse_factor(inverse, jnp.repeat(present, targets.shape[1], axis=0))
    return _together(
        kernel, targets, cost * present, reference, root, solve, tolerance, free_intercept
    )


def fit_leave_one_out(
    kernel: Float[Array, "n n"],
    targets: Float[Array, "n c"],
    cost: float | Float[Array, ""],
    full: DualFits,
    left_out: Any,
    tolerance: Float[Array, ""],
    free_intercept: bool,
) -> DualFits:
    """The fits without row left_out[0], left_out[1], …; `full` (b = 1) is the fit to all rows."""
    rows, columns = targets.shape
    fits = left_out.shape[0]
    present = jnp.arange(rows)[:, None] != left_out[None, :]
    decisions = kernel @ full.coefficients[:, :, 0] + full.intercept[:, 0]
    root, factor = frozen_curvature(kernel, decisions, jnp.full(rows, cost))
    half = solve_triangular(factor, jnp.eye(factor.shape[0], dtype=factor.dtype), lower=True)
    inverse = half.T @ half
    theirs = inverse.reshape(rows * columns, rows, columns)[
        :, left_out
    ]  # [nc, b, c]: columns of the left-out rows
    own = theirs.reshape(rows, columns, fits, columns)[left_out, :, jnp.arange(fits)]  # [b, c, c]
    own_inverse = jnp.linalg.inv(own)

    def solve(vector: Array) -> Array:
        found = inverse @ vector.reshape(rows * columns, -1)  # [nc, b * any]
        found = found.reshape(rows, columns, fits, -1)
        at = jnp.einsum("bcd,bde->bce", own_inverse, found[left_out, :, jnp.arange(fits)])
        found = found - jnp.einsum("nbc,bce->nbe", theirs, at).reshape(found.shape)
        return jnp.where(present[:, None, :, None], found, 0.0).reshape(vector.shape)

    return _together(kernel, targets, cost * present, full, root, solve, tolerance, free_intercept)


def _together(
    kernel: Array,
    targets: Array,
    cost: Float[Array, "n b"],
    reference: DualFits,
    root: Array,
    solve: Callable[[Array], Array],
    tolerance: Array,
    free_intercept: bool,
) -> DualFits:
    """All fits by steps with frozen curvature, from the reference.

    The caller refits those whose residual stays above the tolerance.
    """
    present = cost > 0
    lengths = jnp.sqrt(jnp.diagonal(kernel))
    beyond_rounding = jax.vmap(
        lambda norm, a, b, decisions, slope, cost: _beyond_rounding(
            norm, lengths, a, b, decisions, slope, cost, free_intercept
        ),
        in_axes=(0, 2, 1, 2, 2, 1),
    )

    def evaluate(unknowns: Any, decisions: Array) -> tuple[Any, Array, Any]:
        a, b = unknowns
        slope = jax.vmap(logistic.gradient, in_axes=(2, None, 1), out_axes=2)(
            decisions, targets, cost
        )
        rest = jnp.where(present[:, None, :], slope - a, 0.0)
        product = _times(kernel, rest)
        imbalance = _imbalance(a, rest, free_intercept)
        norm = jax.vmap(_norm, in_axes=(2, 2, 1))(rest, product, imbalance)
        norm = beyond_rounding(norm, a, b, decisions, slope, cost)
        return (product, imbalance), norm, (rest, product)

    def precondition(unknowns: Any, extra: Any) -> Any:
        rest, product = extra
        return _solve(kernel, root, solve, unknowns[0], rest, free_intercept, product)

    def along(unknowns: Any, decisions: Array, step: Any) -> tuple[Array, Array, Array]:
        direction, shift = step
        moved = _times(kernel, direction)
        flat = jnp.sum(direction * (decisions - unknowns[1]), axis=(0, 1))
        return moved + shift, flat, jnp.sum(direction * moved, axis=(0, 1))

    a = jnp.where(present[:, None, :], reference.coefficients, 0.0)
    b = jnp.broadcast_to(reference.intercept, (targets.shape[1], cost.shape[1]))
    decisions = _times(kernel, a) + b
    (a, b), residual = conjugate_descent(
        (a, b), decisions, targets, cost, evaluate, precondition, along, tolerance
    )
    return DualFits(a, b, residual)


def _solve(
    kernel: Array,
    root: Array,
    solve: Callable[[Array], Array],
    a: Array,
    rest: Array,
    free_intercept: bool,
    product: Array | None = None,
) -> tuple[Array, Array]:
    """The step of a and of the intercept.

    It solves (I + R R' K) da + R R' 1 db = rest, and sum(a + da) = 0 if the intercept is free.

    With Q = R (I + R' K R)^-1 R': da = rest - Q K rest - Q 1 db. If `product` (K rest) is not
    given and there is one column, the first two terms are computed as
    R (I + R' K R)^-1 R^-1 rest: nothing cancels there, however large K is.
    """
    columns, fits = a.shape[1:]
    if product is None and columns == 1:
        scale = root[:, 0, 0, None, None]
        inside = jnp.where(scale > 0, rest / jnp.where(scale > 0, scale, 1), 0)
        direction = jnp.where(scale > 0, scale * solve(inside), rest)
        if not free_intercept:
            return direction, jnp.zeros((columns, fits), a.dtype)
        of_ones = _curved(root, solve, jnp.ones((a.shape[0], 1, fits, 1), a.dtype))
        shift = jnp.sum(a + direction, 0) / jnp.sum(of_ones[..., 0], 0)
        return direction - of_ones[..., 0] * shift, shift
    product = _times(kernel, rest) if product is None else product
    if not free_intercept:
        return rest - _curved(root, solve, product), jnp.zeros((columns, fits), a.dtype)
    ones = jnp.broadcast_to(
        jnp.eye(columns, dtype=a.dtype)[None, :, None, :], (a.shape[0], columns, fits, columns)
    )
    both = _curved(root, solve, jnp.concatenate([product[..., None], ones], axis=3))
    direction, of_ones = rest - both[..., 0], both[..., 1:]  # [n, c, b], [n, c, b, c]
    system = jnp.moveaxis(jnp.sum(of_ones, 0), 1, 0)  # [b, c, c]
    if columns > 1:
        # One shift of all classes changes nothing, so the system is singular in that direction:
        # make it regular.
        system = system + jnp.ones((columns, columns), a.dtype) * (
            jnp.trace(system, axis1=1, axis2=2)[:, None, None] + 1e-300
        )
    shift = jnp.linalg.solve(system, (jnp.sum(a + direction, 0)).T[..., None])[..., 0].T  # [c, b]
    return direction - jnp.einsum("icbd,db->icb", of_ones, shift), shift


def _curved(root: Array, solve: Callable[[Array], Array], vector: Array) -> Array:
    """R (I + R' K R)^-1 R' times [n, c, b(, any)]."""
    if root.shape[1] == 1:
        scale = root[:, 0, 0].reshape((-1,) + (1,) * (vector.ndim - 1))
        return scale * solve(scale * vector)
    return jnp.einsum("icd,id...->ic...", root, solve(jnp.einsum("idc,id...->ic...", root, vector)))


def _by_factor(factor: Array) -> Callable[[Array], Array]:
    def solve(vector: Array) -> Array:
        flat = vector.reshape(factor.shape[0], -1)
        return solve_triangular(
            factor, solve_triangular(factor, flat, lower=True), lower=True, trans=1
        ).reshape(vector.shape)

    return solve


def _by_inverse_factor(inverse: Array, present: Array) -> Callable[[Array], Array]:
    """Solves with the factor's inverse.

    `present` [nc, b] restricts each fit to its prefix, whose factor is a leading part.
    """

    def solve(vector: Array) -> Array:
        kept = present.reshape(present.shape + (1,) * (vector.ndim - 3))
        flat = vector.reshape(inverse.shape[0], *vector.shape[2:])
        flat = jnp.where(kept, flat, 0.0)
        half = inverse @ flat.reshape(inverse.shape[0], -1)
        half = jnp.where(kept, half.reshape(flat.shape), 0.0)
        return (inverse.T @ half.reshape(inverse.shape[0], -1)).reshape(vector.shape)

    return solve


def _times(kernel: Array, a: Array) -> Array:
    return (kernel @ a.reshape(a.shape[0], -1)).reshape(a.shape)


def _imbalance(a: Array, rest: Array, free_intercept: bool) -> Array:
    """The free intercept's part of the gradient: sum over the rows of g = a + rest."""
    return jnp.sum(a + rest, axis=0) if free_intercept else jnp.zeros(a.shape[1:], a.dtype)


def _norm(rest: Array, product: Array, imbalance: Array) -> Array:
    """The norm of the gradient with respect to the weights, X' (a - g), and the intercept."""
    return jnp.sqrt(jnp.maximum(jnp.sum(rest * product), 0.0) + jnp.sum(imbalance**2))


def _beyond_rounding(
    norm: Array,
    lengths: Float[Array, " n"],
    a: Float[Array, "n c"],
    b: Float[Array, " c"],
    decisions: Float[Array, "n c"],
    slope: Float[Array, "n c"],
    cost: Float[Array, " n"],
    free_intercept: bool,
) -> Array:
    """The gradient's norm less its rounding error; infinite if rounding spoils the decisions.

    A decision is a sum of products K_ij a_j, and |K_ij| <= |x_i| |x_j|. The curvature carries an
    error of the decisions over to the gradient.
    """
    # Error of the decisions, [n, c].
    off = EPSILON * (lengths[:, None] * jnp.sum(lengths[:, None] * jnp.abs(a), axis=0) + jnp.abs(b))
    of_rest = (
        EPSILON * (jnp.abs(a) + jnp.abs(slope)) + logistic.curvature_bound(decisions, cost) * off
    )
    rounding = jnp.sum((lengths[:, None] + (1.0 if free_intercept else 0.0)) * of_rest)
    spoilt = jnp.any((cost[:, None] > 0) & (off > MOST_ROUNDING * (1 + jnp.abs(decisions))))
    return jnp.where(
        spoilt,
        jnp.inf,
        jnp.where(norm > rounding, norm - rounding, jnp.where(jnp.isnan(norm), norm, 0.0)),
    )
