"""The study's encoders, trained one a method and seed; a killed training goes on where it was."""

import dataclasses
import hashlib
import math
import pathlib
import sys
from typing import Any

import jax
import numpy as np

from examine_jax.common.configuration import to_plain
from examine_jax.encoders import Encoder, load_encoder, save_encoder
from examine_jax.evaluation.classifier_training import DivergedError
from examine_jax.pretraining import Phase, PretrainSettings, method_preset, pretrain
from examine_jax.pretraining.extra_positives import FalseNegatives, TracInPositive
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.methods.byol_feature_transformation import BYOLFeatureTransformation
from examine_jax.pretraining.methods.byol_tracin import BYOLTracIn, read_scorer
from examine_jax.studies.byol_tracin.settings import PRETRAINED, StudySettings
from examine_jax.studies.common.kept import record
from examine_jax.studies.common.training_length import seconds_a_step, trained_once, training_watch
from examine_jax.studies.examine.encoders import training_record
from examine_jax.training.non_finite import NonFiniteLossError


def train(
    name: str, pixels: Any, codes: np.ndarray, workdir: pathlib.Path, settings: StudySettings, seed: int, progress: bool
) -> Encoder:
    """The encoder in workdir/seed_S/NAME/encoder, a plain BYOL's whatever trained it; trained where it is not there yet.

    Args:
        pixels: the training images.
        codes: their classes, by which the right extra positives are counted, and byol_sup's are chosen; no other method sees them.
        workdir: of all seeds.

    Raises:
        DivergedError: a ValueError; the training diverged, now or in an earlier run: the same one would again.
        ValueError, OSError: as `pretrain`.
    """
    folder = workdir / f"seed_{seed}" / name
    there = trained_once(folder, lambda: _train(folder, name, pixels, codes, workdir, settings, seed, progress))
    if "diverged" in there:
        raise DivergedError(there["diverged"])
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
    """Leaves the encoder in `folder`; what there is to tell of its training, or "diverged": how."""
    scorer = workdir / f"seed_{seed}" / "byol"
    if name.endswith(PRETRAINED) and settings.scorer is None and not (scorer / "encoder").exists():
        return {
            "diverged": f"there is no scorer, as byol diverged: {training_record(workdir, seed, 'byol')['diverged']}"
        }
    method, training = resolve(name, pixels, codes, workdir, settings, seed)
    if progress:
        print(f"seed {seed}: {name}, {training.phases[0].steps} steps of {training.batch_size} images", file=sys.stderr)
    watch = training_watch()
    try:
        result = pretrain(method, pixels, training, folder, progress=progress)
    except NonFiniteLossError as error:
        return {"diverged": str(error)}
    byol = method if isinstance(method, BYOL) else method.byol
    # Without labels and scorer: the encoder's folder is to serve where these are not.
    state = {key: result.state[key] for key in ("batch_stats", "target")}
    save_encoder(folder / "encoder", byol, result.params, state, {"trained_as": name, "settings": to_plain(training)})
    last = result.history[-max(1, len(result.history) // 4) :]

    found = watch(result.history) | {"final_loss": float(np.mean([step["loss"] for step in last]))}
    for key in ("extra_positives", "extra_positives_right", "extra_positives_chance"):
        if key in last[0]:
            values = np.array([step[key] for step in last])
            if np.isfinite(values).any():
                found[key] = float(np.nanmean(values))
    return found


def resolve(
    name: str, pixels: Any, codes: np.ndarray, workdir: pathlib.Path, settings: StudySettings, seed: int
) -> tuple[BYOL | BYOLTracIn | BYOLFeatureTransformation, PretrainSettings]:
    """The method and its training, which has as many steps as every other method's."""
    count = steps(pixels, workdir, settings)
    method, training = _preset(name, settings, count)
    if isinstance(method, BYOLTracIn):
        scorer = None
        if name.endswith(PRETRAINED):
            scorer = settings.scorer or str((workdir / f"seed_{seed}" / "byol" / "encoder").resolve())
        method = dataclasses.replace(
            method,
            scorer=scorer,
            labels=tuple(codes.tolist()),
        )
    batch_size = _batch_size(training, pixels, settings)
    return method, dataclasses.replace(training, phases=(Phase(steps=count),), batch_size=batch_size, seed=seed)


def steps(pixels: Any, workdir: pathlib.Path, settings: StudySettings) -> int:
    """Of every pre-training of all seeds."""
    if settings.steps is not None:
        return settings.steps
    if settings.minutes is not None:
        return max(2, math.ceil(60 * settings.minutes / byol_cost(pixels, workdir, settings)))
    _, training = _preset("byol", settings, None)
    return training.phases[0].count(max(1, len(pixels) // _batch_size(training, pixels, settings)))


def byol_cost(pixels: Any, workdir: pathlib.Path, settings: StudySettings) -> float:
    """Seconds of a step of plain BYOL, measured once and kept, so that a run that goes on takes the steps it set out to."""

    def measured() -> dict[str, float]:
        method, training = _preset("byol", settings, None)
        batch_size = _batch_size(training, pixels, settings)
        return {"seconds_a_step": seconds_a_step(method, pixels[np.arange(batch_size, dtype=np.int32)], batch_size)}

    return float(record(workdir / "byol_step.json", measured)["seconds_a_step"])


def untrained(settings: StudySettings, pixels: Any, seed: int) -> Encoder:
    """The control: the same network at its start."""
    method, _ = _preset("byol", settings, None)
    example = {"image": pixels[np.arange(2, dtype=np.int32)], "index": np.arange(2, dtype=np.int32)}
    return Encoder(method, *method.init(jax.random.key(seed), example))


def check_methods(settings: StudySettings) -> str | None:
    """What the scorer that is named holds (a digest); None: there is none.

    Raises:
        ValueError, OSError: a method that these settings do not fit, or a scorer that cannot look at this study's images.
    """
    for name in settings.methods:
        _preset(name, settings, None)
    if settings.scorer is None:
        return None
    read_scorer(settings.scorer, _preset("byol", settings, None)[0])
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(file for file in pathlib.Path(settings.scorer).glob("*") if file.is_file()):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _preset(name: str, settings: StudySettings, steps: int | None) -> tuple[Any, PretrainSettings]:
    base = name.removesuffix(PRETRAINED)
    # What the study makes of plain BYOL is "study" there: its "paper" is another paper's.
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
        method = dataclasses.replace(method, choice=choice, weight=settings.weight, extra_views=settings.extra_views)
    return method, training


def _batch_size(training: PretrainSettings, pixels: Any, settings: StudySettings) -> int:
    return min(settings.batch_size or training.batch_size, len(pixels))
