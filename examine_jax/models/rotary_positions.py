"""Rotary positions of patches: queries and keys are turned by angles that grow with the place."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float


@dataclasses.dataclass(frozen=True)
class RotaryPositions:
    """DINOv3's rotary positions.

    A patch's centre lies in [-1, 1], whatever the image's size. Its angles are
    2 pi * centre / base^(4 k / head_width) for k below head_width / 4, first of the row, then of
    the column; both halves of a head use the same angles. Class and register tokens are not turned.

    Attributes:
        base: the angles' base.

    Source:
        facebookresearch/dinov3, dinov3/layers/rope_position_encoding.py (normalize_coords
        "separate").
    """

    base: float = 100.0

    def __post_init__(self) -> None:
        if not 0 < self.base < float("inf"):
            raise ValueError(f"RotaryPositions: base must be positive, got {self.base}")

    def turns(
        self, side: int, head_width: int
    ) -> tuple[Float[np.ndarray, "tokens width"], Float[np.ndarray, "tokens width"]]:
        """(cosines, sines) of the angles of a `side` x `side` grid of patches, row by row.

        Args:
            side: patches in a row.
            head_width: of a head's queries, a multiple of 4.
        """
        frequency = self.base ** -(4 * np.arange(head_width // 4) / head_width)
        centre = (np.arange(side) + 0.5) / side * 2 - 1
        row, column = np.divmod(np.arange(side * side), side)
        angles = [2 * np.pi * centre[place][:, None] * frequency for place in (row, column)]
        angle = np.tile(np.concatenate(angles, axis=1), (1, 2))
        return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class GridRotaryPositions:
    """EVA-02's rotary positions.

    A patch's angles are place * base^(-4 k / head_width) for k below head_width / 4, first of the
    row, then of the column. The place is the number of the row or column from 0, stretched so that
    a row of patches is `reference` long at every image size. Class and register tokens are not
    turned. EVA-02 turns neighbouring values together, (x[2i], x[2i + 1]); here, as everywhere in
    this library, the pairs are (x[i], x[i + head_width / 2]): the reader sorts the weights.

    Attributes:
        base: the angles' base.
        reference: patches in a row of the images that set the scale; None: places are not
            stretched.

    Source:
        baaivision/EVA, EVA-02/asuka/rope.py (VisionRotaryEmbeddingFast).
    """

    base: float = 10000.0
    reference: float | None = 16.0

    def __post_init__(self) -> None:
        if not 0 < self.base < float("inf"):
            raise ValueError(f"GridRotaryPositions: base must be positive, got {self.base}")
        if self.reference is not None and not 0 < self.reference < float("inf"):
            raise ValueError(
                f"GridRotaryPositions: reference must be positive, got {self.reference}"
            )

    def turns(
        self, side: int, head_width: int
    ) -> tuple[Float[np.ndarray, "tokens width"], Float[np.ndarray, "tokens width"]]:
        """(cosines, sines) of the angles of a `side` x `side` grid of patches, row by row.

        Args:
            side: patches in a row.
            head_width: of a head's queries, a multiple of 4.
        """
        frequency = self.base ** -(4 * np.arange(head_width // 4) / head_width)
        place = np.arange(side) * ((self.reference or side) / side)
        row, column = np.divmod(np.arange(side * side), side)
        angles = [place[one][:, None] * frequency for one in (row, column)]
        angle = np.tile(np.concatenate(angles, axis=1), (1, 2))
        return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def rotate(
    x: Float[Array, "batch heads tokens width"],
    turns: tuple[Float[Array, "*tokens width"], Float[Array, "*tokens width"]],
) -> Float[Array, "batch heads tokens width"]:
    """Turns each pair (x[i], x[i + width / 2]) by its token's angle i; rounds to x's dtype then."""
    first, second = jnp.split(x, 2, axis=-1)
    cosines, sines = turns
    turned = x * cosines + jnp.concatenate([-second, first], axis=-1) * sines
    return turned.astype(x.dtype)
