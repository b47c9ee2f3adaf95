"""SimCLR on the unlabelled images, with the detection paper's views."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from examine_jax.common.configuration import to_plain
from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree, UInt8
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.encoders.save import save_encoder
from examine_jax.images.augmentation import (
    Compose,
    Flip,
    GaussianBlur,
    RandomResizedCrop,
    RelativeNoise,
    TwoViews,
)
from examine_jax.images.equalisation import equalised
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import Constant, PixelScale, SimCLR, WarmupCosine, pretrain
from examine_jax.studies.common.notes import note
from examine_jax.studies.common.training_length import training_watch
from examine_jax.studies.detection.settings import DetectionStudySettings
from examine_jax.training.method import to_save
from examine_jax.training.non_finite import NonFiniteLossError
from examine_jax.training.optimiser import Schedule
from examine_jax.training.settings import Phase, PretrainSettings


def simclr(settings: DetectionStudySettings, detector: FasterRCNN) -> SimCLR:
    """The method, on the detector's encoder.

    Both views are cropped, flipped, blurred and made noisy; the text has no other change. (Its
    equalisation is done once for all images before.)
    """
    encoder = dataclasses.replace(detector.encoder, image_size=settings.view_size)
    view = Compose(
        (
            RandomResizedCrop(settings.view_size, (settings.crop, 1.0), interpolation="bilinear"),
            Flip(),
            GaussianBlur(settings.blur_sigma, settings.blur_kernel, probability=1.0),
            RelativeNoise(settings.noise),
        )
    )
    return SimCLR(
        encoder=encoder,
        augmentation=TwoViews(view, view),
        projector=HeadConfig(settings.projector, hidden_bias=True),
        temperature=settings.temperature,
        pixels=detector.pixels if settings.normalise_views else PixelScale(),
    )


def pretrain_settings(
    settings: DetectionStudySettings, num_images: int, seed: int
) -> PretrainSettings:
    """How the method is trained.

    Raises:
        ValueError: there are fewer than two images.
    """
    if num_images < 2:
        raise ValueError(
            f"there are {num_images} unlabelled images to pre-train on: give more images or "
            "smaller labelled shares"
        )
    batch = min(settings.pretrain_batch, num_images)
    rate = settings.pretrain_learning_rate
    schedule: Schedule = Constant(rate)
    if settings.pretrain_schedule == "cosine":
        # WarmupCosine's rate is that of a batch of 256.
        schedule = WarmupCosine(rate * 256 / batch, warmup=0.0)
    steps = settings.pretrain_steps
    phase = Phase(epochs=settings.pretrain_epochs) if steps is None else Phase(steps=steps)
    return PretrainSettings(
        (phase,),
        batch_size=batch,
        optimiser=settings.pretrain_optimiser,
        schedule=schedule,
        seed=seed,
    )


def pretrain_encoder(
    folder: pathlib.Path,
    pixels: UInt8[np.ndarray, "n h w c"],
    settings: DetectionStudySettings,
    detector: FasterRCNN,
    seed: int,
    start: tuple[PyTree, PyTree] | None,
    progress: bool,
) -> dict[str, Any]:
    """Trains the encoder, which stays in folder/encoder; a training that was killed continues.

    Args:
        folder: of this training.
        pixels: the unlabelled images.
        settings: of the study.
        detector: whose encoder is trained.
        seed: of the training.
        start: the encoder's (parameters, batch statistics) to begin with; None: random ones.
        progress: show it on stderr.

    Returns:
        The training's record, or "diverged" with the reason.
    """
    method = simclr(settings, detector)
    training = pretrain_settings(settings, len(pixels), seed)
    given = None
    if start is not None:
        params, state = method.init(jax.random.key(seed), {})
        encoder, stats = on_device(start)
        given = (
            {**params, "encoder": encoder},
            {"batch_stats": {**state["batch_stats"], "encoder": stats}},
        )
    note(f"pre-training on {len(pixels)} unlabelled images: {folder}", progress)
    summarise = training_watch()
    try:
        trained = pretrain(
            method,
            equalised(pixels) if settings.equalise else pixels,
            training,
            folder,
            start=given,
            progress=progress,
        )
    except NonFiniteLossError as error:  # the same training would diverge again
        return {"diverged": str(error)}
    # Not `train_and_save`: it embeds the images, which have another size than the views.
    saved, state = to_save(method, trained.state)
    remembered = {"settings": to_plain(training), "images": len(pixels)}
    save_encoder(folder / "encoder", saved, trained.params, state, remembered)
    return summarise(trained.history)
