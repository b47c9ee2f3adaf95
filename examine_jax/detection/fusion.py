"""One set of boxes from those of several readers.

Boxes of one image and class are taken one after the other. A box joins the group whose mean so far
overlaps it most, if their IoU is above a limit, and the group's mean moves; else it begins a group.
The result is each group's mean. All boxes weigh the same, whoever drew them, and two boxes of one
reader may fall into one group. Because the mean moves, the order matters.

Source: Benčević et al. 2022, section 2.1; weighted boxes fusion of Solovyev et al. 2021 with equal
scores.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from examine_jax.labelled.boxes import BoxSet

# "csv": as the file lists them. "released": the last one first and the means rounded to a tenth of
# a pixel, as the authors' code does.
Order = Literal["csv", "released"]

Corners = Sequence[float]


def fuse(boxes: BoxSet, *, iou: float = 0.2, order: Order = "csv") -> BoxSet:
    """Fuses the boxes of several readers.

    Args:
        boxes: of all readers, in the order of the file. Scores are not used.
        iou: a box joins a group if its IoU with the group's mean is above this.
        order: "csv" takes the boxes in the order of the file, "released" from the last to the
            first and rounds to a tenth of a pixel, as the authors' code does.

    Returns:
        The fused boxes by image and class, those of one group at the place of its first box. All
        images stay; readers, scores, areas and lines are gone.

    Raises:
        ValueError: iou is not between 0 and 1, or the order is unknown.
    """
    if not 0 <= iou < 1:
        raise ValueError(f"iou {iou} must be at least 0 and below 1")
    if order not in ("csv", "released"):
        raise ValueError(f"order {order!r} is neither 'csv' nor 'released'")
    rows = np.lexsort((boxes.label, boxes.image))  # stable: the file's order within a group
    key = boxes.image[rows].astype(np.int64) * max(len(boxes.classes), 1) + boxes.label[rows]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    ends = np.append(starts[1:], len(rows))
    all_corners = boxes.corners.tolist()
    fused: list[Corners] = []
    first: list[int] = []
    for start, end in zip(starts.tolist(), ends.tolist()):
        members = rows[start:end].tolist()
        if len(members) == 1:
            means: list[Corners] = [all_corners[members[0]]]
        elif order == "csv":
            means = _fuse_in_turn([all_corners[row] for row in members], iou)
        else:
            reverse = _fuse_in_turn([all_corners[row] for row in reversed(members)], iou)
            means = [[round(value, 1) for value in mean] for mean in reverse]
        fused += means
        first += [members[0]] * len(means)
    corners = np.array(fused, np.float64).reshape(-1, 4)
    return dataclasses.replace(
        boxes,
        image=boxes.image[first] if first else boxes.image[:0],
        label=boxes.label[first] if first else boxes.label[:0],
        corners=corners,
        score=None,
        area=None,
        crowd=None,
        reader=None,
        readers=(),
        readings=None,
        line=None,
    )


def _fuse_in_turn(boxes: Sequence[Corners], limit: float) -> list[Corners]:
    """The mean of each group, in the order in which the groups began."""
    sums: list[list[float]] = []
    counts: list[int] = []
    means: list[Corners] = []
    for box in boxes:
        best, place = limit, -1
        for index, mean in enumerate(means):
            overlap = _iou(mean, box)
            if overlap > best:  # the first of equal ones is kept
                best, place = overlap, index
        if place < 0:
            sums.append(list(box))
            counts.append(1)
            means.append(box)
            continue
        counts[place] += 1
        sums[place] = [total + value for total, value in zip(sums[place], box)]
        means[place] = [total / counts[place] for total in sums[place]]
    return means


def _iou(a: Corners, b: Corners) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union
