"""Trains an encoder and saves it with the statistics that its users need."""

import dataclasses
import pathlib
from collections.abc import Sequence

from examine_jax.common.configuration import to_plain
from examine_jax.common.processes import is_first, wait_for_all
from examine_jax.common.subset import subset_indices
from examine_jax.encoders.adapter import save_adapter
from examine_jax.encoders.base import Base
from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.save import save_encoder
from examine_jax.features.preprocessing import FeatureStatistics
from examine_jax.models.low_rank import LowRank, adapted_layers
from examine_jax.pretraining import Method, PretrainSettings, pretrain
from examine_jax.pretraining.low_rank import LowRankMethod
from examine_jax.training.columns import Data, as_columns
from examine_jax.training.method import IMAGE, to_save
from examine_jax.training.observer import Observer

_REFERENCE_IMAGES = 2000  # training images whose features give the statistics of z-scores


def adapted_method(method: Method, low_rank: LowRank, base: Base | None) -> LowRankMethod:
    """A method that trains pairs beside a base's weights.

    Raises:
        ValueError: there is no base; it has an adapter already; the network has no such layers.
    """
    if base is None:
        raise ValueError("LoRA trains beside the weights of an encoder: give a base (--init)")
    if base.is_adapted:
        raise ValueError(
            f"{base.name} is an adapter itself: merge it with its base first, or train on without "
            "LoRA"
        )
    adapted_layers(method.encoder, low_rank.layers)
    return LowRankMethod(method, low_rank)


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
    base: Base | None = None,
    low_rank: LowRank | None = None,
    observer: Observer | None = None,
    tensorboard: bool = False,
    progress: bool = True,
) -> tuple[Encoder, list[dict[str, int | float]]]:
    """Trains a method and writes workdir/encoder.

    With a base the encoder begins with its weights; the method's heads are fresh. With `low_rank`
    the base's weights stay, pairs beside them are trained, and workdir/encoder is an adapter's
    folder.

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
        base: the encoder that the training goes on from; None: it begins with random weights.
        low_rank: the adapter that is trained in place of the base's weights; None: none.
        observer, tensorboard, progress: as in `pretrain`.

    Returns:
        The encoder, whose weights have an adapter's added; and one record of metrics a step.

    Raises:
        ValueError: the base's network is not the method's (which tensor), or cannot have such an
            adapter; workdir/encoder is the base; or as `pretrain`.
    """
    if base is not None and base.path == (workdir / "encoder").resolve():
        raise ValueError(
            f"{base.path} is the encoder that the training goes on from, and would be replaced: "
            "choose another workdir"
        )
    adapted = None if low_rank is None else adapted_method(method, low_rank, base)
    trained = method if adapted is None else adapted
    result = pretrain(
        trained,
        list(sets),
        training,
        workdir,
        names=None if names is None else [names] * len(sets) if len(sets) > 1 else names,
        start=None if base is None else base.start(trained),
        observer=observer,
        tensorboard=tensorboard,
        progress=progress,
    )
    params, state = result.params, result.state
    if adapted is not None:
        params, state = adapted.merged(params, state)
    method, state = to_save(method, state)
    encoder = Encoder(method, params, state)
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
    if base is not None:
        remembered["base"] = base.described()
    if low_rank is not None:
        remembered["low_rank"] = to_plain(low_rank)
    if is_first():
        folder = workdir / "encoder"
        if adapted is None or base is None:
            save_encoder(folder, method, params, state, remembered)
        else:
            save_adapter(
                folder, adapted, result.params, result.state, base.of_adapter(), remembered
            )
    wait_for_all("encoder")
    return dataclasses.replace(encoder, training=remembered), result.history
