"""Boxes of tiles and of their slides, against plain loops."""

import numpy as np
import pytest

from examine_jax.detection.slide_boxes import _suppressed, in_slides, in_tiles
from examine_jax.images.decoding.tiling import mark
from examine_jax.labelled.boxes.box_set import BoxSet

TILES = ("s.svs" + mark(0, 0, 200), "s.svs" + mark(150, 0, 200), "p.png")


def boxes_on(images: tuple[str, ...], sizes: list[list[int]], rows: list[list[float]]) -> BoxSet:
    """Rows of image, label, score and corners."""
    table = np.array(rows, np.float64).reshape(-1, 7)
    return BoxSet(
        images,
        np.array(sizes).reshape(-1, 2),
        ("cell", "gland"),
        table[:, 0].astype(int),
        table[:, 1].astype(int),
        table[:, 3:],
        table[:, 2],
    )


def test_detections_on_tiles_lie_on_the_slide_once() -> None:
    found = boxes_on(
        TILES,
        [[100, 100], [100, 100], [50, 60]],
        [
            [0, 0, 0.9, 80, 10, 95, 20],  # at 160..190 of the slide
            [1, 0, 0.8, 5, 10, 20, 20],  # the same cell in the next tile
            [1, 1, 0.7, 5, 10, 20, 20],  # of another class
            [1, 0, 0.6, 50, 50, 60, 60],
            [2, 0, 0.5, 1, 2, 3, 4],  # on a picture
            [2, 0, 0.4, 1, 2, 3, 4],
        ],
    )
    whole = in_slides(found, TILES, {"s.svs": (350, 200)}, 0.5)
    assert whole.images == ("s.svs", "p.png")
    assert whole.sizes.tolist() == [[200, 350], [50, 60]]
    assert whole.score is not None
    assert whole.score.tolist() == [0.9, 0.7, 0.6, 0.5, 0.4]
    assert whole.corners.tolist() == [
        [160, 20, 190, 40],
        [160, 20, 190, 40],
        [250, 100, 270, 120],
        [1, 2, 3, 4],
        [1, 2, 3, 4],
    ]
    hidden = in_slides(
        BoxSet(**{**vars(found), "images": ("i-1.svs" + mark(0, 0, 200), *found.images[1:])}),
        TILES,
        {},
        0.5,
    )
    assert hidden.images[0] == "i-1.svs"  # as it may be shown
    assert hidden.sizes[0].tolist() == [-1, -1]  # the slide is gone
    pictures = boxes_on(("a.png",), [[5, 5]], [[0, 0, 0.5, 0, 0, 1, 1]])
    assert in_slides(pictures, ("a.png",), {}, 0.5) is pictures
    none = in_slides(found.take([]), TILES, {}, 0.5)
    assert (len(none), none.images) == (0, ("s.svs", "p.png"))


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_suppression_is_that_of_the_sequential_rule(threshold: float) -> None:
    generator = np.random.default_rng(0)
    corner = generator.uniform(0, 60, (200, 2))
    corners = np.concatenate([corner, corner + generator.uniform(0, 25, (200, 2))], axis=1)
    corners[5] = corners[4]
    corners[7, 2:] = corners[7, :2]  # empty

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
        shared = float(np.prod(sides)) if (sides > 0).all() else 0.0
        both = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
        return shared / both if both else 0.0

    kept: list[int] = []
    for row in range(len(corners)):
        if all(iou(corners[row], corners[other]) <= threshold for other in kept):
            kept.append(row)
    assert np.flatnonzero(_suppressed(corners, threshold)).tolist() == kept


def test_boxes_of_a_slide_become_those_of_its_tiles() -> None:
    names, sizes = (*TILES, "s2.svs" + mark(0, 0, 50)), np.array([[100, 100]] * 2 + [[50, 60]] * 2)
    truth = boxes_on(
        ("folder/s.svs", "p.png"),
        [[-1, -1], [50, 60]],
        [
            [0, 0, 0, 10, 20, 30, 40],  # in the first tile
            [0, 1, 0, 160, 0, 190, 10],  # in both
            [0, 0, 0, 190, 50, 330, 60],  # one fourteenth in the first, all in the second
            [1, 0, 0, 1, 2, 3, 4],
            [0, 0, 0, 500, 0, 510, 9],  # where no tile is
        ],
    )
    own = in_tiles(truth, names, sizes)
    assert own.images == ("p.png", TILES[0], TILES[1])  # s2.svs is not named
    assert own.sizes.tolist() == [[50, 60], [100, 100], [100, 100]]
    assert [own.corners[own.of_image(image)].tolist() for image in range(3)] == [
        [[1, 2, 3, 4]],
        [[5, 10, 15, 20], [80, 0, 95, 5]],
        [[5, 0, 20, 5], [20, 25, 90, 30]],
    ]
    assert own.label.tolist() == [0, 0, 1, 1, 0]
    tiles = boxes_on((TILES[0],), [[100, 100]], [[0, 0, 0, 1, 1, 2, 2]])
    assert in_tiles(tiles, names, sizes) is tiles  # boxes of a tile
    assert in_tiles(truth, ("a.png",), sizes[:1]) is truth  # no slides
