"""Gaussian blur."""

import dataclasses

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Key
from examine_jax.images.augmentation.draws import check_probability, check_range, for_some


@dataclasses.dataclass(frozen=True)
class GaussianBlur:
    """Blurs each image with a probability, by a Gaussian of random width.

    Edges are repeated outwards, as in Pillow. (The TensorFlow and JAX originals pad with black,
    which darkens borders.)

    Attributes:
        sigma: the range of the standard deviation in pixels, drawn uniformly.
        kernel_size: of the truncated kernel, odd. None: SimCLR's and BYOL's, 2 * (side // 10 // 2)
            + 1 (23 at 224 pixels, 7 at 72).
        probability: the probability of a blur.
    """

    sigma: tuple[float, float] = (0.1, 2.0)
    kernel_size: int | None = None
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_range("GaussianBlur", "sigma", *self.sigma)
        check_probability("GaussianBlur", self.probability)
        if self.kernel_size is not None and (self.kernel_size < 1 or self.kernel_size % 2 == 0):
            raise ValueError(
                f"GaussianBlur: kernel_size={self.kernel_size}; give an odd number, or None"
            )

    def __call__(
        self, key: Key[Array, ""], images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        """float32 in and out, any number of channels. Each image has its own draws."""
        draws = jax.random.uniform(key, (2, len(images)))
        sigma = self.sigma[0] + (self.sigma[1] - self.sigma[0]) * draws[0]
        radius = images.shape[1] // 10 // 2 if self.kernel_size is None else self.kernel_size // 2
        return for_some(draws[1], self.probability, blurred(images, sigma, radius), images)


def blurred(
    images: Float[Array, "batch height width channels"], sigma: Float[Array, " batch"], radius: int
) -> Float[Array, "batch height width channels"]:
    """Blurs each image by its own sigma, in pixels; 0 changes nothing.

    The kernel is cut at `radius` pixels and normalised. Equals
    scipy.ndimage.gaussian_filter(mode="nearest", radius=radius) over the two axes.
    """
    rows = _blurring_weights(sigma, radius, images.shape[1])
    columns = _blurring_weights(sigma, radius, images.shape[2])
    precise = jax.lax.Precision.HIGHEST
    result = jnp.einsum("bsh,bhwc->bswc", rows, images, precision=precise)
    return jnp.einsum("btw,bswc->bstc", columns, result, precision=precise)


def _blurring_weights(
    sigma: Float[Array, " batch"], radius: int, size: int
) -> Float[Array, "batch size size"]:
    """Each source pixel's weight in each target pixel along an axis.

    On a CPU, a matrix product is several times as fast as shifted sums.
    """
    offsets = jnp.arange(-radius, radius + 1)
    # A sigma below 1/20 pixel gives neighbours exp(-200), which is 0 in float32.
    kernel = jnp.exp(-0.5 * jnp.square(offsets / jnp.maximum(sigma[:, None], 0.05)))
    kernel = kernel / kernel.sum(axis=1, keepdims=True)
    source = jnp.clip(jnp.arange(size)[:, None] + offsets, 0, size - 1)
    return jnp.einsum(
        "bk,sko->bso", kernel, jax.nn.one_hot(source, size), precision=jax.lax.Precision.HIGHEST
    )
