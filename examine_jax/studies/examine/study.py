"""The experiments of the EXAMINE paper (sections 4.2 to 4.4), a seed after the other; what is done is kept and never done again."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import sys

import numpy as np

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.shapes import Float
from examine_jax.evaluation.curves import Choosing, Curve
from examine_jax.evaluation.mislabelled import Detection, detection
from examine_jax.influence.mislabelled import flip_labels
from examine_jax.jobs.value.value import LABEL_FREE
from examine_jax.scoring import examine
from examine_jax.studies.common.kept import arrays
from examine_jax.studies.examine.encoders import Embed, Pixels, controls, embedder, train, training_record
from examine_jax.studies.examine.repetition import Repetition, curves_of, valued_by
from examine_jax.studies.examine.sets import LabelledImages, divide, mean_of, noisy_assessed
from examine_jax.studies.examine.settings import ExperimentSettings


@dataclasses.dataclass(frozen=True, eq=False)
class SeedFindings:
    """What one repetition found.

    Attributes:
        seed: of all of it.
        sizes: images of each set.
        level: [A] the noise added to each assessed image.
        gaps: [A] by encoder (and by control): trained methods first, in their order.
        values: [A] by valuer, higher is better, of the main encoder's features.
        seconds, fits: what the values took; 0 fits where no model was fitted.
        curves: by experiment and valuer, random included.
        detections: of wrong labels, by valuer.
        trainings: by method: steps, final_loss, seconds, cpu_seconds.
    """

    seed: int
    sizes: dict[str, int]
    level: Float[np.ndarray, " a"]
    gaps: dict[str, Float[np.ndarray, " a"]]
    values: dict[str, Float[np.ndarray, " a"]]
    seconds: dict[str, float]
    fits: dict[str, float]
    curves: dict[Choosing, dict[str, Curve]]
    detections: dict[str, Detection]
    trainings: dict[str, dict[str, float]]


def claim_workdir(workdir: str | os.PathLike[str], images: LabelledImages, settings: ExperimentSettings) -> None:
    """Makes the folder this experiment's own. Seeds, valuers and further methods may be added later on: they change no other result.

    Raises:
        ValueError: the folder holds another experiment (which settings differ). OSError: it cannot be written.
    """
    training = dataclasses.replace(
        settings.training, methods=settings.training.methods[:1], presets=settings.training.presets[:1]
    )
    same = dataclasses.replace(settings, seeds=(0,), valuers=("examine",), training=training)
    digest = hashlib.blake2b(digest_size=16)
    for part in (images.pixels, images.labels, images.groups):
        if part is not None:
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
    check_or_write_config(
        pathlib.Path(workdir) / "config.json", {"images": digest.hexdigest(), "settings": to_plain(same)}
    )


def run_seed(
    images: LabelledImages,
    workdir: str | os.PathLike[str],
    settings: ExperimentSettings,
    seed: int,
    *,
    force_long: bool = False,
    progress: bool = True,
) -> SeedFindings:
    """One repetition, in workdir/seed_S; a killed one goes on where it was.

    Args:
        images: all there are, of the encoder's size.
        force_long: value also where that is estimated to take more than a day.
        progress: say on stderr what is being done and how far it is.

    Raises:
        ValueError, OSError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(workdir)
    folder, plan = workdir / f"seed_{seed}", settings.training
    division = divide(images, settings, seed)
    clean = images.pixels[division.pretraining]
    noisy, level = noisy_assessed(images.pixels[division.assessed], settings.noise, seed, mean_of(clean))

    gaps: dict[str, np.ndarray] = {}
    features: dict[str, np.ndarray] = {}
    for name in plan.methods:
        embed = embedder(train(name, clean, workdir, settings, seed, progress), settings.preprocessing)
        if name == plan.methods[0]:

            def embedded(embed: Embed = embed) -> dict[str, np.ndarray]:
                _say(f"seed {seed}: features of all sets", progress)
                sets = {"assessed": noisy, "clean": images.pixels[division.clean]}
                sets["valued_on"] = images.pixels[division.valued_on]
                if settings.valued_on != "validation":
                    sets["measured_on"] = images.pixels[division.measured_on]
                return {which: embed(pixels) for which, pixels in sets.items()}

            features = arrays(folder / "features.npz", embedded)
            features.setdefault("measured_on", features["valued_on"])
        gaps[name] = arrays(folder / name / "gaps.npz", functools.partial(_gap_arrays, embed, noisy))["gap"]

    def of_controls() -> dict[str, np.ndarray]:
        made = controls(plan, clean, settings.preprocessing, seed)
        return {name: _gaps(embed(noisy)) for name, embed in made.items()}

    gaps |= arrays(folder / "control_gaps.npz", of_controls)

    repetition = Repetition(images, division, features, folder, settings, seed, force_long, progress)
    assessed_labels = images.labels[division.assessed]
    valued = {name: valued_by(repetition, name, assessed_labels, "values") for name in settings.valuers}
    values = {name: np.array(one["values"]) for name, one in valued.items()}
    curves = curves_of(repetition, values)
    wrong_labels, wrong = flip_labels(
        assessed_labels, share=settings.mislabelled, num_classes=len(images.classes), seed=seed
    )
    detections = {}
    for name in settings.valuers:
        # Values that need no labels are the same whatever these are.
        one = valued[name] if name in LABEL_FREE else valued_by(repetition, name, wrong_labels, "wrong_labels")
        detections[name] = detection(np.array(one["values"]), wrong, seed=seed)
    sizes = {field.name: len(getattr(division, field.name)) for field in dataclasses.fields(division)}
    return SeedFindings(
        seed,
        sizes,
        level,
        gaps,
        values,
        {name: float(one["seconds"]) for name, one in valued.items()},
        {name: float(one["diagnostics"].get("fits", 0)) for name, one in valued.items()},
        curves,
        detections,
        {name: training_record(workdir, seed, name) for name in plan.methods},
    )


def _gap_arrays(embed: Embed, pixels: Pixels) -> dict[str, np.ndarray]:
    return {"gap": _gaps(embed(pixels))}


def _gaps(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    return np.asarray(examine(features).gap, np.float64)


def _say(text: str, progress: bool) -> None:
    if progress:
        print(text, file=sys.stderr)
