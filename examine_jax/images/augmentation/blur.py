"""Gaussian blur."""

import dataclasses

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Key
from examine_jax.images.augmentation.draws import check_probability, check_range, for_some


@dataclasses.dataclass(frozen=True)
class GaussianBlur:
    """Blur by a Gaussian of random width, with a probability.

    Attributes:
        sigma: the range of the standard deviation in pixels, drawn uniformly.
        kernel_size: of the truncated kernel, odd; None takes SimCLR's and BYOL's, 2 * (side // 10
            // 2) + 1 (23 at 224 pixels, 7 at 72).
        probability: of an image being blurred.

    Edges are repeated outwards, as Pillow does (the TensorFlow and JAX originals pad with black,
    which darkens borders).
    """

    sigma: tuple[float, float] = (0.1, 2.0)
    kernel_size: int | None = None
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_range("GaussianBlur", "sigma", *self.sigma)
        check_probability("GaussianBlur", self.probability)
        if self.kernel_size is not None and (self.kernel_size < 1 or self.kernel_size % 2 == 0):
            raise ValueError(f"GaussianBlur: kernel_size={self.kernel_size}; give an odd number, or None")

    def __call__(
        self, key: Key[Array, ""], images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        """float32 in and out, each image by its own draws; any number of channels."""
        draws = jax.random.uniform(key, (2, len(images)))
        sigma = self.sigma[0] + (self.sigma[1] - self.sigma[0]) * draws[0]
        radius = images.shape[1] // 10 // 2 if self.kernel_size is None else self.kernel_size // 2
        return for_some(draws[1], self.probability, blurred(images, sigma, radius), images)


def blurred(
    images: Float[Array, "batch height width channels"], sigma: Float[Array, " batch"], radius: int
) -> Float[Array, "batch height width channels"]:
    """Each image blurred by its sigma (pixels), the kernel cut at `radius` pixels and normalised; a sigma of 0 changes nothing.

    As scipy.ndimage.gaussian_filter(mode="nearest", radius=radius) over the two axes.
    """
    rows = _blurring_weights(sigma, radius, images.shape[1])
    columns = _blurring_weights(sigma, radius, images.shape[2])
    precise = jax.lax.Precision.HIGHEST
    result = jnp.einsum("bsh,bhwc->bswc", rows, images, precision=precise)
    return jnp.einsum("btw,bswc->bstc", columns, result, precision=precise)


def _blurring_weights(sigma: Float[Array, " batch"], radius: int, size: int) -> Float[Array, "batch size size"]:
    """What each source pixel gives each target pixel along an axis: as a matrix product several times as fast as shifted sums on a CPU."""
    offsets = jnp.arange(-radius, radius + 1)
    # A sigma below 1/20 pixel gives the neighbours exp(-200): nothing in float32.
    kernel = jnp.exp(-0.5 * jnp.square(offsets / jnp.maximum(sigma[:, None], 0.05)))
    kernel = kernel / kernel.sum(axis=1, keepdims=True)
    source = jnp.clip(jnp.arange(size)[:, None] + offsets, 0, size - 1)
    return jnp.einsum("bk,sko->bso", kernel, jax.nn.one_hot(source, size), precision=jax.lax.Precision.HIGHEST)
