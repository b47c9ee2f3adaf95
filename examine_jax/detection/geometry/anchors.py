"""Anchors: reference boxes of given sizes and shapes at every place of every feature map."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from examine_jax.common.shapes import Float, Int, Num

_ROWS = 256  # boxes that are compared with all anchors at a time


@dataclasses.dataclass(frozen=True)
class AnchorSettings:
    """The anchors of a detector. The default is torchvision's: one size a level, P2 to P6.

    Attributes:
        sizes: for each level, the anchors' sizes: the square root of their area, in pixels.
        ratios: height over width, the same for all levels.
        strides: for each level, the pixels of the image per place of the feature map; powers of
            two, ascending.
        rounded: whether the corners of an anchor around 0 are rounded to whole pixels, half to
            even, as in torchvision. detectron2 and mmdetection do not round.
    """

    sizes: tuple[tuple[float, ...], ...] = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    strides: tuple[int, ...] = (4, 8, 16, 32, 64)
    rounded: bool = True

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.strides) or not self.sizes:
            raise ValueError(
                f"AnchorSettings: {len(self.sizes)} levels of sizes and {len(self.strides)} "
                "strides; give one tuple of sizes for each stride"
            )
        if len({len(sizes) for sizes in self.sizes}) > 1 or not self.sizes[0]:
            raise ValueError(
                "AnchorSettings: all levels share one head, so each level needs the same number "
                f"of sizes, at least one; got {self.sizes}"
            )
        values = [*(size for sizes in self.sizes for size in sizes), *self.ratios]
        if not self.ratios or not all(np.isfinite(value) and value > 0 for value in values):
            raise ValueError(
                "AnchorSettings: sizes and ratios must be positive numbers, got sizes "
                f"{self.sizes} and ratios {self.ratios}"
            )
        if any(stride < 1 or stride & (stride - 1) for stride in self.strides) or any(
            after != 2 * before for before, after in zip(self.strides, self.strides[1:])
        ):
            raise ValueError(
                "AnchorSettings: strides must be powers of two, each twice the one before, got "
                f"{self.strides}"
            )

    @property
    def per_place(self) -> int:
        """The number of anchors at each place of a feature map."""
        return len(self.sizes[0]) * len(self.ratios)

    def grids(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of each level's feature map."""
        return tuple((-(-height // stride), -(-width // stride)) for stride in self.strides)


def cell_anchors(
    sizes: Sequence[float], ratios: Sequence[float], *, rounded: bool
) -> Float[np.ndarray, "anchors 4"]:
    """The anchors around 0, float32: for each ratio, all sizes."""
    scales = np.asarray(sizes, np.float32)
    heights = np.sqrt(np.asarray(ratios, np.float32))
    widths = 1 / heights
    w, h = (widths[:, None] * scales).ravel(), (heights[:, None] * scales).ravel()
    cell = np.stack([-w, -h, w, h], axis=1) / np.float32(2)
    return np.round(cell) if rounded else cell


def make_anchors(
    settings: AnchorSettings, height: int, width: int
) -> tuple[Float[np.ndarray, "anchors 4"], Int[np.ndarray, " anchors"]]:
    """All anchors of an image, and the level of each.

    Anchors stand at multiples of the stride, without half a stride more, and may reach over the
    border. The stride is the image's side divided by the map's side, rounded down.

    Args:
        settings: the sizes, ratios and strides.
        height, width: of the image in pixels.

    Returns:
        (anchors float32 [A, 4], levels int32 [A]), in the order level, row, column, ratio, size.
    """
    parts, levels = [], []
    for level, (rows, columns) in enumerate(settings.grids(height, width)):
        cell = cell_anchors(settings.sizes[level], settings.ratios, rounded=settings.rounded)
        y, x = np.meshgrid(
            np.arange(rows, dtype=np.float32) * (height // rows),
            np.arange(columns, dtype=np.float32) * (width // columns),
            indexing="ij",
        )
        places = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4)
        parts.append((places + cell).reshape(-1, 4))
        levels.append(np.full(len(parts[-1]), level, np.int32))
    return np.concatenate(parts), np.concatenate(levels)


def best_overlaps(
    settings: AnchorSettings, height: int, width: int, boxes: Num[np.ndarray, "n 4"]
) -> Float[np.ndarray, " n"]:
    """Each box's largest IoU with an anchor.

    Args:
        settings: the anchors.
        height, width: of the image in pixels.
        boxes: corners in the image's pixels.
    """
    anchors = make_anchors(settings, height, width)[0].T
    anchor_area = (anchors[2] - anchors[0]) * (anchors[3] - anchors[1])
    best = np.zeros(len(boxes), np.float32)
    boxes = np.asarray(boxes, np.float32)
    for start in range(0, len(boxes), _ROWS):
        x_min, y_min, x_max, y_max = boxes[start : start + _ROWS].T[..., None]
        across = np.minimum(x_max, anchors[2]) - np.maximum(x_min, anchors[0])
        down = np.minimum(y_max, anchors[3]) - np.maximum(y_min, anchors[1])
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        union = (x_max - x_min) * (y_max - y_min) + anchor_area - shared
        best[start : start + _ROWS] = (shared / union).max(axis=1)
    return best


def share_reached(
    settings: AnchorSettings,
    height: int,
    width: int,
    boxes: Num[np.ndarray, "n 4"],
    threshold: float,
) -> float:
    """The share of the boxes that have an anchor with an IoU of at least `threshold`.

    A detector learns little from boxes that no anchor reaches at 0.5. The share of no boxes is NaN.
    """
    if not len(boxes):
        return float("nan")
    return float((best_overlaps(settings, height, width, boxes) >= threshold).mean())


def anchors_from_boxes(
    boxes: Num[np.ndarray, "n 4"],
    labels: Int[np.ndarray, " n"] | None = None,
    *,
    strides: tuple[int, ...] = (8, 16, 32),
    sizes_per_level: int = 2,
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0),
    rounded: bool = True,
) -> AnchorSettings:
    """Anchors that fit boxes: sizes at equal ratios from the small boxes to the large ones.

    The smallest size is the least 5% quantile of a class, the largest one the greatest 95%
    quantile, so a common class does not hide a rare one. Neighbours differ by a factor of at least
    2^(1/4).

    Args:
        boxes: corners of the training boxes, in the pixels of the network's input.
        labels: their classes; None: one class.
        strides, ratios, rounded: as in AnchorSettings.
        sizes_per_level: sizes of each level.

    Raises:
        ValueError: there is no box with positive sides.
    """
    boxes = np.asarray(boxes, np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    used = np.isfinite(boxes).all(axis=1) & (sides > 0).all(axis=1)
    if not used.any():
        raise ValueError(
            f"anchors_from_boxes: none of {len(boxes)} boxes has positive sides; give anchor sizes"
        )
    size = np.sqrt(sides[used].prod(axis=1))
    classes = np.zeros(len(boxes), int)[used] if labels is None else np.asarray(labels)[used]
    spans = np.array([np.quantile(size[classes == c], (0.05, 0.95)) for c in np.unique(classes)])
    low, high = np.log(spans[:, 0].min()), np.log(spans[:, 1].max())
    count = sizes_per_level * len(strides)
    span = max(high - low, np.log(2) / 4 * (count - 1))
    chosen = np.exp((low + high) / 2 + span * (np.linspace(0, 1, count) - 0.5))
    levels = np.round(chosen, 1).reshape(len(strides), sizes_per_level).tolist()
    return AnchorSettings(tuple(map(tuple, levels)), ratios, strides, rounded)
