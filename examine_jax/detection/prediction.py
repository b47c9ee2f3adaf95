"""The detections of a trained detector on images."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.post_processing import Detections
from examine_jax.labelled.boxes.box_set import BoxSet


def predict(
    method: FasterRCNN,
    params: PyTree,
    state: PyTree,
    images: Any,
    *,
    names: Sequence[str],
    batch_size: int = 8,
    on_progress: Callable[[int, int], None] | None = None,
) -> BoxSet:
    """The detections of all images, with scores, in the pixels of the network's input.

    The last batch is padded with black images, so that one program serves all batches.

    Args:
        method, params, state: of the detector.
        images: uint8 [N, height, width, channels], or anything with len() and .shape that gives
            such images for int32 indices.
        names: of the images.
        batch_size: images a batch.
        on_progress: called as on_progress(done, count) after each batch.

    Raises:
        ValueError: the images are not of the network's size or type, or there is not one name each.
    """
    expected = (method.height, method.width, method.encoder.channels)
    dtype = getattr(images, "dtype", np.dtype(np.uint8))
    if tuple(images.shape[1:]) != expected or dtype != np.uint8:
        raise ValueError(
            f"the detector takes uint8 images {list(expected)} (height, width, channels), got "
            f"{dtype} {list(images.shape[1:])}"
        )
    if len(names) != len(images):
        raise ValueError(f"{len(names)} names for {len(images)} images: give one each")
    if batch_size < 1:
        raise ValueError(f"predict: batch_size must be at least 1, got {batch_size}")
    parts: list[Detections] = []
    for start in range(0, len(images), batch_size):
        rows = np.arange(start, min(start + batch_size, len(images)), dtype=np.int32)
        batch = np.zeros((batch_size, *expected), np.uint8)
        batch[: len(rows)] = images[rows]
        found = _detect(method, params, state, batch)
        parts.append(Detections(*(np.asarray(part)[: len(rows)] for part in found)))  # type: ignore[arg-type]
        if on_progress is not None:
            on_progress(int(rows[-1]) + 1, len(images))
    return _as_boxes(method, parts, tuple(names))


def _as_boxes(method: FasterRCNN, parts: Sequence[Detections], names: tuple[str, ...]) -> BoxSet:
    sizes = np.tile(np.array([[method.height, method.width]], np.int32), (len(names), 1))
    if not parts:
        none = np.zeros(0, np.int32)
        corners = np.zeros((0, 4))
        return BoxSet(names, sizes, method.classes, none, none, corners, score=np.zeros(0))
    corners, score, label, mask = (np.concatenate(own) for own in zip(*parts))
    image, place = np.nonzero(mask)
    return BoxSet(
        names,
        sizes,
        method.classes,
        image,
        label[image, place],
        corners[image, place],
        score=score[image, place],
    )


@functools.partial(jax.jit, static_argnums=0)
def _detect(method: FasterRCNN, params: PyTree, state: PyTree, images: Any) -> Detections:
    return method.detect(params, state, images)
