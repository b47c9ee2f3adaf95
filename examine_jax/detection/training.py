"""Trains a detector on images with boxes."""

import dataclasses
import os

import jax
import numpy as np

from examine_jax.common.shapes import Bool, Float, Int, PyTree, UInt8
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.metrics import CocoSettings, Paired, coco_metrics
from examine_jax.detection.prediction import predict
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.problems import Problem
from examine_jax.training.loop import train
from examine_jax.training.method import IMAGE
from examine_jax.training.observer import Observer
from examine_jax.training.run_log import Record
from examine_jax.training.settings import PretrainSettings

_ROUNDED_TO = 8  # rows of boxes: so that one more box compiles nothing new
LEAST_SIDE = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Detector:
    """A trained detector.

    Attributes:
        method: the network and its settings.
        params, state: as the method's functions take them.
        training: notes on the training; plain values.
    """

    method: FasterRCNN
    params: PyTree
    state: PyTree
    training: dict[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class PaddedBoxes:
    """Boxes as arrays of one shape: the columns of a training set.

    Attributes:
        boxes: float32 [N, M, 4], corners; M is the most boxes of an image, rounded up to 8.
        labels: int32 [N, M].
        mask: bool [N, M]: which rows are boxes.
    """

    boxes: Float[np.ndarray, "images most 4"]
    labels: Int[np.ndarray, "images most"]
    mask: Bool[np.ndarray, "images most"]


@dataclasses.dataclass(frozen=True, eq=False)
class ValidationSet:
    """Images on which a detector is measured while it trains.

    Attributes:
        images: uint8 [N, H, W, C], of the network's size.
        boxes: in the pixels of `images`.
        every: steps between two measurements.
    """

    images: UInt8[np.ndarray, "images height width channels"]
    boxes: BoxSet
    every: int


def pad_boxes(boxes: BoxSet) -> PaddedBoxes:
    """The boxes of each image in rows of one length."""
    counts = boxes.counts()
    most = max(1, -(-int(counts.max(initial=0)) // _ROUNDED_TO)) * _ROUNDED_TO
    corners = np.zeros((len(boxes.images), most, 4), np.float32)
    labels = np.zeros((len(boxes.images), most), np.int32)
    order = np.argsort(boxes.image, kind="stable")
    image = boxes.image[order]
    place = np.arange(len(image)) - np.searchsorted(image, image, side="left")
    corners[image, place] = boxes.corners[order]
    labels[image, place] = boxes.label[order]
    return PaddedBoxes(corners, labels, np.arange(most) < counts[:, None])


def large_enough(
    boxes: BoxSet, least_side: float = LEAST_SIDE
) -> tuple[BoxSet, tuple[Problem, ...]]:
    """The boxes whose sides have at least `least_side` pixels, and a problem for each other one."""
    sides = (boxes.corners[:, 2:] - boxes.corners[:, :2]).min(axis=1, initial=np.inf)
    problems = []
    for row in np.flatnonzero(sides < least_side).tolist():
        image = int(boxes.image[row])
        height, width = boxes.sizes[image]
        problems.append(
            Problem(
                boxes.file_of(image),
                None if boxes.line is None or boxes.line[row] < 0 else int(boxes.line[row]),
                boxes.images[image],
                f"the box is {sides[row]:.2g} pixels thin where the image is shown with {width} x "
                f"{height} pixels: it is left out",
            )
        )
    return boxes.take(sides >= least_side), tuple(problems)


def train_detector(
    method: FasterRCNN,
    images: UInt8[np.ndarray, "images height width channels"],
    boxes: BoxSet,
    settings: PretrainSettings,
    workdir: str | os.PathLike[str],
    *,
    start: tuple[PyTree, PyTree] | None = None,
    repeats: Float[np.ndarray, " images"] | None = None,
    validation: ValidationSet | None = None,
    tensorboard: bool = False,
    progress: bool = True,
) -> tuple[Detector, list[Record]]:
    """Trains a detector; the same call with the same workdir continues an interrupted run.

    Args:
        method: what is trained.
        images: uint8 [N, H, W, C], of the network's size.
        boxes: on these images, in their order and in their pixels. Images without boxes are
            negatives.
        settings: how it is trained; one phase.
        workdir: receives checkpoints/, metrics.jsonl and pretraining.json.
        start: (params, state) to begin with; None: random ones.
        repeats: how often each image occurs in an epoch, on average; None: once.
        validation: is measured while training; it does not change the result.
        tensorboard, progress: as in `training.loop.train`.

    Returns:
        The detector, and one record a step; the validation's AP and AP50 are in the records of
        its steps.

    Raises:
        ValueError: there is no box at all; images and boxes do not belong together; the network
            freezes weights that nobody trained; or as `train`.
    """
    check_training_set(method, images, boxes)
    if method.freezes and start is None:
        raise ValueError(
            f"frozen_stages={method.frozen_stages} and batch_norm={method.batch_norm!r} keep "
            "random weights: start from a trained encoder or detector, or freeze nothing"
        )
    padded = pad_boxes(boxes)
    trained = train(
        method,
        {
            IMAGE: images,
            "boxes": padded.boxes,
            "box_labels": padded.labels,
            "box_mask": padded.mask,
        },
        settings,
        workdir,
        names=boxes.images,
        start=start,
        repeats=None if repeats is None else repeats.tolist(),
        observer=None if validation is None else _observer(method, validation),
        tensorboard=tensorboard,
        progress=progress,
    )
    return Detector(method, trained.params, trained.state), trained.history


def check_training_set(
    method: FasterRCNN, images: UInt8[np.ndarray, "images height width channels"], boxes: BoxSet
) -> None:
    """Raises ValueError if a detector cannot be trained on these images and boxes."""
    if len(images) != len(boxes.images):
        raise ValueError(f"{len(images)} images, but boxes on {len(boxes.images)}: give the same")
    expected = (method.height, method.width, method.encoder.channels)
    if images.shape[1:] != expected:
        raise ValueError(
            f"images are {images.shape[1:]} (height, width, channels), the network takes {expected}"
        )
    if boxes.classes != method.classes:
        raise ValueError(f"the boxes are of {boxes.classes}, the network of {method.classes}")
    if not len(boxes):
        raise ValueError(
            f"there is no box on any of the {len(images)} training images: nothing can be learned"
        )
    if (boxes.sizes != (method.height, method.width)).any():
        raise ValueError("the boxes are in other pixels than the images: use scaled_to")


def _observer(method: FasterRCNN, validation: ValidationSet) -> Observer:
    def observe(step: int, params: PyTree, state: PyTree) -> dict[str, float]:
        here = jax.tree.map(np.asarray, params), jax.tree.map(np.asarray, state)
        names = validation.boxes.images
        found = predict(method, here[0], here[1], validation.images, names=names)
        metrics = coco_metrics(Paired(validation.boxes, found), CocoSettings())
        return {"validation_ap": metrics.ap, "validation_ap50": metrics.ap50}

    return Observer(validation.every, observe)
