"""Random truths and predictions for the tests of metrics."""

import numpy as np

from examine_jax.labelled.boxes.box_set import BoxSet

CLASSES = ("mass", "nodule", "effusion")


def box_set(image, label, corners, score=None, *, images=4, classes=CLASSES, size=200, **columns):
    """A BoxSet of square images."""
    return BoxSet(
        tuple(f"{i}.png" for i in range(images)),
        np.full((images, 2), size),
        classes,
        np.asarray(image, int).reshape(-1),
        np.asarray(label, int).reshape(-1),
        np.asarray(corners, float).reshape(-1, 4),
        None if score is None else np.asarray(score, float).reshape(-1),
        **columns,
    )


def random_pair(seed, *, images=10, num_truth=40, num_false=60, crowds=False, absent=None):
    """(truth, predictions): moved boxes of the truth, and others; scores without ties.

    Args:
        seed: of the draws.
        images: how many; the last two have no truth.
        num_truth: boxes of the truth.
        num_false: predictions that are drawn freely.
        crowds: whether some boxes are crowds.
        absent: a class without truth.
    """
    rng = np.random.default_rng(seed)

    def boxes(count):
        corner = rng.uniform(0, 160, (count, 2))
        return np.concatenate([corner, corner + rng.uniform(5, 120, (count, 2))], axis=1)

    classes = [c for c in range(3) if c != absent]
    image, label = rng.integers(0, images - 2, num_truth), rng.choice(classes, num_truth)
    corners = boxes(num_truth)
    moved = rng.random(num_truth) < 0.8
    twice = np.concatenate([np.flatnonzero(moved), rng.integers(0, num_truth, num_truth // 4)])
    size = np.tile(corners[:, 2:] - corners[:, :2], 2)
    near = corners[twice] + rng.normal(0, 0.12, (len(twice), 4)) * size[twice]
    near = np.concatenate([near[:, :2], np.maximum(near[:, 2:], near[:, :2] + 1)], axis=1)
    wrong = rng.random(len(twice)) < 0.1
    theirs = np.where(wrong, rng.integers(0, 3, len(twice)), label[twice])
    count = len(twice) + num_false
    predictions = box_set(
        np.concatenate([image[twice], rng.integers(0, images, num_false)]),
        np.concatenate([theirs, rng.integers(0, 3, num_false)]),
        np.concatenate([near, boxes(num_false)]),
        (rng.permutation(count) + 1) / (count + 1),
        images=images,
    )
    crowd = rng.random(num_truth) < 0.2 if crowds else None
    return box_set(image, label, corners, images=images, crowd=crowd), predictions
