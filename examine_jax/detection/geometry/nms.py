"""Non-maximum suppression: a box is dropped if it overlaps one of a higher score that is kept."""

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array, Bool, Float, Int
from examine_jax.detection.geometry.boxes import iou, is_finite


def suppress(
    boxes: Float[Array, "k 4"],
    scores: Float[Array, " k"],
    threshold: float,
    *,
    mask: Bool[Array, " k"] | None = None,
    groups: Int[Array, " k"] | None = None,
) -> Bool[Array, " k"]:
    """Which boxes are kept, in the boxes' order.

    The result is that of the sequential rule: go through the boxes by falling score (the earlier
    one first if scores are equal), and keep each whose IoU with every kept box of its group is at
    most the threshold. Boxes that are not finite, or whose score is NaN, are dropped.

    Args:
        boxes: corners.
        scores: of the boxes.
        threshold: a box is suppressed if its IoU exceeds this.
        mask: which boxes exist; None: all.
        groups: boxes suppress boxes of their own group alone; None: one group.
    """
    present = is_finite(boxes) & ~jnp.isnan(scores)
    present = present if mask is None else present & mask
    order = jnp.argsort(-jnp.where(present, scores, -jnp.inf), stable=True)
    kept = suppress_sorted(
        boxes[order], threshold, present[order], None if groups is None else groups[order]
    )
    return jnp.zeros(len(boxes), bool).at[order].set(kept, unique_indices=True)


def suppress_sorted(
    boxes: Float[Array, "k 4"],
    threshold: float,
    mask: Bool[Array, " k"],
    groups: Int[Array, " k"] | None = None,
) -> Bool[Array, " k"]:
    """`suppress` for boxes in the order of falling scores; the mask marks finite boxes alone.

    The sequential rule is the only fixed point of keep = mask and not suppressed by keep, since
    a box depends on earlier ones alone. The iteration settles at least one more box each round, and
    needs few rounds on real boxes.
    """
    rank = jnp.arange(len(boxes))
    suppresses = (iou(boxes, boxes) > threshold) & (rank[:, None] < rank[None, :])
    if groups is not None:
        suppresses &= groups[:, None] == groups[None, :]

    def once(keep: Array) -> Array:
        return mask & ~(suppresses & keep[:, None]).any(axis=0)

    def body(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        keep, _ = carry
        again = once(keep)
        return again, (again != keep).any()

    return lax.while_loop(lambda carry: carry[1], body, (mask, jnp.ones((), bool)))[0]


suppress_each = jax.vmap(suppress_sorted, in_axes=(0, None, 0))
"""`suppress_sorted` for several sets of boxes [L, K, 4] with masks [L, K]."""
