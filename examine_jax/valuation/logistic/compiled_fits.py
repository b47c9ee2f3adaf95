"""The compiled programs that fit many logistic regressions at once."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from examine_jax.valuation.logistic import dual_newton as dual
from examine_jax.valuation.logistic import loss as logistic
from examine_jax.valuation.logistic import primal_newton as primal


class Fits(NamedTuple):
    """Fits of all problems, in coordinates of the rows (dual) or the features (primal).

    The leading axis counts the problems.
    """

    coefficients: Any  # [p, n, c, b] dual or [p, r, c, b] primal
    intercept: Any  # [p, c, b]; unused in the primal form
    residual: Any  # [p, b]


def _make_system(features: Any, is_dual: bool, penalised_intercept: bool) -> Any:
    rows = features.astype(jnp.float64)
    if is_dual:
        return rows @ rows.T + (1.0 if penalised_intercept else 0.0)
    return jnp.concatenate([rows, jnp.ones((rows.shape[0], 1), jnp.float64)], axis=1)


def _make_ordered(system: Any, targets: Any, permutations: Any, is_dual: bool) -> tuple[Any, Any]:
    def order(permutation: Any) -> tuple[Any, Any]:
        rows = system[permutation]
        return rows[:, permutation] if is_dual else rows, targets[:, permutation]

    return jax.vmap(order)(permutations)


def _make_alone(
    system: Any,
    targets: Any,
    cost: Any,
    start: Fits,
    tolerance: Any,
    is_dual: bool,
    free_intercept: bool,
) -> Fits:
    """[b] fits one after another from one start, each problem alone."""

    def problem(target: Any, begin: Fits, weight: Any) -> Fits:
        if is_dual:
            dual_fit = dual.fit(
                system, target, weight, dual.DualFits(*begin), tolerance, free_intercept
            )
            return Fits(*(x[..., 0] for x in dual_fit))
        found = primal.fit(
            system, target, weight, primal.PrimalFits(begin[0], begin[2]), tolerance, free_intercept
        )
        return Fits(found.weights[..., 0], jnp.zeros(target.shape[1]), found.residual[0])

    every = jax.vmap(problem, in_axes=(0, 0, None))
    found = jax.lax.map(lambda weight: every(targets, start, weight), cost)
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), found)


def _make_leave_one_out(
    system: Any,
    targets: Any,
    cost: Any,
    full: Fits,
    left_out: Any,
    tolerance: Any,
    is_dual: bool,
    free_intercept: bool,
) -> Fits:
    def problem(target: Any, begin: Fits) -> Fits:
        if is_dual:
            full_fit = dual.DualFits(*begin)
            return Fits(
                *dual.fit_leave_one_out(
                    system, target, cost, full_fit, left_out, tolerance, free_intercept
                )
            )
        start = primal.PrimalFits(begin.coefficients, begin.residual)
        found = primal.fit_leave_one_out(
            system, target, cost, start, left_out, tolerance, free_intercept
        )
        return Fits(found.weights, jnp.zeros((target.shape[1], left_out.shape[0])), found.residual)

    return jax.vmap(problem)(targets, full)


def _make_prefixes(
    systems: Any,
    targets: Any,
    cost: Any,
    start: Fits,
    sizes: Any,
    tolerance: Any,
    is_dual: bool,
    free_intercept: bool,
) -> Fits:
    def problem(system: Any, target: Any, begin: Fits) -> Fits:
        if is_dual:
            return Fits(
                *dual.fit_prefixes(
                    system, target, cost, dual.DualFits(*begin), sizes, tolerance, free_intercept
                )
            )
        first = primal.PrimalFits(begin.coefficients, begin.residual)
        found = primal.fit_prefixes(system, target, cost, first, sizes, tolerance, free_intercept)
        return Fits(found.weights, jnp.zeros((target.shape[1], sizes.shape[0])), found.residual)

    every = jax.vmap(problem, in_axes=(None, 0, 0))
    # One order after another: each stops as soon as its own fits have converged.
    return jax.lax.map(lambda order: every(*order), (systems, targets, start))


def _make_influence(system: Any, targets: Any, full: Fits, is_dual: bool) -> Any:
    if is_dual:
        return jnp.max(jnp.abs(full.coefficients), axis=(0, 2, 3))
    decisions = jnp.einsum("nr,prc->pnc", system, full.coefficients[..., 0])
    return jnp.max(jnp.abs(targets - jax.vmap(logistic.probabilities)(decisions)), axis=(0, 2))


def parts_of(fits: Fits, is_dual: bool, free_intercept: bool) -> tuple[Any, Any]:
    """As `Fitter.parts`."""
    joined = jnp.moveaxis(fits.coefficients, 0, -3)  # [., p, c, b]
    joined = joined.reshape(*joined.shape[:-3], -1, joined.shape[-1])
    if not is_dual:
        return joined[:-1], joined[-1]
    intercept = fits.intercept.reshape(-1, fits.intercept.shape[-1])
    return joined, intercept if free_intercept else jnp.sum(joined, axis=0)


system_of = jax.jit(_make_system, static_argnums=(1, 2))
ordered = jax.jit(_make_ordered, static_argnums=3)
fit_alone = jax.jit(_make_alone, static_argnums=(5, 6))
fit_leave_one_out = jax.jit(_make_leave_one_out, static_argnums=(6, 7))
fit_prefixes = jax.jit(_make_prefixes, static_argnums=(6, 7))
influence = jax.jit(_make_influence, static_argnums=3)
parts = jax.jit(parts_of, static_argnums=(1, 2))
