"""Boxes as offsets from reference boxes: what the heads of a detector predict."""

import dataclasses
import math

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float

_TINY = 1e-6  # The offsets of an empty box stay finite; a mask leaves them out.


@dataclasses.dataclass(frozen=True)
class BoxCoder:
    """Encodes boxes as (shift of the centre, logarithm of the ratio of sides) of reference boxes.

    Attributes:
        weights: factors of the offsets x, y, width and height. (10, 10, 5, 5) in a box head.
        largest: decoded logarithms of ratios are at most this.
        smallest: decoded logarithms of ratios are at least this; None: no bound. torchvision has
            none, mmdetection takes -largest.

    Source:
        Ren et al., arXiv:1506.01497; the bound is torchvision's.
    """

    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    largest: float = math.log(1000.0 / 16)
    smallest: float | None = None

    def __post_init__(self) -> None:
        if len(self.weights) != 4 or not all(
            math.isfinite(weight) and weight > 0 for weight in self.weights
        ):
            raise ValueError(f"BoxCoder: weights must be four positive numbers, got {self.weights}")

    def encode(
        self, boxes: Float[Array, "*#batch 4"], references: Float[Array, "*#batch 4"]
    ) -> Float[Array, "*#batch 4"]:
        """The offsets of each box from its reference."""
        centres, sides = _centres(boxes)
        from_centres, from_sides = _centres(references)
        from_sides = jnp.maximum(from_sides, _TINY)
        shift = (centres - from_centres) / from_sides
        ratio = jnp.log(jnp.maximum(sides, _TINY) / from_sides)
        return jnp.concatenate([shift, ratio], axis=-1) * jnp.asarray(self.weights, boxes.dtype)

    def decode(
        self, offsets: Float[Array, "*#batch 4"], references: Float[Array, "*#batch 4"]
    ) -> Float[Array, "*#batch 4"]:
        """The boxes at these offsets from their references."""
        from_centres, from_sides = _centres(references)
        offsets = offsets / jnp.asarray(self.weights, offsets.dtype)
        shift, ratio = offsets[..., :2], offsets[..., 2:]
        ratio = jnp.minimum(ratio, self.largest)
        if self.smallest is not None:
            ratio = jnp.maximum(ratio, self.smallest)
        centres = shift * from_sides + from_centres
        half = 0.5 * (jnp.exp(ratio) * from_sides)
        return jnp.concatenate([centres - half, centres + half], axis=-1)


def _centres(boxes: Array) -> tuple[Array, Array]:
    sides = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * sides, sides
