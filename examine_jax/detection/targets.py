"""What the heads of a detector are to say, for a random sample of anchors and of proposals."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Bool, Float, Int, Key
from examine_jax.detection.geometry.boxes import iou
from examine_jax.detection.geometry.coder import BoxCoder
from examine_jax.detection.geometry.matching import Matcher
from examine_jax.detection.geometry.sampling import Sample, sample


@dataclasses.dataclass(frozen=True)
class TargetSettings:
    """How candidates are matched, sampled and encoded.

    Attributes:
        matcher: says which candidates are positive and negative.
        samples: the most candidates of an image that the losses see.
        positive_share: the most positive ones, as a share of `samples`.
        coder: encodes the true boxes.
    """

    matcher: Matcher
    samples: int
    positive_share: float
    coder: BoxCoder = dataclasses.field(default_factory=BoxCoder)

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 < self.positive_share <= 1:
            raise ValueError(
                "TargetSettings: samples must be at least 1 and positive_share in (0, 1], got "
                f"{self.samples} and {self.positive_share}"
            )


ANCHOR_TARGETS = TargetSettings(Matcher(0.7, 0.3, keep_best=True), 256, 0.5)
ROI_TARGETS = TargetSettings(
    Matcher(0.5, 0.5, keep_best=False), 512, 0.25, BoxCoder((10.0, 10.0, 5.0, 5.0))
)


class AnchorTargets(NamedTuple):
    """The sampled anchors of an image.

    Attributes:
        sample: their rows.
        offsets: of the true box; meaningful where sample.positive.
    """

    sample: Sample
    offsets: Float[Array, "places 4"]


def anchor_targets(
    settings: TargetSettings,
    key: Key[Array, ""],
    anchors: Float[Array, "anchors 4"],
    boxes: Float[Array, "truths 4"],
    mask: Bool[Array, " truths"],
) -> AnchorTargets:
    """Samples the anchors of one image.

    Args:
        settings: of the proposal head.
        key: of this image.
        anchors: all anchors.
        boxes, mask: the true boxes, and which of them exist.
    """
    matches = settings.matcher(iou(boxes, anchors), mask)
    drawn = sample(
        key, matches.positive, matches.negative, settings.samples, settings.positive_share
    )
    truth = _rows(boxes, matches.truth[drawn.rows], anchors[drawn.rows])
    return AnchorTargets(drawn, settings.coder.encode(truth, anchors[drawn.rows]))


class RoITargets(NamedTuple):
    """The sampled proposals of an image.

    Attributes:
        boxes: corners.
        label: 0 for background, else the true class, from 1.
        offsets: of the true box; meaningful where label > 0.
        mask: which places hold a proposal.
    """

    boxes: Float[Array, "places 4"]
    label: Int[Array, " places"]
    offsets: Float[Array, "places 4"]
    mask: Bool[Array, " places"]


def roi_targets(
    settings: TargetSettings,
    key: Key[Array, ""],
    proposals: Float[Array, "proposals 4"],
    proposed: Bool[Array, " proposals"],
    boxes: Float[Array, "truths 4"],
    labels: Int[Array, " truths"],
    mask: Bool[Array, " truths"],
) -> RoITargets:
    """Samples the proposals of one image, to which the true boxes are added.

    Args:
        settings: of the box head.
        key: of this image.
        proposals, proposed: the proposals, and which of them exist.
        boxes, labels, mask: the true boxes, their classes from 0, and which of them exist.
    """
    candidates = jnp.concatenate([proposals, boxes])
    exists = jnp.concatenate([proposed, mask])
    matches = settings.matcher(iou(boxes, candidates), mask)
    drawn = sample(
        key,
        matches.positive & exists,
        matches.negative & exists,
        settings.samples,
        settings.positive_share,
    )
    rois, row = candidates[drawn.rows], matches.truth[drawn.rows]
    own = _rows(labels, row, jnp.zeros(len(row), labels.dtype))
    label = jnp.where(drawn.positive, own + 1, 0)
    return RoITargets(rois, label, settings.coder.encode(_rows(boxes, row, rois), rois), drawn.mask)


def _rows(values: Array, rows: Array, otherwise: Array) -> Array:
    """values[rows]; `otherwise` if there are no values at all."""
    return values[rows] if len(values) else otherwise
