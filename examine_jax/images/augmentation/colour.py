"""Colour jitter, grey and solarising, by Pillow's and torchvision's formulas.

They work on planes [channels, batch, height, width], so that sums over channels add whole arrays.
XLA drops the transpositions between two such augmentations.
"""

import dataclasses

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Bool, Float, Int, Key
from examine_jax.images.augmentation.draws import check_probability, for_some

Images = Float[Array, "batch height width channels"]
Planes = Float[Array, "3 batch height width"]
Plane = Float[Array, "batch height width"]


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """Changes brightness, contrast, saturation and hue in random order, as torchvision does.

    Brightness, contrast and saturation each blend the image with a reference (black; the mean of
    its grey; its grey) by a factor drawn uniformly from [max(0, 1 - strength), 1 + strength]. Hue
    turns by a share of the circle drawn from [-hue, hue]. Each result is clipped to [0, 1]. Each
    image has its own order. Images of other than 3 channels are unchanged.

    Attributes:
        brightness, contrast, saturation: strengths, 0 or above.
        hue: 0 to 0.5.
        probability: the probability of any change.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    probability: float = 0.8

    def __post_init__(self) -> None:
        if min(self.brightness, self.contrast, self.saturation) < 0 or not 0 <= self.hue <= 0.5:
            raise ValueError(f"{self}: strengths must be 0 or above, hue 0 to 0.5")
        check_probability("ColorJitter", self.probability)

    def __call__(self, key: Key[Array, ""], images: Images) -> Images:
        """float32 in [0, 1] in and out. Each image has its own draws."""
        if images.shape[-1] != 3:
            return images
        draws = jax.random.uniform(key, (len(images), 9))
        factors, turn = self._strengths(draws[:, :4])
        order = jnp.argsort(draws[:, 4:8], axis=1)
        return for_some(
            draws[:, 8], self.probability, jittered(images, factors, turn, order), images
        )

    def _strengths(
        self, draws: Float[Array, "batch 4"]
    ) -> tuple[Float[Array, "batch 3"], Float[Array, " batch"]]:
        strengths = jnp.array([self.brightness, self.contrast, self.saturation])
        low = jnp.maximum(0, 1 - strengths)
        return low + draws[:, :3] * (1 + strengths - low), (2 * draws[:, 3] - 1) * self.hue


@dataclasses.dataclass(frozen=True)
class RandomGrayscale:
    """Makes each image grey with a probability, by ITU-R 601 luma as in Pillow.

    Images of other than 3 channels are unchanged.
    """

    probability: float = 0.2

    def __post_init__(self) -> None:
        check_probability("RandomGrayscale", self.probability)

    def __call__(self, key: Key[Array, ""], images: Images) -> Images:
        """float32 in and out. Each image has its own draw."""
        if images.shape[-1] != 3:
            return images
        grey = luma(jnp.moveaxis(images, -1, 0))
        return for_some(
            jax.random.uniform(key, (len(images),)),
            self.probability,
            jnp.stack([grey] * 3, axis=-1),
            images,
        )


@dataclasses.dataclass(frozen=True)
class Solarize:
    """Inverts the values from `threshold` on with a probability, as Pillow's ImageOps.solarize.

    Pillow's 128 of 255 is 0.5 here.
    """

    threshold: float = 0.5
    probability: float = 0.2

    def __post_init__(self) -> None:
        check_probability("Solarize", self.probability)

    def __call__(self, key: Key[Array, ""], images: Images) -> Images:
        """float32 in [0, 1] in and out, any number of channels. Each image has its own draw."""
        solarised = jnp.where(images < self.threshold, images, 1 - images)
        return for_some(
            jax.random.uniform(key, (len(images),)), self.probability, solarised, images
        )


def jittered(
    images: Float[Array, "batch height width 3"],
    factors: Float[Array, "batch 3"],
    turn: Float[Array, " batch"],
    order: Int[Array, "batch 4"],
) -> Float[Array, "batch height width 3"]:
    """ColorJitter's result for given draws.

    Args:
        images: float32 in [0, 1].
        factors: of brightness, contrast and saturation; 1 changes nothing.
        turn: of the hue, in turns; 0 changes nothing.
        order: the order of brightness 0, contrast 1, saturation 2 and hue 3.
    """
    planes = jnp.moveaxis(images, -1, 0)
    hue_at = jnp.argmax(order == 3, axis=1)
    # The three blends are one formula, so each slot chooses its reference. Hue costs as much as all
    # three and is computed once: one loop does the slots before it, another those after it.
    blends = jnp.where(jnp.arange(3) >= hue_at[:, None], order[:, 1:], order[:, :3])
    # Loops compile faster than unrolled code, and each step waits for the mean of the one before
    # anyway.
    planes = jax.lax.fori_loop(
        0, 3, lambda slot, planes: _blended(planes, blends[:, slot], factors, slot < hue_at), planes
    )
    planes = hue_turned(planes, turn)
    planes = jax.lax.fori_loop(
        0,
        3,
        lambda slot, planes: _blended(planes, blends[:, slot], factors, slot >= hue_at),
        planes,
    )
    return jnp.moveaxis(planes, 0, -1)


def _blended(
    planes: Planes,
    which: Int[Array, " batch"],
    factors: Float[Array, "batch 3"],
    active: Bool[Array, " batch"],
) -> Planes:
    factor = jnp.where(active, jnp.take_along_axis(factors, which[:, None], axis=1)[:, 0], 1)
    grey = luma(planes)
    mean = jnp.where(which == 1, grey.mean(axis=(1, 2)), 0)
    reference = jnp.where((which == 2)[:, None, None], grey, mean[:, None, None])
    # reference + factor * (planes - reference) would round where the factor is 1.
    factor = factor[:, None, None]
    return jnp.clip(factor * planes + (1 - factor) * reference, 0, 1)


def hue_turned(planes: Planes, turn: Float[Array, " batch"]) -> Planes:
    """Turns the hue of HSV by these shares of the circle; keeps value and saturation."""
    red, green, blue = planes
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    scale = 1 / jnp.where(chroma > 0, chroma, 1)
    sixths = jnp.where(
        value == red,
        (green - blue) * scale,
        jnp.where(value == green, 2 + (blue - red) * scale, 4 + (red - green) * scale),
    )
    sixths = sixths + 6 * turn[:, None, None]  # -4 to 8

    def channel(offset: int) -> Plane:
        position = sixths + offset
        position = position - 6 * jnp.floor(position / 6)
        return value - chroma * jnp.clip(jnp.minimum(position, 4 - position), 0, 1)

    return jnp.stack([channel(5), channel(3), channel(1)])


def luma(planes: Planes) -> Plane:
    """ITU-R 601: 0.299 R + 0.587 G + 0.114 B."""
    return 0.299 * planes[0] + 0.587 * planes[1] + 0.114 * planes[2]
