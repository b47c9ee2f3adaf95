"""EXAMINE's study (sections 4.2 to 4.4), seed by seed. Stored results are not computed again."""

import dataclasses
import functools
import os
import pathlib

import jax
import numpy as np

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import Float
from examine_jax.evaluation.label_errors import label_error_curve
from examine_jax.influence.mislabelled import flip_labels
from examine_jax.labelled.sets import LabelledImages, LabelledSource, read_labelled
from examine_jax.scoring import examine
from examine_jax.studies.common import kept
from examine_jax.studies.common.notes import note, note_other_seeds
from examine_jax.studies.common.training_length import training_record
from examine_jax.studies.examine.encoders import Embed, Pixels, controls, embedder, train
from examine_jax.studies.examine.page import write_page
from examine_jax.studies.examine.results import ExamineSeedResults
from examine_jax.studies.examine.sets import divide, mean_of, noisy_assessed
from examine_jax.studies.examine.settings import ExperimentSettings
from examine_jax.studies.examine.values import SeedFeatures, curves_of, valued_by
from examine_jax.valuation import valuer_entry


def run(
    settings: ExperimentSettings,
    source: LabelledSource,
    workdir: str | os.PathLike[str],
    *,
    allow_long: bool = False,
    device: str | None = None,
    progress: bool = True,
) -> tuple[ExamineSeedResults, ...]:
    """Runs the study: reads the images, runs all seeds, and writes the page after each.

    A run that was killed continues when it is started again. Seeds, valuers and methods may be
    added to the same folder later; the other results do not change.

    Args:
        settings: the settings of the study (`examine_preset`).
        source: the labelled images.
        workdir: the folder of the study; the page is experiments.html.
        allow_long: values images even if that takes more than a day by estimate.
        device: the name of the device on the page.
        progress: shows the progress on stderr.

    Returns:
        The results of each seed, in order.

    Raises:
        ValueError, OSError, ImportError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(workdir)
    encoder = settings.training.chosen().encoder
    with progress_bar("images", progress) as report:
        images = read_labelled(
            source, image_size=encoder.image_size, channels=encoder.channels, on_progress=report
        )
    check_folder(workdir, images, settings)
    note_other_seeds(workdir, settings.seeds, progress)
    results: list[ExamineSeedResults] = []
    for seed in settings.seeds:
        results.append(
            run_seed(images, workdir, settings, seed, allow_long=allow_long, progress=progress)
        )
        page = write_page(
            workdir,
            results,
            images,
            settings,
            source=source.name,
            device=device or jax.default_backend(),
        )
        note(f"{len(results)} of {len(settings.seeds)} seeds are done; open {page}", progress)
    return tuple(results)


def check_folder(
    workdir: str | os.PathLike[str], images: LabelledImages, settings: ExperimentSettings
) -> None:
    """Writes the study's settings to its folder, or compares them with the stored ones.

    Seeds, valuers and methods after the first are not compared, because they may be added later.

    Raises:
        ValueError: the folder holds another study; the message names the settings that differ.
        OSError: the folder cannot be written.
    """
    training = dataclasses.replace(
        settings.training,
        methods=settings.training.methods[:1],
        presets=settings.training.presets[:1],
    )
    compared = dataclasses.replace(settings, seeds=(0,), valuers=("examine",), training=training)
    check_or_write_config(
        pathlib.Path(workdir) / "config.json",
        {"images": images.digest(), "settings": to_plain(compared)},
    )


def run_seed(
    images: LabelledImages,
    workdir: str | os.PathLike[str],
    settings: ExperimentSettings,
    seed: int,
    *,
    allow_long: bool = False,
    progress: bool = True,
) -> ExamineSeedResults:
    """Runs one repetition in workdir/seed_SEED, or continues it after a kill.

    Args:
        images: all images, in the encoder's input size.
        workdir: the folder of the study (`check_folder`).
        settings: the settings of the study.
        seed: the seed of the sets, the noise, the trainings and the valuers.
        allow_long: values images even if that takes more than a day by estimate.
        progress: shows the progress on stderr.

    Raises:
        ValueError, OSError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(workdir)
    folder, plan = workdir / f"seed_{seed}", settings.training
    split = divide(images, settings, seed)
    clean = images.pixels[split.pretraining]
    noisy, level = noisy_assessed(
        images.pixels[split.assessed], settings.noise, seed, mean_of(clean)
    )

    gaps: dict[str, np.ndarray] = {}
    features: dict[str, np.ndarray] = {}
    for name in plan.methods:
        embed = embedder(
            train(name, clean, workdir, settings, seed, progress), settings.preprocessing
        )
        if name == plan.methods[0]:

            def embed_sets(embed: Embed = embed) -> dict[str, np.ndarray]:
                note(f"seed {seed}: features of all sets", progress)
                sets = {
                    "assessed": noisy,
                    "clean": images.pixels[split.clean],
                    "valued_on": images.pixels[split.valued_on],
                }
                if settings.valued_on != "validation":
                    sets["measured_on"] = images.pixels[split.measured_on]
                return {which: embed(pixels) for which, pixels in sets.items()}

            features = kept.arrays(folder / "features.npz", embed_sets)
            features.setdefault("measured_on", features["valued_on"])
        gaps[name] = kept.arrays(
            folder / name / "gaps.npz", functools.partial(_gap_arrays, embed, noisy)
        )["gap"]

    def gaps_of_controls() -> dict[str, np.ndarray]:
        embeds = controls(plan, clean, settings.preprocessing, seed)
        return {name: _gaps(embed(noisy)) for name, embed in embeds.items()}

    gaps |= kept.arrays(folder / "control_gaps.npz", gaps_of_controls)

    of_seed = SeedFeatures(images, split, features, folder, settings, seed, allow_long, progress)
    labels = images.labels[split.assessed]
    valued = {name: valued_by(of_seed, name, labels, "values") for name in settings.valuers}
    values = {name: np.array(record["values"]) for name, record in valued.items()}
    curves = curves_of(of_seed, values)
    wrong_labels, wrong = flip_labels(
        labels, share=settings.mislabelled, num_classes=len(images.classes), seed=seed
    )
    detections = {}
    for name in settings.valuers:
        # Values of a valuer that uses no labels do not change.
        needs_labels = valuer_entry(name).needs_labels
        record = (
            valued_by(of_seed, name, wrong_labels, "wrong_labels") if needs_labels else valued[name]
        )
        detections[name] = label_error_curve(np.array(record["values"]), wrong, seed=seed)
    return ExamineSeedResults(
        seed,
        {field.name: len(getattr(split, field.name)) for field in dataclasses.fields(split)},
        level,
        gaps,
        values,
        {name: float(record["seconds"]) for name, record in valued.items()},
        {name: float(record["diagnostics"].get("fits", 0)) for name, record in valued.items()},
        curves,
        detections,
        {name: training_record(workdir, seed, name) for name in plan.methods},
    )


def _gap_arrays(embed: Embed, pixels: Pixels) -> dict[str, np.ndarray]:
    return {"gap": _gaps(embed(pixels))}


def _gaps(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    return np.asarray(examine(features).gap, np.float64)
