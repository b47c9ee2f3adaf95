"""Augmentation on the device, from keys."""

import dataclasses

import jax
import jax.numpy as jnp

from examine_jax._shapes import Array, Key, Shaped


@dataclasses.dataclass(frozen=True)
class Dihedral:
    """Mirror images and quarter turns: a tile of tissue has no up.

    Attributes:
        flips: mirror left-right and up-down, each with probability 1/2.
        quarter_turns: also swap rows and columns with probability 1/2, which with the flips gives all eight symmetries of the square.
    """

    flips: bool = True
    quarter_turns: bool = True

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> Shaped[Array, "batch height width channels"]:
        """Images of any dtype, each changed by its own draw; dtype and values are kept."""
        if self.quarter_turns and images.shape[1] != images.shape[2]:
            raise ValueError(f"quarter turns need square images, got {images.shape[1]} x {images.shape[2]} pixels")
        coins = jax.random.bernoulli(key, shape=(3, len(images), 1, 1, 1))
        if self.flips:
            images = jnp.where(coins[0], images[:, :, ::-1], images)
            images = jnp.where(coins[1], images[:, ::-1], images)
        if self.quarter_turns:
            images = jnp.where(coins[2], images.swapaxes(1, 2), images)
        return images
