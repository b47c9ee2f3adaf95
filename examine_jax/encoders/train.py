"""Train an encoder and save it with what its later users need."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from examine_jax.common.configuration import to_plain
from examine_jax.common.subset import subset_indices
from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.save import save_encoder
from examine_jax.evaluation.monitor import FeatureMonitor
from examine_jax.features.preprocessing import FeatureStatistics
from examine_jax.pretraining import Method, PretrainSettings, pretrain
from examine_jax.pretraining.methods.byol_tracin import BYOLTracIn

_REFERENCE_IMAGES = 2000  # training images whose features later z-scores refer to


def train_and_save(
    method: Method,
    sets: Sequence[Any],
    training: PretrainSettings,
    workdir: pathlib.Path,
    *,
    architecture: str,
    names: Sequence[str] | None = None,
    bits_stored: int | None = None,
    watching: FeatureMonitor | None = None,
    tensorboard: bool = False,
    progress: bool = True,
) -> tuple[Encoder, list[dict[str, int | float]]]:
    """Trains in phases, one a set of pixels, and writes workdir/encoder with what later users of the encoder need to know: the first set's
    feature statistics, by which features are z-scored, and the bits by which its images were brought to 8."""
    result = pretrain(
        method,
        list(sets),
        training,
        workdir,
        names=None if names is None else [names] * len(sets) if len(sets) > 1 else names,
        watching=watching,
        tensorboard=tensorboard,
        progress=progress,
    )
    state = result.state
    if isinstance(method, BYOLTracIn):  # the encoder is to serve where the labels and the scorer are not
        method = dataclasses.replace(method, labels=(), scorer=None)
        state = {name: part for name, part in state.items() if name != "scorer"}
    encoder = Encoder(method, result.params, state)
    first = sets[0]
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
        "feature_mean": statistics.mean.tolist(),
        "feature_deviation": statistics.deviation.tolist(),
    }
    save_encoder(workdir / "encoder", method, result.params, state, remembered)
    return dataclasses.replace(encoder, training=remembered), result.history
