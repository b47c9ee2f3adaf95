"""Where RoIAlign looks: the level of each box, and the weights of the pixels beside each sample."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Int
from examine_jax.detection.geometry.boxes import area


@dataclasses.dataclass(frozen=True)
class RoISampling:
    """How the features of a box are sampled. The defaults are torchvision's.

    Attributes:
        outputs: bins on each side.
        samples: samples on each side of a bin; their mean is the bin's value.
        aligned: whether pixel centres are at half pixels. False: boxes are at least one place wide
            and high, as in torchvision's detectors. detectron2 and mmdetection take True.
        canonical_size: side of a square box in pixels that is looked up on `canonical_level`; a box
            of twice the side on the next level. For images much smaller than 800 pixels, use less.
        canonical_level: the binary logarithm of a stride.

    Source:
        He et al., arXiv:1703.06870; Lin et al., arXiv:1612.03144, equation 1.
    """

    outputs: int = 7
    samples: int = 2
    aligned: bool = False
    canonical_size: int | float = 224
    canonical_level: int = 4

    def __post_init__(self) -> None:
        if self.outputs < 1 or self.samples < 1 or not self.canonical_size > 0:
            raise ValueError(
                "RoISampling: outputs, samples and canonical_size must be positive, got "
                f"{self.outputs}, {self.samples} and {self.canonical_size}"
            )

    def levels(
        self, boxes: Float[Array, "*batch 4"], strides: tuple[int, ...]
    ) -> Int[Array, "*batch"]:
        """The row of `strides` on which each box is looked up, by the box's area."""
        # floor(canonical_level + log2(side / canonical_size) + 1e-6), without rounding a logarithm
        exponents = [stride.bit_length() - 1 - self.canonical_level for stride in strides[1:]]
        starts = [self.canonical_size * 2.0 ** (exponent - 1e-6) for exponent in exponents]
        side = jnp.sqrt(area(boxes))
        return sum(
            ((side >= start).astype(jnp.int32) for start in starts),
            jnp.zeros(side.shape, jnp.int32),
        )


class Taps(NamedTuple):
    """The two places on each side of each sample along one axis, and their weights.

    Attributes:
        low, high: places.
        of_low, of_high: weights; both are 0 for a sample further than a place outside.
    """

    low: Int[Array, "*batch samples"]
    high: Int[Array, "*batch samples"]
    of_low: Float[Array, "*batch samples"]
    of_high: Float[Array, "*batch samples"]


def positions(
    sampling: RoISampling,
    least: Float[Array, "*batch"],
    most: Float[Array, "*batch"],
    scale: Float[Array, "*batch"] | float,
) -> Float[Array, "*batch samples"]:
    """The samples' positions along one axis of the feature map, bin after bin.

    Args:
        sampling: the settings.
        least, most: the sides of the boxes in pixels of the image.
        scale: places of the map per pixel of the image.
    """
    start, end = least * scale, most * scale
    if sampling.aligned:
        start, end = start - 0.5, end - 0.5
    size = end - start if sampling.aligned else jnp.maximum(end - start, 1.0)
    count = sampling.outputs * sampling.samples
    steps = (jnp.arange(count, dtype=least.dtype) + 0.5) / sampling.samples
    return start[..., None] + steps * (size / sampling.outputs)[..., None]


def taps(position: Float[Array, "*batch samples"], side: Int[Array, "*batch 1"] | int) -> Taps:
    """Bilinear interpolation along an axis of `side` places."""
    inside = (position >= -1.0) & (position <= side)  # False for NaN
    place = jnp.clip(jnp.where(inside, position, 0.0), 0.0, side - 1)
    low = jnp.floor(place).astype(jnp.int32)
    high = jnp.minimum(low + 1, side - 1)
    fraction = place - low
    return Taps(low, high, jnp.where(inside, 1.0 - fraction, 0.0), jnp.where(inside, fraction, 0.0))
