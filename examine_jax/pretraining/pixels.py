"""The scale of pixel values that a network takes."""

import dataclasses

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Shaped


@dataclasses.dataclass(frozen=True)
class PixelScale:
    """(pixel - mean) / deviation for pixels in [0, 1]; one value for all channels or one for each.

    The default keeps pixels in [0, 1].
    """

    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.deviation) or not self.mean:
            raise ValueError(
                f"PixelScale: {len(self.mean)} means and {len(self.deviation)} deviations; give "
                "one of each a channel, or one"
            )
        if min(self.deviation) <= 0:
            raise ValueError(f"PixelScale: deviations must be positive, got {self.deviation}")

    def check(self, channels: int) -> None:
        """Raises a ValueError unless the scale fits images of that many channels."""
        if len(self.mean) not in (1, channels):
            raise ValueError(
                f"PixelScale: {len(self.mean)} means for images of {channels} channels; give "
                f"{channels}, or one"
            )

    def __call__(self, images: Shaped[Array, "*batch channels"]) -> Float[Array, "*batch channels"]:
        """Scaled float32 images; integers are taken as 0 to 255, floats as they are."""
        scale = 1 / 255.0 if jnp.issubdtype(images.dtype, jnp.integer) else 1.0
        mean, deviation = (
            jnp.asarray(self.mean, jnp.float32),
            jnp.asarray(self.deviation, jnp.float32),
        )
        return images.astype(jnp.float32) * (scale / deviation) - mean / deviation

    def of_patches(
        self, patches: Shaped[Array, "*batch values"], channels: int
    ) -> Float[Array, "*batch values"]:
        """Scaled flattened patches, whose last axis is (pixel, channel)."""
        repeats = patches.shape[-1] // len(self.mean) if len(self.mean) > 1 else 1
        return PixelScale(self.mean * repeats, self.deviation * repeats)(patches)

    def inverse(self, values: Float[Array, "*batch channels"]) -> Float[Array, "*batch channels"]:
        """The pixels in [0, 1] of scaled values."""
        return values * jnp.asarray(self.deviation, jnp.float32) + jnp.asarray(
            self.mean, jnp.float32
        )


IMAGENET = PixelScale(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))
