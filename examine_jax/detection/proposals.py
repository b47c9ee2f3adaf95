"""Proposals: the anchors with the best logits, moved by their offsets, without near-duplicates."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array, Bool, Float
from examine_jax.detection.geometry.boxes import clip, is_larger
from examine_jax.detection.geometry.coder import BoxCoder
from examine_jax.detection.geometry.nms import suppress_each


@dataclasses.dataclass(frozen=True)
class ProposalSettings:
    """How proposals are chosen. The defaults are torchvision's.

    Attributes:
        candidates: anchors of each level that are looked at in training.
        test_candidates: the same outside training.
        most: proposals of an image in training.
        test_most: the same outside training.
        threshold: a proposal is suppressed if its IoU with a better one of its level exceeds this.
        least_side: proposals with a smaller side, in pixels, are dropped.
    """

    candidates: int = 2000
    test_candidates: int = 1000
    most: int = 2000
    test_most: int = 1000
    threshold: float = 0.7
    least_side: float = 1e-3

    def __post_init__(self) -> None:
        for field in ("candidates", "test_candidates", "most", "test_most"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"ProposalSettings: {field} must be at least 1, got {getattr(self, field)}"
                )


class Proposals(NamedTuple):
    """The proposals of an image, by falling logit.

    Attributes:
        boxes: corners inside the image.
        logit: of the anchor; -inf where the mask is not set.
        mask: which rows exist.
    """

    boxes: Float[Array, "proposals 4"]
    logit: Float[Array, " proposals"]
    mask: Bool[Array, " proposals"]


def propose(
    settings: ProposalSettings,
    coder: BoxCoder,
    logits: Sequence[Float[Array, " _"]],
    offsets: Sequence[Float[Array, "_ 4"]],
    anchors: Sequence[Float[Array, "_ 4"]],
    height: int,
    width: int,
    *,
    train: bool,
) -> Proposals:
    """The proposals of one image. They have no gradient. Boxes that are not finite are dropped.

    Args:
        settings: the settings.
        coder: decodes the offsets.
        logits, offsets, anchors: of each level.
        height, width: of the image.
        train: whether the numbers for training hold.
    """
    most = settings.most if train else settings.test_most
    candidates = settings.candidates if train else settings.test_candidates
    count = min(candidates, max(map(len, anchors)))
    boxes, scores = [], []
    for logit, offset, anchor in zip(logits, offsets, anchors):
        logit, offset = lax.stop_gradient((logit, offset))
        score, rows = lax.top_k(
            jnp.where(jnp.isfinite(logit), logit, -jnp.inf), min(candidates, len(anchor))
        )
        box = clip(coder.decode(offset[rows], anchor[rows]), height, width)
        score = jnp.where(is_larger(box, settings.least_side), score, -jnp.inf)
        missing = count - len(rows)
        boxes.append(jnp.pad(box, ((0, missing), (0, 0))))
        scores.append(jnp.pad(score, (0, missing), constant_values=-jnp.inf))
    box, score = jnp.stack(boxes), jnp.stack(scores)
    kept = suppress_each(box, settings.threshold, score > -jnp.inf)
    score = jnp.where(kept, score, -jnp.inf).ravel()
    score, rows = lax.top_k(score, min(most, len(score)))
    return Proposals(box.reshape(-1, 4)[rows], score, score > -jnp.inf)
