"""From the box head's outputs to detections."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array, Bool, Float, Int
from examine_jax.detection.geometry.boxes import clip, is_larger
from examine_jax.detection.geometry.coder import BoxCoder
from examine_jax.detection.geometry.nms import suppress_sorted


@dataclasses.dataclass(frozen=True)
class DetectionSettings:
    """Which boxes become detections. The defaults are torchvision's.

    Attributes:
        least_score: a detection's probability exceeds this.
        threshold: a detection is suppressed if its IoU with a better one of its class exceeds this.
        most: detections of an image.
        least_side: detections with a smaller side, in pixels, are dropped.
        candidates: pairs of a box and a class that are compared with one another, the best first.
            The result is exact if there are no more, or if `most` of them are kept.
    """

    least_score: float = 0.05
    threshold: float = 0.5
    most: int = 100
    least_side: float = 1e-2
    candidates: int = 1000

    def __post_init__(self) -> None:
        if not 1 <= self.most <= self.candidates:
            raise ValueError(
                "DetectionSettings: most must be at least 1 and at most candidates, got "
                f"{self.most} and {self.candidates}"
            )


class Detections(NamedTuple):
    """Detections of an image, or of each image of a batch, by falling score.

    Attributes:
        corners: x_min, y_min, x_max, y_max in pixels of the network's input.
        score: the probability of the class.
        label: the class, from 0.
        mask: which rows exist; the others are zeros with label -1.
    """

    corners: Float[Array, "*batch detections 4"]
    score: Float[Array, "*batch detections"]
    label: Int[Array, "*batch detections"]
    mask: Bool[Array, "*batch detections"]


def detections(
    settings: DetectionSettings,
    coder: BoxCoder,
    logits: Float[Array, "rois classes"],
    offsets: Float[Array, "rois classes 4"],
    boxes: Float[Array, "rois 4"],
    mask: Bool[Array, " rois"],
    height: int,
    width: int,
) -> Detections:
    """The detections of one image.

    Args:
        settings: the settings.
        coder: decodes the offsets.
        logits, offsets: of the box head; class 0 is background.
        boxes, mask: the proposals, and which of them exist.
        height, width: of the image.
    """
    found = clip(coder.decode(offsets[:, 1:], boxes[:, None]), height, width)
    score = jax.nn.softmax(logits, axis=-1)[:, 1:]
    used = mask[:, None] & (score > settings.least_score) & is_larger(found, settings.least_side)
    count = min(settings.candidates, used.size)
    score, rows = lax.top_k(jnp.where(used, score, -1.0).ravel(), count)
    found, label = found.reshape(-1, 4)[rows], rows % used.shape[1]
    kept = suppress_sorted(found, settings.threshold, score >= 0, label)
    score, rows = lax.top_k(jnp.where(kept, score, -1.0), min(settings.most, count))
    exists = score >= 0
    return Detections(
        jnp.where(exists[:, None], found[rows], 0.0),
        jnp.where(exists, score, 0.0),
        jnp.where(exists, label[rows], -1).astype(jnp.int32),
        exists,
    )
