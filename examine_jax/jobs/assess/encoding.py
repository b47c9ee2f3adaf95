"""How the main job reads images, trains its encoder and embeds."""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import Float
from examine_jax.encoders import Encoder
from examine_jax.encoders.train import train_and_save
from examine_jax.evaluation.noise_experiment import clean_then_mixed, mixed_training_set
from examine_jax.features.preprocessing import FeatureStatistics
from examine_jax.images import ImageSet, load_images
from examine_jax.images.decoding.describing import Describe
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.sources.load import dicom_settings
from examine_jax.images.sources.sample import sample_region
from examine_jax.jobs.assess.settings import AssessSettings
from examine_jax.jobs.embedded_together import embed_together
from examine_jax.jobs.headers import JobHeaders
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining import Method, PretrainSettings, method_preset
from examine_jax.pretraining.recipes import recipe, recipe_preset, with_batch_size
from examine_jax.quality import describe
from examine_jax.training.columns import RowSpec
from examine_jax.training.method import IMAGE
from examine_jax.training.programs import compile_meanwhile


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedSets:
    """All images of a run.

    Attributes:
        assessed: the images to assess, with descriptions.
        training: the images to train on.
        reference: [M, K] descriptions of clean reference images, if there are any.
        stored_names: the names by which the assessed images' files are found.
        reference_modalities: [M], of the reference images.
    """

    assessed: ImageSet
    training: ImageSet
    reference: Float[np.ndarray, "m k"] | None
    stored_names: tuple[str, ...]
    reference_modalities: tuple[str, ...] = ()


def load_sets(
    images: Any,
    pretrain_images: Any,
    method: Method,
    trained: Encoder | None,
    asked: Mapping[str, Any],
    progress: bool,
    *,
    on_images: Callable[[int], None],
    reference_images: Any = None,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
    headers: JobHeaders,
) -> LoadedSets:
    """Reads all images that the job needs; those that are assessed are described as stored.

    Their names are hidden as `headers` says. `on_images` is called with the number of files to
    train on once one is read, and again after each.
    """
    stored_names: dict[str, tuple[str, ...]] = {}
    trained_on = images if pretrain_images is None else pretrain_images
    channels = method.encoder.channels
    size = method.encoder.image_size if trained is None else trained.load_size
    bits = None if trained is None else trained.training.get("bits_stored")

    def load(
        source: Any, bits: int | None, describe: Describe | None = None, unit: str = "images"
    ) -> ImageSet:
        with progress_bar(unit, progress) as report:

            def on_progress(done: int, count: int) -> None:
                if done and source is trained_on:
                    on_images(count)
                report(done, count)

            found = load_images(
                source,
                image_size=size,
                channels=channels,
                bits_stored=bits,
                **dicom_settings(source, trained.training if trained else {}, **asked),
                describe=describe,
                slicing=slicing,
                tiling=tiling,
                on_progress=on_progress,
            )
        stored_names[os.fspath(source)] = found.names
        found = headers.images(source, found)
        for note in found.notes if progress else ():
            print(f"images: {note}", file=sys.stderr)
        return found

    if images is None:
        training = sample_region("training", image_size=size, channels=channels)
        if pretrain_images is None:
            on_images(len(training))
        assessed = sample_region("assessed", image_size=size, channels=channels, describe=describe)
    else:
        assessed = load(images, bits, describe)
        training = assessed
    if pretrain_images is not None:
        training = load(pretrain_images, bits)
        if images is not None and training.bits_stored != assessed.bits_stored:
            # Both sets need the training set's scale.
            assessed = load(images, training.bits_stored, describe)
    if len(assessed) < 2:
        raise ValueError(f"{images} holds one readable image; leaving one out needs at least two")
    own = assessed.names if images is None else stored_names[os.fspath(images)]
    if reference_images is None:
        return LoadedSets(assessed, training, None, own)
    reference = load(reference_images, assessed.bits_stored, describe, "reference images")
    return LoadedSets(
        assessed,
        training,
        reference.descriptions,
        own,
        headers.modalities(reference_images, stored_names[os.fspath(reference_images)]),
    )


def check_fits(settings: AssessSettings, trained: Encoder) -> None:
    """Refuses another image size or number of channels than the given encoder's."""
    for name in ("image_size", "channels"):
        asked, own = getattr(settings, name), getattr(trained, name)
        if asked not in (None, own):
            raise ValueError(f"{name} {asked}, but the encoder has {own}: leave {name} out")


def method_and_training(settings: AssessSettings) -> tuple[Method, PretrainSettings]:
    """The method, and the training settings before the number of images is known."""
    chosen = named_architecture(
        settings.architecture, image_size=settings.image_size, channels=settings.channels
    )
    if settings.pooling is not None:
        encoder: Any = chosen.encoder
        if not hasattr(encoder, "pooling"):
            raise ValueError(
                f"pooling needs a vision transformer's tokens: {settings.architecture} has none"
            )
        chosen = dataclasses.replace(
            chosen, encoder=dataclasses.replace(encoder, pooling=settings.pooling)
        )
    training = settings.training or recipe(settings.architecture, settings.method)
    preset = recipe_preset(settings.architecture, settings.method)
    method, _ = method_preset(
        settings.method, chosen, preset=preset, steps=training.phases[0].steps
    )
    return method, training


def compile_while_reading(
    method: Method, training: PretrainSettings, settings: AssessSettings
) -> None:
    """Begins to compile what `train_encoder` runs first on at least a batch of images.

    See `compile_meanwhile`.
    """
    side, channels = method.encoder.image_size, method.encoder.channels
    row = RowSpec.of({IMAGE: np.empty((0, side, side, channels), np.uint8)})
    compile_meanwhile(method, _resolved(training, settings, training.batch_size), row)


def _mixes(training: PretrainSettings, settings: AssessSettings) -> bool:
    """Whether a second phase trains on clean and noisy images."""
    return (
        settings.noise is not None
        and settings.noise_training == "clean_then_mixed"
        and len(training.phases) == 1
    )


def _resolved(
    training: PretrainSettings, settings: AssessSettings, images: int
) -> PretrainSettings:
    """The training settings for so many images."""
    phases = training.phases
    if _mixes(training, settings):
        phases = clean_then_mixed(phases[0])
    training = with_batch_size(training, min(training.batch_size, images))
    return dataclasses.replace(training, seed=settings.seed, phases=phases)


def train_encoder(
    method: Method,
    training: PretrainSettings,
    images: ImageSet,
    mean: float,
    settings: AssessSettings,
    workdir: pathlib.Path,
    asked: Mapping[str, Any],
    progress: bool,
) -> tuple[Encoder, tuple[np.ndarray, np.ndarray]]:
    clean = images.pixels
    sets = [clean]
    if settings.noise is not None and _mixes(training, settings):
        sets.append(mixed_training_set(clean, settings.noise, mean, settings.seed))
    training = _resolved(training, settings, len(clean))
    encoder, history = train_and_save(
        method,
        sets,
        training,
        workdir,
        architecture=settings.architecture,
        names=images.names,
        bits_stored=images.bits_stored,
        intensity_range=asked["intensity_range"],
        dicom_window=asked["dicom_window"] or 1,
        progress=progress,
    )
    steps = np.array([record["step"] for record in history])
    losses = np.array([record["loss"] for record in history], np.float64)
    return encoder, (steps, losses)


def training_statistics(encoder: Encoder) -> FeatureStatistics | None:
    """The feature statistics in the encoder's folder; None if it was trained elsewhere."""
    try:
        mean, deviation = (
            np.array(encoder.training[key], np.float64)
            for key in ("feature_mean", "feature_deviation")
        )
    except KeyError:
        return None
    return FeatureStatistics(mean, deviation)


def embedded(encoder: Encoder, images: ImageSet, progress: bool) -> Float[np.ndarray, "n d"]:
    with progress_bar("embedded", progress) as report:
        return embed_together(encoder, images.pixels, images.names, on_progress=report)
