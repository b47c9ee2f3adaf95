"""What every valuer hands back, and the shape of a valuer."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from examine_jax.common.shapes import Float, Int

Progress = Callable[[int, int], None]  # (done, of how many)


@dataclasses.dataclass(frozen=True, eq=False)
class Valuation:
    """What each row is worth; higher is better.

    Attributes:
        values: [N] float64.
        standard_error: [N], of sampled values; None where nothing was sampled.
        diagnostics: whatever the valuer counted, as numbers: `fits` where models were fitted.
    """

    values: Float[np.ndarray, " n"]
    standard_error: Float[np.ndarray, " n"] | None = None
    diagnostics: dict[str, float] = dataclasses.field(default_factory=dict)


@runtime_checkable
class Valuer(Protocol):
    """A frozen dataclass that values the rows of a matrix."""

    def value(
        self,
        features: Float[np.ndarray, "n d"],
        labels: Int[np.ndarray, " n"] | None = None,
        key: Any = None,
        *,
        on_progress: Progress | None = None,
        state: Any = None,
    ) -> Valuation:
        """Values of the rows.

        Args:
            features: [N, D] floating, finite, N >= 2.
            labels: [N] int, counted from 0; valuers that need none ignore them.
            key: JAX's random key; valuers that draw nothing ignore it.
            on_progress: told how far it is.
            state: a file (.npz) from which sampling goes on and into which it is saved; valuers that are done in moments ignore it.

        Raises:
            ValueError: what is wrong with the input, and the remedy.
        """
        ...


def silent(_: int, __: int) -> None:
    """No progress is told."""


def seed_of(key: Any, index: int) -> np.random.Generator:
    """A NumPy generator for the index-th draw: the same wherever and in whatever order it is drawn.

    Raises:
        ValueError: there is no key.
    """
    if key is None:
        raise ValueError("this valuer draws at random: give key=jax.random.key(0)")
    return np.random.default_rng(np.asarray(jax.random.key_data(jax.random.fold_in(key, index))).astype(np.uint32))


def seeds_of(key: Any, indices: Any) -> list[np.random.Generator]:
    """`seed_of` for many indices at once."""
    if key is None:
        raise ValueError("this valuer draws at random: give key=jax.random.key(0)")
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(np.asarray(indices, np.uint32))
    return [np.random.default_rng(data.astype(np.uint32)) for data in np.asarray(jax.random.key_data(keys))]


def check_features(features: Any, at_least: int = 2) -> None:
    """Raises: ValueError, where they are no finite floating matrix [N, D] with N >= at_least."""
    if features.ndim != 2 or features.dtype.kind != "f" or features.shape[1] == 0:
        raise ValueError(f"the features are {features.dtype} of shape {features.shape}; give a floating matrix [N, D]")
    if len(features) < at_least:
        raise ValueError(f"there are {len(features)} rows; this valuer needs at least {at_least}")
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if len(bad):
        raise ValueError(
            f"the features are not finite in rows {bad[:8].tolist()} ({len(bad)} in all): leave these rows out"
        )


def check_labels(features: Any, labels: Any) -> None:
    """Raises: ValueError, where there is not one integer label a row."""
    if labels is None:
        raise ValueError("this valuer needs labels: give one integer a row, or choose a label-free valuer")
    if labels.shape != (len(features),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"there are {len(features)} rows and labels {labels.dtype} of shape {labels.shape}; give one integer each"
        )
