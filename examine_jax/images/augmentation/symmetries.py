"""Mirror images and quarter turns. Values and dtype are kept."""

import dataclasses

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Key, Shaped
from examine_jax.images.augmentation.draws import check_probability


@dataclasses.dataclass(frozen=True)
class Dihedral:
    """Random mirror images and quarter turns, for images without a top, such as tissue.

    Attributes:
        flips: whether to mirror left-right and up-down, each with probability 1/2.
        quarter_turns: whether to swap rows and columns with probability 1/2. With the flips this
            gives all eight symmetries of the square.
    """

    flips: bool = True
    quarter_turns: bool = True

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> Shaped[Array, "batch height width channels"]:
        """Images of any dtype. Each has its own draw."""
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
    """Random mirror images.

    Attributes:
        horizontal: the probability of swapping left and right.
        vertical: the probability of swapping top and bottom.
    """

    horizontal: float = 0.5
    vertical: float = 0.0

    def __post_init__(self) -> None:
        check_probability("Flip", self.horizontal)
        check_probability("Flip", self.vertical)

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> Shaped[Array, "batch height width channels"]:
        """Images of any dtype. Each has its own draw."""
        draws = jax.random.uniform(key, (2, len(images), 1, 1, 1))
        if self.horizontal:
            images = jnp.where(draws[0] < self.horizontal, images[:, :, ::-1], images)
        if self.vertical:
            images = jnp.where(draws[1] < self.vertical, images[:, ::-1], images)
        return images


@dataclasses.dataclass(frozen=True)
class QuarterTurns:
    """Turns square images by 0, 90, 180 or 270 degrees, each with probability 1/4."""

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> Shaped[Array, "batch height width channels"]:
        """Images of any dtype. Each has its own draw."""
        _check_square(images)
        half, quarter = jax.random.bernoulli(key, shape=(2, len(images), 1, 1, 1))
        images = jnp.where(half, images[:, ::-1, ::-1], images)
        return jnp.where(quarter, images.swapaxes(1, 2)[:, ::-1], images)


def _check_square(images: Shaped[Array, "batch height width channels"]) -> None:
    if images.shape[1] != images.shape[2]:
        raise ValueError(
            f"quarter turns need square images, got {images.shape[1]} x {images.shape[2]} pixels"
        )
