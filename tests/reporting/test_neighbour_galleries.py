"""Galleries show the right images, with any text."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from examine_jax.influence import Checkpoint, Extremes, tracin
from examine_jax.reporting.charts import neighbour_galleries
from examine_jax.reporting.charts.neighbour_galleries import (
    Neighbours,
    influence_gallery,
    neighbour_gallery,
)

_PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12, 12, 3), dtype=np.uint8)
_LABELS = ["NV", "MEL", "NV", "$x_1$<b>", "NV\n", "漢", "MEL", "NV", ""]
_METHODS = [
    Neighbours("TracIn", np.array([[1, 2, 3], [4, 5, 6]]), np.array([[0.023, 0.018, 0.016]] * 2)),
    Neighbours(
        "feature similarity", np.array([[8, 7, 6], [0, 1, 2]]), np.array([[0.9, 0.89, -1.0]] * 2)
    ),
]


@pytest.mark.parametrize("labels", [None, _LABELS])
def test_neighbour_gallery_shows_anchors_and_neighbours_with_any_text(labels, monkeypatch):
    shown = []
    monkeypatch.setattr(
        neighbour_galleries, "as_rgb", lambda image: shown.append(image) or np.zeros((2, 2, 3))
    )
    picture = Image.open(io.BytesIO(neighbour_gallery(_PIXELS, np.array([0, 3]), _METHODS, labels)))
    assert picture.width > 1000
    expected = [0, 1, 2, 3, 8, 7, 6, 3, 4, 5, 6, 0, 1, 2]
    assert len(shown) == len(expected)
    for image, row in zip(shown, expected):
        np.testing.assert_array_equal(image, _PIXELS[row])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"anchors": np.zeros(0, int)}, "0 anchors"),
        ({"methods": []}, "0 methods"),
        ({"anchors": np.array([0, 9])}, "row 9 is not among the 9 images"),
        ({"labels": ["a"]}, "1 labels for 9 images"),
        (
            {"methods": [*_METHODS, Neighbours("odd", np.zeros((2, 1), int), np.zeros((2, 1)))]},
            r"odd has rows \[2, 1\]",
        ),
    ],
)
def test_invalid_neighbour_galleries_are_refused(change, message):
    arguments = {
        "pixels": _PIXELS,
        "anchors": np.array([0, 3]),
        "methods": _METHODS,
        "labels": None,
    }
    with pytest.raises(ValueError, match=message):
        neighbour_gallery(**{**arguments, **change})


_TRAIN = np.random.default_rng(1).random((6, 9, 9, 1), np.float32)
_EXTREMES = Extremes(
    np.array([[0, 1], [2, 3], [4, 5]]),
    np.ones((3, 2)),
    np.array([[5, 4], [3, 2], [1, 0]]),
    -np.ones((3, 2)),
)


def test_influence_gallery_shows_the_most_helpful_and_harmful_images(monkeypatch):
    def loss(params, example):
        return jnp.sum(params * example)

    rng = np.random.default_rng(2)
    train, test = (rng.standard_normal((count, 4)).astype(np.float32) for count in (6, 3))
    influences = tracin(loss, [Checkpoint(np.zeros(4, np.float32), 1.0)], train, test)
    pictures, captions = [], []
    monkeypatch.setattr(
        neighbour_galleries, "as_rgb", lambda image: pictures.append(image) or np.zeros((2, 2, 3))
    )
    monkeypatch.setattr(
        neighbour_galleries, "label", lambda text, at_most: captions.append(text) or ""
    )
    drawn = influence_gallery(
        influences.extremes(2),
        [2, 0],
        train_pixels=_TRAIN,
        test_pixels=_PIXELS[:3],
        train_labels=list("abcdef"),
        test_labels=list("xyz"),
    )
    assert Image.open(io.BytesIO(drawn)).height > 1000
    expected, texts = [], []
    for row in (2, 0):
        order = np.argsort(-(train @ test[row]))
        expected += [_PIXELS[row], *_TRAIN[order[:2]], *_TRAIN[order[:-3:-1]]]
        best, worst = (["abcdef"[i] for i in rows] for rows in (order[:2], order[:-3:-1]))
        texts += ["xyz"[row], best[0], "most helpful", best[1], worst[0], "most harmful", worst[1]]
    assert captions == texts
    assert len(pictures) == len(expected)
    for image, one in zip(pictures, expected):
        np.testing.assert_array_equal(image, one)


def test_gallery_of_influences_needs_no_labels():
    drawn = influence_gallery(
        _EXTREMES, np.array([1]), train_pixels=_TRAIN, test_pixels=_PIXELS[:3]
    )
    assert Image.open(io.BytesIO(drawn)).width > 500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shown": []}, "0 test images with 2 training images each"),
        (
            {"extremes": Extremes(*[part[:, :0] for part in _EXTREMES])},
            "1 test images with 0 training images each",
        ),
        ({"shown": [3]}, "row 3 is not among the 3 test images"),
        ({"shown": [-1]}, "row -1 is not among the 3 test images"),
        (
            {"train_pixels": _TRAIN[:3], "train_labels": ["a"] * 3},
            "row 3 is not among the 3 training images",
        ),
        ({"test_pixels": _PIXELS[:2]}, "influences on 3 test images, but 2 test images"),
        ({"test_labels": None}, "only one of train_labels and test_labels"),
        ({"train_labels": ["a"] * 5}, "5 labels for 6 training images"),
        ({"test_labels": ["a"] * 5}, "5 labels for 3 test images"),
    ],
)
def test_invalid_influence_galleries_are_refused(change, message):
    arguments = {
        "extremes": _EXTREMES,
        "shown": [1],
        "train_pixels": _TRAIN,
        "test_pixels": _PIXELS[:3],
    }
    labels = {"train_labels": ["a"] * 6, "test_labels": ["a"] * 3}
    with pytest.raises(ValueError, match=message):
        influence_gallery(**{**arguments, **labels, **change})
