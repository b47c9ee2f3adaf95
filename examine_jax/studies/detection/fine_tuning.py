"""The study's detectors: from each start, on each labelled share."""

import dataclasses
import os
import pathlib
from typing import Any

import jax
import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.shapes import PyTree, UInt8
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.prediction import predict
from examine_jax.detection.starting_weights import (
    detector_from_torchvision,
    graft_encoder,
    on_encoder,
)
from examine_jax.detection.training import train_detector
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.studies.common import kept
from examine_jax.studies.common.training_length import training_watch
from examine_jax.studies.detection.results import measured, store
from examine_jax.studies.detection.sets import Split, StudyImages
from examine_jax.studies.detection.settings import DetectionStudySettings
from examine_jax.training.non_finite import NonFiniteLossError

Weights = tuple[PyTree, PyTree]


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """X: what a detector starts from before any pre-training of the study.

    Attributes:
        encoder: a trained encoder; the other parts of the detector are random.
        init: a torchvision detector's .safetensors file.
    """

    encoder: Encoder | None = None
    init: pathlib.Path | None = None

    @property
    def name(self) -> str:
        """What the page calls it."""
        if self.init is not None:
            return self.init.name
        assert self.encoder is not None
        return f"{type(self.encoder.method).__name__}'s encoder"

    def fitted(self, detector: FasterRCNN) -> FasterRCNN:
        """The detector on the start's network, with its scaling of pixels.

        Raises:
            ValueError: the encoder is no ResNet, or takes other channels.
        """
        return detector if self.encoder is None else on_encoder(detector, self.encoder)

    def weights(self, detector: FasterRCNN, seed: int) -> Weights:
        """The detector's (params, state)."""
        key = jax.random.key(seed)
        if self.init is not None:
            params, state, _ = detector_from_torchvision(self.init, detector, key)
            return params, state
        assert self.encoder is not None
        params, state, _ = graft_encoder(detector, *detector.init(key, {}), self.encoder)
        return params, state

    def encoder_weights(self, detector: FasterRCNN, seed: int) -> Weights:
        """The encoder's (parameters, batch statistics)."""
        params, stats = detector.join(*self.weights(detector, seed))
        return params["encoder"], stats["encoder"]

    def digest(self) -> str:
        """A short text of the weights."""
        if self.init is not None:
            return digest_arrays((np.fromfile(self.init, np.uint8),))
        assert self.encoder is not None
        leaves = jax.tree.leaves((self.encoder.params, self.encoder.state))
        return digest_arrays(map(np.asarray, leaves))


def find_start(
    encoder: str | os.PathLike[str] | None, init: str | os.PathLike[str] | None
) -> Start | None:
    """The start that the user names, or None.

    Raises:
        ValueError: both are given.
        OSError: a file cannot be read.
    """
    if encoder is not None and init is not None:
        raise ValueError("--encoder and --init both say what a detector starts from: give one")
    if encoder is not None:
        return Start(load_encoder(encoder))
    return None if init is None else Start(init=pathlib.Path(init))


def fine_tune(
    folder: pathlib.Path,
    detector: FasterRCNN,
    images: StudyImages,
    split: Split,
    share: float,
    settings: DetectionStudySettings,
    seed: int,
    start: Weights | None,
    progress: bool,
) -> dict[str, Any]:
    """Trains a detector on the labelled images and measures it on the test images.

    Returns:
        The training's record and "figures", or "diverged" with the reason.
    """
    rows = split.labelled(share)
    boxes = images.boxes.select(rows)
    recipe = settings.recipe
    repeats = None if recipe.repeat is None else recipe.repeat.of(boxes)
    training = recipe.settings(
        len(rows) if repeats is None else int(repeats.sum()),
        steps=settings.steps,
        batch_size=min(settings.batch_size or recipe.batch_size, len(rows)),
        seed=seed,
    )
    summarise = training_watch()
    try:
        trained, history = train_detector(
            detector,
            images.images.pixels[rows],
            boxes,
            training,
            folder,
            start=start,
            repeats=repeats,
            progress=progress,
        )
    except NonFiniteLossError as error:  # the same training would diverge again
        return {"diverged": str(error)}
    record: dict[str, Any] = dict(summarise(history))

    def detect(part: np.ndarray) -> BoxSet:
        pixels: UInt8[np.ndarray, "n h w c"] = images.images.pixels[part]
        names = tuple(images.images.names[row] for row in part)
        return predict(trained.method, trained.params, trained.state, pixels, names=names)

    truth = images.boxes.select(split.test)
    groups = None if images.groups is None else images.groups[split.test]
    found = detect(split.test)
    kept.arrays(folder / "detections.npz", lambda: store(found))
    record["figures"] = measured(truth, found, settings, groups, seed)
    validation = images.boxes.select(split.validation)
    if len(validation):
        own = measured(
            validation,
            detect(split.validation),
            dataclasses.replace(settings, draws=0),
            None,
            seed,
        )
        record["validation_ap"] = own["ap"]
    return record


def with_encoder(detector: FasterRCNN, weights: Weights, folder: pathlib.Path) -> Weights:
    """A detector's weights with the encoder that pre-training left in `folder`."""
    params, state, _ = graft_encoder(detector, *weights, load_encoder(folder))
    return params, state
