"""What a valuer is, what it returns, and checks that valuers share."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from examine_jax.common.shapes import Float, Int

Progress = Callable[[int, int], None]  # called with (done, total)


@dataclasses.dataclass(frozen=True, eq=False)
class Valuation:
    """The value of each row; higher is better.

    Attributes:
        values: [N] float64.
        standard_error: [N], of sampled values; None if nothing is sampled.
        diagnostics: numbers that the valuer reports, such as `fits`, the number of fitted models.
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
            key: a JAX random key; valuers that are not random ignore it.
            on_progress: called with (done, total).
            state: a file (.npz) that keeps samples: a later call with it continues. Valuers that do
                not sample ignore it.

        Raises:
            ValueError: what is wrong with the input, and the remedy.
        """
        ...


def silent(_: int, __: int) -> None:
    """Reports no progress."""


def seed_of(key: Any, index: int) -> np.random.Generator:
    """A NumPy generator for the draw of this index, the same on every machine.

    Raises:
        ValueError: there is no key.
    """
    if key is None:
        raise ValueError("this valuer draws at random: give key=jax.random.key(0)")
    return np.random.default_rng(
        np.asarray(jax.random.key_data(jax.random.fold_in(key, index))).astype(np.uint32)
    )


def seeds_of(key: Any, indices: Any) -> list[np.random.Generator]:
    """`seed_of` for many indices at once."""
    if key is None:
        raise ValueError("this valuer draws at random: give key=jax.random.key(0)")
    keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(np.asarray(indices, np.uint32))
    return [
        np.random.default_rng(data.astype(np.uint32))
        for data in np.asarray(jax.random.key_data(keys))
    ]


def check_features(features: Any, at_least: int = 2) -> None:
    """Raises: ValueError, unless they are a finite floating matrix [N, D] with N >= at_least."""
    if features.ndim != 2 or features.dtype.kind != "f" or features.shape[1] == 0:
        raise ValueError(
            f"the features are {features.dtype} of shape {features.shape}; give a floating matrix "
            "[N, D]"
        )
    if len(features) < at_least:
        raise ValueError(f"there are {len(features)} rows; this valuer needs at least {at_least}")
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if len(bad):
        raise ValueError(
            f"the features are not finite in rows {bad[:8].tolist()} ({len(bad)} in all): leave "
            "these rows out"
        )


def check_labels(features: Any, labels: Any) -> None:
    """Raises: ValueError, unless there is one integer label for each row."""
    if labels is None:
        raise ValueError(
            "this valuer needs labels: give one integer a row, or choose a label-free valuer"
        )
    if labels.shape != (len(features),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"there are {len(features)} rows and labels {labels.dtype} of shape {labels.shape}; "
            "give one integer each"
        )
