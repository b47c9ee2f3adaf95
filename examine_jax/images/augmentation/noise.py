"""Gaussian noise."""

import dataclasses

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Key
from examine_jax.images.augmentation.draws import check_probability, check_range, for_some


@dataclasses.dataclass(frozen=True)
class GaussianNoise:
    """Adds normal noise of mean 0 to each image with a probability, and clips it to [0, 1].

    Each pixel and channel has its own draw.

    Attributes:
        deviation: the range of the noise's standard deviation (pixels in [0, 1]), drawn uniformly
            for each image.
        probability: the probability of noise.
    """

    deviation: tuple[float, float] = (0.0, 0.1)
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_range("GaussianNoise", "deviation", *self.deviation)
        check_probability("GaussianNoise", self.probability)

    def __call__(
        self, key: Key[Array, ""], images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        """float32 in [0, 1] in and out, any number of channels. Each image has its own draws."""
        uniform_key, noise_key = jax.random.split(key)
        draws = jax.random.uniform(uniform_key, (2, len(images)))
        deviation = self.deviation[0] + (self.deviation[1] - self.deviation[0]) * draws[0]
        noisy = jnp.clip(
            images + deviation[:, None, None, None] * jax.random.normal(noise_key, images.shape),
            0,
            1,
        )
        return for_some(draws[1], self.probability, noisy, images)
