"""Trains an encoder and saves it with the statistics that its users need."""

import dataclasses
import pathlib
from collections.abc import Sequence

from examine_jax.common.configuration import to_plain
from examine_jax.common.processes import is_first, wait_for_all
from examine_jax.common.subset import subset_indices
from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.save import save_encoder
from examine_jax.features.preprocessing import FeatureStatistics
from examine_jax.pretraining import Method, PretrainSettings, pretrain
from examine_jax.training.columns import Data, as_columns
from examine_jax.training.method import IMAGE, to_save
from examine_jax.training.observer import Observer

_REFERENCE_IMAGES = 2000  # training images whose features give the statistics of z-scores


def train_and_save(
    method: Method,
    sets: Sequence[Data],
    training: PretrainSettings,
    workdir: pathlib.Path,
    *,
    architecture: str,
    names: Sequence[str] | None = None,
    bits_stored: int | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int = 1,
    observer: Observer | None = None,
    tensorboard: bool = False,
    progress: bool = True,
) -> tuple[Encoder, list[dict[str, int | float]]]:
    """Trains a method and writes workdir/encoder.

    The encoder's config.json also has the feature statistics of the first training set, by which
    features are z-scored.

    Args:
        method: what is trained.
        sets: one training set for each phase: images, or columns by name.
        training: how it is trained.
        workdir: receives the run's files and encoder/.
        architecture: the architecture's name, for config.json.
        names: the images' names, for messages.
        bits_stored: bits of the original images' values, which were scaled to 8 bits; None if
            unknown.
        intensity_range, dicom_window: how DICOM values became 8 bits, for later images.
        observer, tensorboard, progress: as in `pretrain`.

    Returns:
        The encoder, and one record of metrics a step.
    """
    result = pretrain(
        method,
        list(sets),
        training,
        workdir,
        names=None if names is None else [names] * len(sets) if len(sets) > 1 else names,
        observer=observer,
        tensorboard=tensorboard,
        progress=progress,
    )
    method, state = to_save(method, result.state)
    encoder = Encoder(method, result.params, state)
    first = as_columns(sets[0])[IMAGE]
    statistics = FeatureStatistics.of(
        encoder.embed(first[subset_indices(len(first), _REFERENCE_IMAGES, training.seed)])
    )
    remembered = {
        "architecture": architecture,
        "settings": to_plain(training),
        "images": len(first),
        "steps": len(result.history),
        "final_loss": result.history[-1]["loss"],
        "bits_stored": bits_stored,
        "intensity_range": intensity_range,
        "dicom_window": dicom_window,
        "feature_mean": statistics.mean.tolist(),
        "feature_deviation": statistics.deviation.tolist(),
    }
    if is_first():
        save_encoder(workdir / "encoder", method, result.params, state, remembered)
    wait_for_all("encoder")
    return dataclasses.replace(encoder, training=remembered), result.history
