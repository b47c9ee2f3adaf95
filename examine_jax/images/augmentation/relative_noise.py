"""Gaussian noise in proportion to an image's brightness."""

import dataclasses

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Key
from examine_jax.images.augmentation.draws import check_range


@dataclasses.dataclass(frozen=True)
class RelativeNoise:
    """Adds normal noise whose deviation is a share of the image's mean, and clips it to [0, 1].

    Attributes:
        share: the range of the deviation over the image's mean, drawn uniformly for each image.
        one_channel: whether all channels of a pixel get the same noise, so that grey images stay
            grey.

    Source: Bencevic et al., arXiv:2206.00344.
    """

    share: tuple[float, float] = (0.125, 0.25)
    one_channel: bool = False

    def __post_init__(self) -> None:
        check_range("RelativeNoise", "share", *self.share)

    def __call__(
        self, key: Key[Array, ""], images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        """float32 in [0, 1] in and out, any number of channels. Each image has its own draws."""
        share_key, noise_key = jax.random.split(key)
        low, high = self.share
        share = low + (high - low) * jax.random.uniform(share_key, (len(images), 1, 1, 1))
        deviation = share * images.mean(axis=(1, 2, 3), keepdims=True)
        shape = (*images.shape[:3], 1) if self.one_channel else images.shape
        return jnp.clip(images + deviation * jax.random.normal(noise_key, shape), 0, 1)
