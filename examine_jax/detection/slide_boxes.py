"""Boxes in the pixels of whole slides, and in those of their tiles."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int
from examine_jax.images.decoding.tiling import place_in_slide
from examine_jax.labelled.boxes.box_set import UNKNOWN_SIZE, BoxSet
from examine_jax.labelled.boxes.image_matching import ImageFinder

# A tile has a box if this share of the box's area or more is in it.
_LEAST_INSIDE = 0.5


def in_slides(
    found: BoxSet,
    stored_names: Sequence[str],
    sizes: Mapping[str, tuple[int, int]],
    threshold: float,
) -> BoxSet:
    """Detections on tiles as detections on their slides, in pixels of the finest level.

    Tiles may overlap: of two boxes of one class whose IoU exceeds the threshold, the one of the
    lower score is dropped, as within an image. Images that are no tiles stay as they are.

    Args:
        found: predictions in the tiles' own pixels; its images may have other names than their
            files, but names of tiles.
        stored_names: of the images, as their files are found.
        sizes: (width, height) of slides by the names in `stored_names`.
        threshold: an IoU.
    """
    places = [place_in_slide(name) for name in stored_names]
    if not any(places):
        return found
    shown = [place_in_slide(name) for name in found.images]
    names: dict[str, int] = {}
    new_sizes: list[tuple[int, int]] = []
    image = np.zeros(len(found.images), np.int64)
    scale, shift = np.ones((len(found.images), 2)), np.zeros((len(found.images), 2))
    for row, (place, own) in enumerate(zip(places, shown)):
        slide = place is not None and own is not None
        name = own[0] if own is not None and slide else found.images[row]
        image[row] = names.setdefault(name, len(names))
        known = (int(found.sizes[row][0]), int(found.sizes[row][1]))
        if place is not None and slide:
            scale[row] = place[3] / found.sizes[row][::-1]
            shift[row] = place[1], place[2]
            width, height = sizes.get(place[0], (UNKNOWN_SIZE, UNKNOWN_SIZE))
            known = height, width
        if image[row] == len(new_sizes):
            new_sizes.append(known)
    own_scale, own_shift = np.tile(scale, 2)[found.image], np.tile(shift, 2)[found.image]
    moved = dataclasses.replace(
        found,
        images=tuple(names),
        sizes=np.array(new_sizes),
        image=image[found.image],
        corners=found.corners * own_scale + own_shift,
        area=None,
        readings=None,
        files=(),
    )
    on_tiles = np.array([place is not None for place in places])[found.image]
    return moved.take(_kept(moved, on_tiles, threshold))


def _kept(
    boxes: BoxSet, judged: Bool[np.ndarray, " boxes"], threshold: float
) -> Bool[np.ndarray, " boxes"]:
    """Which boxes stay: the sequential rule, for the judged ones of each image and class."""
    kept = np.ones(len(boxes), bool)
    score = np.zeros(len(boxes)) if boxes.score is None else boxes.score
    groups: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
    for row in np.argsort(-score, kind="stable").tolist():
        if judged[row]:
            groups[int(boxes.image[row]), int(boxes.label[row])].append(row)
    for rows in groups.values():
        kept[rows] = _suppressed(boxes.corners[rows], threshold)
    return kept


def _suppressed(corners: Float[np.ndarray, "k 4"], threshold: float) -> Bool[np.ndarray, " k"]:
    """Which of some boxes by falling score stay. Only boxes that are near are compared."""
    sides = corners[:, 2:] - corners[:, :2]
    cell = max(float(sides.max()), 1.0)
    cells: dict[tuple[int, int], list[int]] = collections.defaultdict(list)
    kept = np.zeros(len(corners), bool)
    # Boxes that overlap begin in the same cell or in one beside it.
    for row, (x, y) in enumerate(np.floor(corners[:, :2] / cell).astype(np.int64).tolist()):
        near = [
            other
            for across in (x - 1, x, x + 1)
            for down in (y - 1, y, y + 1)
            for other in cells.get((across, down), ())
        ]
        if not near or _overlap(corners[row], corners[near]).max() <= threshold:
            kept[row] = True
            cells[x, y].append(row)
    return kept


def _overlap(
    box: Float[np.ndarray, " 4"], others: Float[np.ndarray, "k 4"]
) -> Float[np.ndarray, " k"]:
    """The IoU of a box with others."""
    shared = np.maximum(
        np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0.0
    ).prod(axis=1)
    areas = np.maximum(others[:, 2:] - others[:, :2], 0.0).prod(axis=1)
    union = np.maximum(box[2:] - box[:2], 0.0).prod() + areas - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1.0), 0.0)


def in_tiles(boxes: BoxSet, names: Sequence[str], sizes: Int[np.ndarray, "images 2"]) -> BoxSet:
    """Boxes that name whole slides as boxes that name their tiles.

    A tile has the boxes of which half or more lies in it, cut at its edges. A slide that is named
    has been looked at: its other tiles are negatives. Boxes on other images stay as they are.

    Args:
        boxes: as read from a file; on a slide, in pixels of its finest level.
        names: of all images; tiles among them.
        sizes: (height, width) of these images.
    """
    tiles: dict[str, list[tuple[int, int, int, int]]] = {}
    for row, name in enumerate(names):
        if (place := place_in_slide(name)) is not None:
            tiles.setdefault(place[0], []).append((row, *place[1:]))
    if not tiles:
        return boxes
    slides = tuple(tiles)
    others = {name for name in names if place_in_slide(name) is None}
    finder = ImageFinder((*slides, *others))
    named = [-1 if place_in_slide(name) is not None else finder.find(name) for name in boxes.images]
    of_slide = [row for row, index in enumerate(named) if 0 <= index < len(slides)]
    if not of_slide:
        return boxes
    rest = boxes.select([row for row in range(len(boxes.images)) if row not in set(of_slide)])
    images, new_sizes = list(rest.images), [tuple(size) for size in rest.sizes.tolist()]
    source, corners, image = list[int](), list[np.ndarray](), list[int]()
    for slide in of_slide:
        rows = boxes.of_image(slide)
        centres = (boxes.corners[rows, :2] + boxes.corners[rows, 2:]) / 2
        from_left = np.argsort(centres[:, 0], kind="stable")
        across = centres[from_left, 0]
        for tile, x, y, width in tiles[slides[named[slide]]]:
            height_read, width_read = (int(side) for side in sizes[tile])
            # A box of which half lies in the tile has its centre there; 1 is for rounding.
            first, last = np.searchsorted(across, [x - 1, x + width + 1])
            near = np.sort(from_left[first:last])
            near = near[np.abs(centres[near, 1] - y - width / 2) <= width / 2 + 1]
            own = boxes.corners[rows[near]]
            cut = np.clip(own, [x, y, x, y], [x + width, y + width, x + width, y + width])
            inside = _areas(cut) >= _LEAST_INSIDE * np.maximum(_areas(own), 1e-12)
            factor = np.array([width_read, height_read, width_read, height_read]) / width
            corners.append(((cut - [x, y, x, y]) * factor)[inside])
            source += rows[near[inside]].tolist()
            image += [len(images)] * int(inside.sum())
            images.append(names[tile])
            new_sizes.append((height_read, width_read))
    moved = boxes.take(source)
    before = np.arange(len(rest))
    parts: dict[str, Any] = {
        name: np.concatenate([getattr(rest, name)[before], getattr(moved, name)])
        for name in ("label", "score", "crowd", "reader", "line")
        if getattr(boxes, name) is not None
    }
    return dataclasses.replace(
        rest,
        images=tuple(images),
        sizes=np.array(new_sizes),
        image=np.concatenate([rest.image, np.array(image, np.int64)]),
        corners=np.concatenate([rest.corners, *corners]),
        area=None,
        readings=None,
        files=rest.files if len(rest.files) == 1 else (),
        **parts,
    )


def _areas(corners: Float[np.ndarray, "k 4"]) -> Float[np.ndarray, " k"]:
    return np.maximum(corners[:, 2:] - corners[:, :2], 0.0).prod(axis=1)
