"""Images that several processes search together: each searches its own batches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from examine_jax.common.processes import gather_arrays, is_alone
from examine_jax.common.shapes import UInt8
from examine_jax.detection.prediction import predict
from examine_jax.detection.training import Detector
from examine_jax.jobs.embedded_together import check_same_images, own_batches
from examine_jax.labelled.boxes.box_set import BoxSet


def predict_together(
    detector: Detector,
    pixels: UInt8[np.ndarray, "n height width channels"],
    names: Sequence[str],
    *,
    batch_size: int = 8,
    on_progress: Callable[[int, int], None] | None = None,
) -> BoxSet:
    """The detections on all images; each process searches its own batches.

    Args and errors are those of `predict` and `embed_together`.
    """
    variables = (detector.method, detector.params, detector.state)
    how: dict[str, Any] = {"batch_size": batch_size, "on_progress": on_progress}
    if is_alone():
        return predict(*variables, pixels, names=names, **how)
    check_same_images(pixels, names)
    part, own = own_batches(pixels, batch_size), own_batches(np.arange(len(names)), batch_size)
    found = predict(*variables, part, names=[names[row] for row in own], **how)
    fields = (own[found.image], found.label, found.corners, found.score)
    image, label, corners, score = (
        np.concatenate(gather_arrays(np.asarray(field))) for field in fields
    )
    method = detector.method
    sizes = np.tile(np.array([[method.height, method.width]], np.int32), (len(names), 1))
    image = image.astype(found.image.dtype)
    return BoxSet(tuple(names), sizes, method.classes, image, label, corners, score=score)
