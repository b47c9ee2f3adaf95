"""Agreement of readers against plain loops and permutations."""

import itertools
import math

import numpy as np
import pytest
from faster_coco_eval import mask

from examine_jax.detection.agreement import ALL_CLASSES, reader_agreement
from examine_jax.labelled.boxes import BoxSet

IMAGES = 24


def drawn(seed: int = 0) -> BoxSet:
    """Three readers: clusters of boxes that move from reader to reader."""
    rng = np.random.default_rng(seed)
    rows = []
    for image, reader in itertools.product(range(IMAGES), range(3)):
        if (image + reader) % 4 == 0:
            continue  # not looked at
        for lesion in range(rng.integers(1, 5)):
            low = np.array([60 * lesion, 40]) + rng.normal(0, 8, 2)
            rows.append((image, lesion % 2, reader, *low, *(low + np.array([50, 40]))))
    found = np.array(rows)
    pairs = [(i, r) for i, r in itertools.product(range(IMAGES), range(3)) if (i + r) % 4]
    return BoxSet(
        images=tuple(map(str, range(IMAGES))),
        sizes=np.full((IMAGES, 2), 400),
        classes=("a", "b"),
        image=found[:, 0].astype(int),
        label=found[:, 1].astype(int),
        corners=found[:, 3:],
        reader=found[:, 2].astype(int),
        readers=("R8", "R9", "R10"),
        readings=np.array(pairs),
    )


def coco_overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """COCO's own code, which takes [x, y, width, height]."""
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    sides = [
        np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1) for boxes in (a, b)
    ]
    return mask.iou(*sides, [0] * len(b))


def best_matching(overlaps: np.ndarray, limit: float) -> list[float]:
    """The matching with the largest sum of IoU, by trying all."""
    if overlaps.shape[0] > overlaps.shape[1]:
        overlaps = overlaps.T
    best: list[float] = []
    for columns in itertools.permutations(range(overlaps.shape[1]), overlaps.shape[0]):
        chosen = [v for v in overlaps[range(len(columns)), list(columns)] if v > limit]
        if sum(chosen) > sum(best):
            best = chosen
    return best


def test_agreement_is_that_of_plain_loops() -> None:
    boxes = drawn()
    found = reader_agreement(boxes, num_draws=50)
    assert len(found) == 9
    for row in found:
        a, b = boxes.readers.index(row.reader_a), boxes.readers.index(row.reader_b)
        images = [i for i in range(IMAGES) if (i + a) % 4 and (i + b) % 4]
        labels = (0, 1) if row.class_name == ALL_CLASSES else (boxes.classes.index(row.class_name),)
        matched, pairs, count = [], [], 0
        for image, label in itertools.product(images, labels):
            own, other = (
                boxes.corners[
                    (boxes.image == image) & (boxes.label == label) & (boxes.reader == reader)
                ]
                for reader in (a, b)
            )
            overlaps = coco_overlaps(own, other)
            pairs += overlaps.ravel().tolist()
            count += len(own) + len(other)
            if overlaps.size:
                matched += best_matching(overlaps, 0.2)
        assert row.images == len(images)
        assert row.boxes_a + row.boxes_b == count
        assert row.matched == len(matched)
        np.testing.assert_allclose(row.matched_iou, np.mean(matched))
        np.testing.assert_allclose(row.unmatched_share, 1 - 2 * len(matched) / count)
        np.testing.assert_allclose(
            (row.pairs_iou, row.pairs_iou_sd), (np.mean(pairs), np.std(pairs))
        )
        above = [value for value in pairs if value > 0.2]
        np.testing.assert_allclose(row.pairs_above_iou, np.mean(above))
        assert (row.pairs, row.pairs_above) == (len(pairs), len(above))
        assert row.matched_iou_low <= row.matched_iou <= row.matched_iou_high
        assert row.unmatched_low <= row.unmatched_share <= row.unmatched_high


def test_the_intervals_are_those_of_drawing_images() -> None:
    boxes = drawn(1)
    row = reader_agreement(boxes, num_draws=4000)[0]
    rng = np.random.default_rng(9)
    a, b = (boxes.readers.index(name) for name in (row.reader_a, row.reader_b))
    images = np.array([i for i in range(IMAGES) if (i + a) % 4 and (i + b) % 4])
    of_image = {}
    for image in images:
        for found in reader_agreement(boxes.select([image]), num_draws=1):
            if (found.reader_a, found.reader_b) == (row.reader_a, row.reader_b):
                of_image.setdefault(image, found)
    draws = []
    for _ in range(1000):
        rows = [of_image[i] for i in rng.choice(images, len(images))]
        total = sum(r.boxes_a + r.boxes_b for r in rows)
        draws.append(1 - 2 * sum(r.matched for r in rows) / total)
    np.testing.assert_allclose(
        (row.unmatched_low, row.unmatched_high), np.quantile(draws, [0.025, 0.975]), atol=0.04
    )


def test_readers_who_drew_nothing_count_as_unmatched() -> None:
    boxes = BoxSet(
        images=("x",),
        sizes=np.array([[50, 50]]),
        classes=("a",),
        image=np.zeros(1, int),
        label=np.zeros(1, int),
        corners=np.array([[0.0, 0, 9, 9]]),
        reader=np.zeros(1, int),
        readers=("R1", "R2"),
        readings=np.array([[0, 0], [0, 1]]),
    )
    row = reader_agreement(boxes)[0]
    assert (row.matched, row.unmatched_share, row.pairs) == (0, 1.0, 0)
    assert math.isnan(row.matched_iou)
    assert math.isnan(row.pairs_iou)


def test_agreement_needs_two_readers() -> None:
    with pytest.raises(ValueError, match="is there a column rad_id"):
        reader_agreement(BoxSet(("x",), np.array([[5, 5]]), ("a",), *_NO_BOXES))


_NO_BOXES = (np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)))
