"""Which images an augmentation touches, and checks of what it is told to draw.

Each augmentation draws all its uniform numbers at once: every further call of jax.random is a third
of a second of compilation on a CPU.
"""

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float


def check_probability(name: str, probability: float) -> None:
    if not 0 <= probability <= 1:
        raise ValueError(f"{name}: a probability of {probability}; give one from 0 to 1")


def check_range(name: str, what: str, low: float, high: float) -> None:
    if not 0 <= low <= high < float("inf"):
        raise ValueError(f"{name}: {what} from {low} to {high}; give two ascending numbers, none below 0")


def for_some(
    draws: Float[Array, " batch"],
    probability: float,
    changed: Float[Array, "batch height width channels"],
    images: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width channels"]:
    """Each image changed where its draw, uniform in [0, 1), is below the probability, else as it was."""
    return jnp.where((draws < probability)[:, None, None, None], changed, images)
