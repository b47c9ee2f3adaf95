"""Checks of boxes: which cannot be used, and which reach past their image."""

import dataclasses

import numpy as np

from examine_jax.common.shapes import Bool, Num
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.problems import Problem

_EDGE = 1.0  # pixels past the edge that rounding and 1-based files explain
_FAR = 0.02  # of the side: further out is no rounding
_FEW = 3  # so many boxes show a pattern


def check_boxes(boxes: BoxSet) -> tuple[BoxSet, tuple[Problem, ...]]:
    """The boxes that can be used, clipped to their images, and what is wrong with the others.

    A box is left out where a corner is NaN or infinite, where x_max <= x_min or y_max <= y_min,
    where it lies wholly outside its image, where less than a thousandth of a pixel is left of a
    side, and where its score is not a number. A box that lies partly outside is clipped; one
    problem counts these.

    Raises:
        ValueError: most boxes reach past their images, or all are between 0 and 1: they are in
            other pixels.
    """
    corners = boxes.corners
    finite = np.isfinite(corners).all(axis=1)
    ordered = finite & (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    sizes = boxes.sizes[boxes.image]
    sized = (sizes > 0).all(axis=1)
    _refuse_other_pixels(boxes, ordered, sized)
    limits = np.where(sized[:, None], sizes[:, ::-1], np.inf).astype(np.float64)
    outside = sized & ((corners[:, 2:] <= 0).any(axis=1) | (corners[:, :2] >= limits).any(axis=1))
    low = np.where(sized[:, None], 0.0, -np.inf)
    clipped = corners.copy()
    clipped[:, :2] = np.maximum(corners[:, :2], low)
    clipped[:, 2:] = np.minimum(corners[:, 2:], limits)
    with np.errstate(invalid="ignore"):
        thin = ((clipped[:, 2:] - clipped[:, :2]) < 1e-3).any(axis=1)
        moved = np.abs(clipped - corners).max(axis=1, initial=0.0) > _EDGE
    scored = np.ones(len(boxes), bool) if boxes.score is None else np.isfinite(boxes.score)
    used = ordered & ~outside & ~thin & scored
    problems = [
        _problem(
            boxes,
            row,
            _reason(corners[row], sizes[row], finite[row], ordered[row], outside[row], thin[row]),
        )
        for row in np.flatnonzero(~used).tolist()
    ]
    past = np.flatnonzero(used & moved)
    if len(past):
        text = f"{len(past)} of {len(boxes)} boxes reach past the image's edge and are clipped"
        first = _problem(boxes, int(past[0]), f"{text}; this is the first")
        problems.append(dataclasses.replace(first, kept=True))
    return dataclasses.replace(boxes, corners=clipped).take(used), tuple(problems)


def _reason(
    corners: Num[np.ndarray, " 4"],
    size: Num[np.ndarray, " 2"],
    finite: np.bool_,
    ordered: np.bool_,
    outside: np.bool_,
    thin: np.bool_,
) -> str:
    shown = ", ".join(f"{value:g}" for value in corners)
    if not finite:
        return f"the box {shown} is not of finite numbers: the box is left out"
    if not ordered:
        return f"the box {shown} has no area (x_max <= x_min or y_max <= y_min): it is left out"
    if outside:
        return (
            f"the box {shown} is outside its image of {size[1]} x {size[0]} pixels: it is left out"
        )
    if thin:
        return f"the box {shown} is thinner than a thousandth of a pixel: it is left out"
    return "the score is not a finite number: the box is left out"


def _problem(boxes: BoxSet, row: int, reason: str) -> Problem:
    image = int(boxes.image[row])
    line = -1 if boxes.line is None else int(boxes.line[row])
    return Problem(boxes.file_of(image), line if line >= 0 else None, boxes.images[image], reason)


def _refuse_other_pixels(
    boxes: BoxSet, ordered: Bool[np.ndarray, " n"], sized: Bool[np.ndarray, " n"]
) -> None:
    """Refuses boxes in the pixels of images of another size."""
    where = f"{boxes.files[0]}: " if boxes.files else ""
    corners = boxes.corners[ordered]
    if len(corners) >= _FEW and corners.min() >= 0 and corners.max() <= 1:
        raise ValueError(
            f"{where}all {len(corners)} boxes are between 0 and 1: they are shares of the image's "
            "sides; multiply x by the width and y by the height in pixels"
        )
    known = ordered & sized
    corners = boxes.corners[known]
    limits = boxes.sizes[boxes.image[known]][:, ::-1].astype(np.float64)
    reach = np.maximum(corners[:, 2:] - limits, -corners[:, :2])
    far = (reach > np.maximum(_FAR * limits, 2 * _EDGE)).any(axis=1)
    if len(corners) < _FEW or far.sum() * 2 <= len(corners):
        return
    row = int(np.flatnonzero(far)[0])
    shown = ", ".join(f"{value:g}" for value in corners[row])
    name = boxes.images[int(boxes.image[known][row])]
    swapped = (corners[:, 2:] <= limits[:, ::-1] + _EDGE).all()
    cause = (
        "height and width may be swapped, or the images were turned by their EXIF tag"
        if swapped
        else "the boxes are likely in the pixels of images of another size, such as the originals "
        "of these images: give the sizes in which they were drawn (columns width and height), "
        "or the images that they were drawn on"
    )
    raise ValueError(
        f"{where}{int(far.sum())} of {len(corners)} boxes reach far past their images, such as "
        f"{shown} on {name!r} of {int(limits[row, 0])} x {int(limits[row, 1])} pixels: {cause}"
    )
