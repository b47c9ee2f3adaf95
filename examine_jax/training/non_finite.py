"""The error for a loss that is NaN or infinite. It names the step, the images and remedies."""

from collections.abc import Sequence

import numpy as np

from examine_jax.training.feeding import StepMetrics

_SHOWN = 5  # names in a message


class NonFiniteLossError(ValueError):
    """The loss or its gradient became NaN or infinite.

    Attributes:
        step: the number of the step, from 1.
        indices: the indices of the images in its batch.
        names: the names of these images; empty if the run has no names.
    """

    def __init__(
        self, message: str, step: int, indices: np.ndarray, names: tuple[str, ...]
    ) -> None:
        super().__init__(message)
        self.step = step
        self.indices = indices
        self.names = names


def first_non_finite(metrics: StepMetrics) -> int | None:
    """The index of the first step whose loss or gradient is not finite; None if all are finite."""
    bad = np.flatnonzero(~np.isfinite(metrics["loss"]) | ~np.isfinite(metrics["gradient_norm"]))
    return int(bad[0]) if bad.size else None


def non_finite_error(
    metrics: StepMetrics, done: int, bad: int, indices: np.ndarray, names: Sequence[str] | None
) -> NonFiniteLossError:
    """The error for step `bad` (from 0) of a dispatch that started after `done` steps."""
    values = {name: metrics[name][bad] for name in ("loss", "gradient_norm")}
    quantity, value = next(
        (name, value) for name, value in values.items() if not np.isfinite(value)
    )
    batch = tuple(names[i] for i in indices) if names is not None else ()
    shown = [repr(name) for name in batch[:_SHOWN]] or [f"image {i}" for i in indices[:_SHOWN]]
    more = f" and {len(indices) - _SHOWN} more" if len(indices) > _SHOWN else ""
    return NonFiniteLossError(
        f"the {quantity.replace('_', ' ')} is {value} at step {done + bad + 1}: try a lower "
        "learning rate, a longer warm-up, "
        f"AdamW(clip_norm=1.0) or dtype='float32'; its batch was {', '.join(shown)}{more}",
        done + bad + 1,
        indices,
        batch,
    )
