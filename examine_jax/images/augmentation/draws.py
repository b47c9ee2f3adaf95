"""Chooses the images that an augmentation changes, and checks its settings.

Each augmentation draws all its uniform numbers at once: each further call of jax.random takes a
third of a second to compile on a CPU.
"""

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float


def check_probability(name: str, probability: float) -> None:
    if not 0 <= probability <= 1:
        raise ValueError(f"{name}: a probability of {probability}; give one from 0 to 1")


def check_range(name: str, what: str, low: float, high: float) -> None:
    if not 0 <= low <= high < float("inf"):
        raise ValueError(
            f"{name}: {what} from {low} to {high}; give two ascending numbers, none below 0"
        )


def for_some(
    draws: Float[Array, " batch"],
    probability: float,
    changed: Float[Array, "batch height width channels"],
    images: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width channels"]:
    """The changed image where its uniform draw is below the probability, else the image."""
    return jnp.where((draws < probability)[:, None, None, None], changed, images)
