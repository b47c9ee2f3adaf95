"""The study's encoders, one for each method and seed; a training that was killed continues."""

import dataclasses
import hashlib
import math
import pathlib
from typing import Any

import numpy as np

from examine_jax.common.configuration import to_plain
from examine_jax.encoders import Encoder, load_encoder, save_encoder
from examine_jax.encoders.scorer import load_scorer
from examine_jax.evaluation.classifier_training import DivergedError
from examine_jax.evaluation.untrained import untrained_encoder
from examine_jax.pretraining import Phase, PretrainSettings, method_preset, pretrain
from examine_jax.pretraining.extra_positives import FalseNegatives, TracInPositive
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.methods.byol_feature_transformation import BYOLFeatureTransformation
from examine_jax.pretraining.methods.byol_tracin import LABEL, BYOLTracIn
from examine_jax.studies.byol_tracin.settings import PRETRAINED, StudySettings
from examine_jax.studies.common import kept
from examine_jax.studies.common.notes import note
from examine_jax.studies.common.training_length import (
    seconds_a_step,
    trained_once,
    training_record,
    training_watch,
)
from examine_jax.training.method import IMAGE, uses_column
from examine_jax.training.non_finite import NonFiniteLossError


def train(
    name: str,
    pixels: Any,
    codes: np.ndarray,
    workdir: pathlib.Path,
    settings: StudySettings,
    seed: int,
    progress: bool,
) -> Encoder:
    """Returns the encoder in workdir/seed_S/NAME/encoder, a plain BYOL's; trains it if necessary.

    Args:
        name: of the method.
        pixels: the training images.
        codes: their classes, used to count right extra positives and to choose byol_sup's; no other
            method sees them.
        workdir: of all seeds.
        settings: of the study.
        seed: of the training.
        progress: show it on stderr.

    Raises:
        DivergedError: a ValueError; the training diverged, now or in an earlier run: it would
            diverge again.
        ValueError, OSError: as `pretrain`.
    """
    folder = workdir / f"seed_{seed}" / name
    record = trained_once(
        folder, lambda: _train(folder, name, pixels, codes, workdir, settings, seed, progress)
    )
    if "diverged" in record:
        raise DivergedError(record["diverged"])
    return load_encoder(folder / "encoder")


def _train(
    folder: pathlib.Path,
    name: str,
    pixels: Any,
    codes: np.ndarray,
    workdir: pathlib.Path,
    settings: StudySettings,
    seed: int,
    progress: bool,
) -> dict[str, Any]:
    """Trains, leaves the encoder in `folder`; returns the record, or "diverged" and the reason."""
    scorer = workdir / f"seed_{seed}" / "byol"
    if name.endswith(PRETRAINED) and settings.scorer is None and not (scorer / "encoder").exists():
        reason = training_record(workdir, seed, "byol")["diverged"]
        return {"diverged": f"there is no scorer, as byol diverged: {reason}"}
    method, training = resolve(name, pixels, workdir, settings, seed)
    note(
        f"seed {seed}: {name}, {training.phases[0].steps} steps of {training.batch_size} images",
        progress,
    )
    summarise = training_watch()
    try:
        data = {IMAGE: pixels, LABEL: codes} if uses_column(method, LABEL) else pixels
        result = pretrain(method, data, training, folder, progress=progress)
    except NonFiniteLossError as error:
        return {"diverged": str(error)}
    byol = method if isinstance(method, BYOL) else method.byol
    # The encoder is used where labels and scorer do not exist: it is saved without them.
    state = {key: result.state[key] for key in ("batch_stats", "target")}
    save_encoder(
        folder / "encoder",
        byol,
        result.params,
        state,
        {"trained_as": name, "settings": to_plain(training)},
    )
    last = result.history[-max(1, len(result.history) // 4) :]

    record: dict[str, Any] = summarise(result.history) | {
        "final_loss": float(np.mean([step["loss"] for step in last]))
    }
    for key in ("extra_positives", "extra_positives_right", "extra_positives_chance"):
        if key in last[0]:
            values = np.array([step[key] for step in last])
            if np.isfinite(values).any():
                record[key] = float(np.nanmean(values))
    return record


def resolve(
    name: str, pixels: Any, workdir: pathlib.Path, settings: StudySettings, seed: int
) -> tuple[BYOL | BYOLTracIn | BYOLFeatureTransformation, PretrainSettings]:
    """Returns the method and its training, which has as many steps as every other method's."""
    count = steps(pixels, workdir, settings)
    method, training = _preset(name, settings, count)
    if name.endswith(PRETRAINED):
        folder = settings.scorer or (workdir / f"seed_{seed}" / "byol" / "encoder").resolve()
        method = dataclasses.replace(method, scorer=load_scorer(folder))
    batch_size = _batch_size(training, pixels, settings)
    return method, dataclasses.replace(
        training, phases=(Phase(steps=count),), batch_size=batch_size, seed=seed
    )


def steps(pixels: Any, workdir: pathlib.Path, settings: StudySettings) -> int:
    """Returns the length of every pre-training of all seeds."""
    if settings.steps is not None:
        return settings.steps
    if settings.minutes is not None:
        return max(2, math.ceil(60 * settings.minutes / byol_cost(pixels, workdir, settings)))
    _, training = _preset("byol", settings, None)
    return training.phases[0].count(max(1, len(pixels) // _batch_size(training, pixels, settings)))


def byol_cost(pixels: Any, workdir: pathlib.Path, settings: StudySettings) -> float:
    """Returns the seconds of a step of plain BYOL, measured once and kept."""

    def measure() -> dict[str, float]:
        method, training = _preset("byol", settings, None)
        batch_size = _batch_size(training, pixels, settings)
        return {
            "seconds_a_step": seconds_a_step(
                method, pixels[np.arange(batch_size, dtype=np.int32)], batch_size
            )
        }

    return float(kept.json(workdir / "byol_step.json", measure)["seconds_a_step"])


def untrained(settings: StudySettings, pixels: Any, seed: int) -> Encoder:
    """Returns the control: the same network at its initialisation."""
    method, _ = _preset("byol", settings, None)
    return untrained_encoder(method, pixels[np.arange(2, dtype=np.int32)], seed)


def check_methods(settings: StudySettings) -> str | None:
    """Checks that methods and scorer fit the settings; returns a digest of the scorer, or None.

    Raises:
        ValueError, OSError: a method does not fit these settings, or the scorer does not fit this
            study's images.
    """
    for name in settings.methods:
        _preset(name, settings, None)
    if settings.scorer is None:
        return None
    load_scorer(settings.scorer).check_images(_preset("byol", settings, None)[0])
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(file for file in pathlib.Path(settings.scorer).glob("*") if file.is_file()):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _preset(name: str, settings: StudySettings, steps: int | None) -> tuple[Any, PretrainSettings]:
    base = name.removesuffix(PRETRAINED)
    # BYOL's preset "paper" is that of BYOL's own paper; "study" is this poster's.
    preset = "study" if (base, settings.preset) == ("byol", "paper") else settings.preset
    method, training = method_preset(base, settings.chosen(), preset=preset, steps=steps)
    if settings.learning_rate is not None:
        schedule = dataclasses.replace(training.schedule, learning_rate=settings.learning_rate)
        training = dataclasses.replace(training, schedule=schedule)
    if isinstance(method, BYOLFeatureTransformation):
        method = dataclasses.replace(method, concentration=settings.concentration)
    if isinstance(method, BYOLTracIn):
        choice = method.choice
        if isinstance(choice, TracInPositive):
            choice = dataclasses.replace(choice, scored=settings.scored)
        if isinstance(choice, FalseNegatives):
            choice = settings.false_negatives
        method = dataclasses.replace(
            method, choice=choice, weight=settings.weight, extra_views=settings.extra_views
        )
    return method, training


def _batch_size(training: PretrainSettings, pixels: Any, settings: StudySettings) -> int:
    return min(settings.batch_size or training.batch_size, len(pixels))
