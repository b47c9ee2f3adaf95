"""Mirror images and quarter turns, values and dtype kept."""

import dataclasses

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Key, Shaped
from examine_jax.images.augmentation.draws import check_probability


@dataclasses.dataclass(frozen=True)
class Dihedral:
    """Mirror images and quarter turns: a tile of tissue has no up.

    Attributes:
        flips: mirror left-right and up-down, each with probability 1/2.
        quarter_turns: also swap rows and columns with probability 1/2, which with the flips gives
            all eight symmetries of the square.
    """

    flips: bool = True
    quarter_turns: bool = True

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> Shaped[Array, "batch height width channels"]:
        """Images of any dtype, each changed by its own draw; dtype and values are kept."""
        if self.quarter_turns:
            _check_square(images)
        coins = jax.random.bernoulli(key, shape=(3, len(images), 1, 1, 1))
        if self.flips:
            images = jnp.where(coins[0], images[:, :, ::-1], images)
            images = jnp.where(coins[1], images[:, ::-1], images)
        if self.quarter_turns:
            images = jnp.where(coins[2], images.swapaxes(1, 2), images)
        return images


@dataclasses.dataclass(frozen=True)
class Flip:
    """Mirror images.

    Attributes:
        horizontal: the probability that left and right change places.
        vertical: the same of top and bottom.
    """

    horizontal: float = 0.5
    vertical: float = 0.0

    def __post_init__(self) -> None:
        check_probability("Flip", self.horizontal)
        check_probability("Flip", self.vertical)

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> Shaped[Array, "batch height width channels"]:
        """Images of any dtype, each changed by its own draw; dtype and values are kept."""
        draws = jax.random.uniform(key, (2, len(images), 1, 1, 1))
        if self.horizontal:
            images = jnp.where(draws[0] < self.horizontal, images[:, :, ::-1], images)
        if self.vertical:
            images = jnp.where(draws[1] < self.vertical, images[:, ::-1], images)
        return images


@dataclasses.dataclass(frozen=True)
class QuarterTurns:
    """Turns by 0, 90, 180 or 270 degrees, each as likely as the others; images must be square."""

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> Shaped[Array, "batch height width channels"]:
        """Images of any dtype, each turned by its own draw; dtype and values are kept."""
        _check_square(images)
        half, quarter = jax.random.bernoulli(key, shape=(2, len(images), 1, 1, 1))
        images = jnp.where(half, images[:, ::-1, ::-1], images)
        return jnp.where(quarter, images.swapaxes(1, 2)[:, ::-1], images)


def _check_square(images: Shaped[Array, "batch height width channels"]) -> None:
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"quarter turns need square images, got {images.shape[1]} x {images.shape[2]} pixels")
