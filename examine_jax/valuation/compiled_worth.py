"""The compiled programs that measure the worth of many fits at once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.valuation.logistic.compiled_fits import parts_of
from examine_jax.valuation.metrics import Metric

_SCORED_AT_ONCE = 2**24  # decisions held at a time


def _make_worth_of_changes(
    of_change: Any,
    change: Any,
    shift: Any,
    decisions: Any,
    labels: Any,
    weight: Any,
    metric: Metric,
) -> Any:
    """[b] the worth. The change is small, so the precision of its product does not matter."""
    columns, fits = change.shape[1:]
    flat = change.reshape(change.shape[0], -1).astype(of_change.dtype)
    moved = jnp.matmul(of_change, flat, precision="highest").reshape(-1, columns, fits)
    return jax.vmap(lambda m, s: metric(decisions + (m + s), labels, weight), in_axes=(2, 1))(
        moved, shift
    )


def _make_weights_of_last(
    features: Any, fits: Any, rows: Any, is_dual: bool, free_intercept: bool
) -> tuple[Any, Any]:
    """Weights [d, c] and intercepts [c] of the last of the fits."""
    coefficients, intercept = parts_of(fits, is_dual, free_intercept)
    weights = coefficients[..., -1]
    if is_dual:
        weights = jnp.einsum("nd,nc->dc", features[rows].astype(jnp.float64), weights)
    return weights, intercept[:, -1]


def _make_worth_of_prefixes(
    count: int,
    of_change: Any,
    fits: Any,
    rows: Any,
    decisions: Any,
    labels: Any,
    weight: Any,
    metric: Metric,
    is_dual: bool,
    free_intercept: bool,
) -> Any:
    """[b] the worth, from the decisions of the last fit."""
    coefficients, intercept = parts_of(fits, is_dual, free_intercept)
    if is_dual:
        coefficients = jnp.zeros((count, *coefficients.shape[1:])).at[rows].set(coefficients)
    change = coefficients - coefficients[..., -1:]
    return _make_worth_of_changes(
        of_change, change, intercept - intercept[:, -1:], decisions, labels, weight, metric
    )


def _make_exact_product(validation: Any, weights: Any) -> Any:
    """The product in float64, in blocks of rows: only one block is held in float64."""
    size = 2048
    if validation.dtype == jnp.float64 or validation.shape[0] <= size:
        return jnp.matmul(validation.astype(jnp.float64), weights)
    whole = validation.shape[0] // size * size
    blocks = validation[:whole].reshape(-1, size, validation.shape[1])
    found = jax.lax.map(lambda block: block.astype(jnp.float64) @ weights, blocks).reshape(
        whole, -1
    )
    return jnp.concatenate([found, validation[whole:].astype(jnp.float64) @ weights])


def worth_of_weights(
    validation: Any, weights: Any, intercept: Any, labels: Any, once: Any, metric: Metric
) -> Any:
    """[b] the worth of fits with weights [d, c, b]."""
    columns, fits = weights.shape[1:]
    at_once = max(1, _SCORED_AT_ONCE // (validation.shape[0] * columns))
    found = []
    for start in range(0, fits, at_once):
        part = slice(start, start + at_once)
        found.append(
            worth_of_some(validation, weights[..., part], intercept[:, part], labels, once, metric)
        )
    return np.concatenate([np.asarray(x) for x in found])


def _make_worth_of_some(
    validation: Any, weights: Any, intercept: Any, labels: Any, once: Any, metric: Metric
) -> Any:
    columns, fits = weights.shape[1:]
    decisions = (
        _make_exact_product(validation, weights.reshape(-1, columns * fits)).reshape(
            -1, columns, fits
        )
        + intercept
    )
    return jax.vmap(lambda one: metric(one, labels, once), in_axes=2)(decisions)


product = jax.jit(
    lambda validation, features: jnp.matmul(validation, features.T, precision="highest")
)
exact_product = jax.jit(_make_exact_product)
worth = jax.jit(
    lambda decisions, labels, weight, metric: metric(decisions, labels, weight), static_argnums=3
)
worth_of_changes = jax.jit(_make_worth_of_changes, static_argnums=6)
worth_of_prefixes = jax.jit(_make_worth_of_prefixes, static_argnums=(0, 7, 8, 9))
weights_of_last = jax.jit(_make_weights_of_last, static_argnums=(3, 4))
worth_of_some = jax.jit(_make_worth_of_some, static_argnums=5)
