"""The budget study: split, spoil, embed, choose, classify; results are kept, not computed twice."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import Bool, Float, Int
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.images.artefacts import SUITED
from examine_jax.labelled.sets import LabelledImages, LabelledSource, read_labelled
from examine_jax.studies.budget.choices import Way, examine_choices, ways
from examine_jax.studies.budget.classifier import Exam, standardised
from examine_jax.studies.budget.encoders import (
    GIVEN,
    Embed,
    fixed_embedding,
    fixed_features,
    trained_embedding,
)
from examine_jax.studies.budget.page import write_page
from examine_jax.studies.budget.pools import (
    BudgetSplit,
    Condition,
    budgets,
    conditions,
    divide,
    spoilt,
)
from examine_jax.studies.budget.results import BudgetResult, UsabilityResult
from examine_jax.studies.budget.settings import COLOURS, BudgetSettings
from examine_jax.studies.budget.usability import described, usable_images
from examine_jax.studies.common import kept
from examine_jax.studies.common.notes import note, note_other_seeds

Result = BudgetResult | UsabilityResult


def run(
    settings: BudgetSettings,
    source: LabelledSource,
    workdir: str | os.PathLike[str],
    *,
    encoder: str | os.PathLike[str] | None = None,
    device: str | None = None,
    progress: bool = True,
) -> tuple[Result, ...]:
    """Runs the study: reads the images, runs all seeds, writes the page after each seed.

    A run that was killed continues when it is started again. Seeds, encoders and strategies may be
    added later in the same folder: they change no other result.

    Args:
        settings: of the study (`budget_preset`).
        source: labelled images.
        workdir: everything is written here; the page is budget.html.
        encoder: a trained encoder (`load_encoder`), which takes the place of all trainings.
        device: what the page calls the device.
        progress: show on stderr what is done and how far it is.

    Returns:
        The results, in order.

    Raises:
        ValueError, OSError, ImportError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(workdir)
    given = None if encoder is None else load_encoder(encoder)
    channels = (settings.chosen().encoder if given is None else given).channels
    with progress_bar("images", progress) as report:
        images = read_labelled(
            source, image_size=settings.image_size, channels=channels, on_progress=report
        )
    splits = {seed: divide(images, settings, seed) for seed in settings.seeds}
    check_folder(workdir, settings, images, given)
    note_other_seeds(workdir, settings.seeds, progress)
    clean_descriptions = functools.cache(lambda: described(images.pixels))  # for all seeds
    results: list[Result] = []
    for seed, split in splits.items():
        for condition in conditions(settings):
            results += run_pool(
                images,
                split,
                workdir,
                settings,
                condition,
                seed,
                clean_descriptions,
                given=given,
                progress=progress,
            )
        page = write_page(
            workdir, results, images, settings, device=device or jax.default_backend()
        )
        note(f"seed {seed} is done; open {page}", progress)
    return tuple(results)


def check_folder(
    workdir: str | os.PathLike[str],
    settings: BudgetSettings,
    images: LabelledImages,
    given: Encoder | None,
) -> None:
    """Writes settings and digests to the study's folder, or compares them with those there.

    Seeds, encoders and strategies are not compared: they may be added later.

    Raises:
        ValueError: the folder holds another study (what differs).
        OSError: it cannot be written.
    """
    compared = dataclasses.replace(settings, encoders=(COLOURS,), strategies=None, seeds=(0,))
    check_or_write_config(
        pathlib.Path(workdir) / "config.json",
        {"settings": to_plain(compared), "images": images.digest()},
    )
    if given is not None:
        leaves = jax.tree.leaves((given.params, given.state))
        check_or_write_config(
            pathlib.Path(workdir) / "encoder.json",
            {"network": digest_arrays(map(np.asarray, leaves))},
        )


def run_pool(
    images: LabelledImages,
    split: BudgetSplit,
    workdir: pathlib.Path,
    settings: BudgetSettings,
    condition: Condition,
    seed: int,
    clean_descriptions: Callable[[], Float[np.ndarray, "n k"]],
    *,
    given: Encoder | None = None,
    progress: bool = True,
) -> Iterator[Result]:
    """Yields all results of one seed's pool in one condition.

    Args:
        images: all of them, at the size of `settings`.
        split: of the seed.
        workdir: of the study.
        settings: of the study.
        condition: whether the pool has artefacts.
        seed: of the split, the artefacts, the trainings and the random choices.
        clean_descriptions: gives those of all images (`quality.describe`).
        given: a trained encoder, in place of all trainings.
        progress: show on stderr what is done.
    """
    home = workdir / f"seed_{seed}" / condition

    @functools.cache
    def pool() -> tuple[np.ndarray, Int[np.ndarray, " p"]]:
        pixels = images.pixels[split.pool]
        if condition == "clean":
            return pixels, np.full(len(pixels), -1)
        return spoilt(pixels, settings, seed)

    @functools.cache
    def descriptions() -> Float[np.ndarray, "p k"]:
        pixels, kind = pool()
        found = clean_descriptions()[split.pool].copy()
        found[kind >= 0] = described(pixels[kind >= 0])
        return found

    for name in encoders_of(settings, given):
        own = home / name
        features = functools.cache(
            functools.partial(
                _features, name, own, images, split, pool, workdir, settings, seed, given, progress
            )
        )
        found = kept.json(
            own / "usability.json",
            functools.partial(_usability, pool, descriptions, features, settings),
        )
        may = np.array(found["usable"], bool) & ~np.array(found["copy"], bool)
        yield UsabilityResult(
            seed, condition, name, float(found["clean_flagged"]), dict(found["flagged"])
        )
        for way in ways(condition, settings):
            stored = kept.json(
                own / f"{way.name.replace(' + ', '_')}.json",
                functools.partial(
                    _examined, way, pool, features, may, images, split, settings, seed
                ),
            )
            yield BudgetResult(
                seed,
                condition,
                name,
                way.name,
                tuple(stored["budgets"]),
                tuple(stored["balanced_accuracy"]),
                tuple(stored["wasted"]),
                float(stored["seconds"]),
            )
            note(
                f"seed {seed}, {condition}, {name}, {way.name}: "
                + " ".join(f"{value:.3f}" for value in stored["balanced_accuracy"]),
                progress,
            )


def encoders_of(settings: BudgetSettings, given: Encoder | None) -> tuple[str, ...]:
    """Returns the encoders' names; the given one takes the place of those that are trained."""
    if given is None:
        return settings.encoders
    return (GIVEN, *((COLOURS,) if COLOURS in settings.encoders else ()))


def _features(
    name: str,
    folder: pathlib.Path,
    images: LabelledImages,
    split: BudgetSplit,
    pool: Any,
    workdir: pathlib.Path,
    settings: BudgetSettings,
    seed: int,
    given: Encoder | None,
    progress: bool,
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Returns the features of the pool and of the held-out images."""
    if name in (GIVEN, COLOURS):
        clean = fixed_features(name, given, images.pixels, workdir)
        features = clean[split.pool].copy()
        pixels, kind = pool()
        changed = np.flatnonzero(kind >= 0)
        if len(changed):
            features[changed] = fixed_embedding(name, given)(pixels[changed])
        return {"pool": features, "test": clean[split.test]}

    def compute() -> dict[str, np.ndarray]:
        embed: Embed = trained_embedding(name, pool()[0], folder, workdir, settings, seed, progress)
        return {"pool": embed(pool()[0]), "test": embed(images.pixels[split.test])}

    return kept.arrays(folder / "features.npz", compute)


def _usability(
    pool: Any, descriptions: Any, features: Any, settings: BudgetSettings
) -> dict[str, Any]:
    pixels, kind = pool()
    usable, copy = usable_images(descriptions(), pixels, features()["pool"])
    names = SUITED[settings.artefacts]
    return {
        "usable": usable.astype(int).tolist(),
        "copy": copy.astype(int).tolist(),
        "clean_flagged": float((~usable[kind < 0]).mean()) if (kind < 0).any() else 0.0,
        "flagged": {
            names[number]: float((~usable[kind == number]).mean())
            for number in np.unique(kind[kind >= 0])
        },
    }


def _examined(
    way: Way,
    pool: Any,
    features: Any,
    found_usable: Bool[np.ndarray, " p"],
    images: LabelledImages,
    split: BudgetSplit,
    settings: BudgetSettings,
    seed: int,
) -> dict[str, Any]:
    _, kind = pool()
    found = features()
    pool_features, test_features = standardised(found["pool"], found["test"])
    exam = Exam(
        pool_features,
        images.labels[split.pool],
        kind < 0,
        test_features,
        images.labels[split.test],
        len(images.classes),
        settings.regularisation,
    )
    numbers = budgets(len(split.pool), len(images.classes), settings)
    may = {"all": None, "usability": found_usable, "truth": kind < 0}[way.left]
    return examine_choices(way, found["pool"], may, numbers, exam, settings, seed)
