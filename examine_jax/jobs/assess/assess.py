"""The main job: which images to look at, which to label, and EXAMINE's scores of all."""

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.encoders import load_encoder
from examine_jax.evaluation.noise_experiment import clip_to_bytes, separations_with_controls
from examine_jax.features.preprocessing import Preprocessing, preprocess
from examine_jax.images import corrupt, exact_duplicates
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.sources.load import check_dicom_settings
from examine_jax.images.sources.scan import check_workdir
from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.jobs.assess.deciding import (
    UnmetBudget,
    check_budget,
    check_not_written,
    choose,
    find_unusable,
    read_known,
)
from examine_jax.jobs.assess.encoding import (
    check_fits,
    embedded,
    load_sets,
    method_and_training,
    train_encoder,
    training_statistics,
)
from examine_jax.jobs.assess.pilot import judge
from examine_jax.jobs.assess.settings import (
    ASSESS_DEFAULTS,
    DECISION_DEFAULTS,
    AssessSettings,
    DecisionSettings,
)
from examine_jax.reporting.tables import rank_by_gap
from examine_jax.scoring import Examination, examine


def assess_images(
    images: str | os.PathLike[str] | None,
    workdir: str | os.PathLike[str],
    settings: AssessSettings = ASSESS_DEFAULTS,
    decision: DecisionSettings = DECISION_DEFAULTS,
    *,
    pretrain_images: str | os.PathLike[str] | None = None,
    encoder: str | os.PathLike[str] | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int | None = None,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
    progress: bool = True,
) -> Assessment:
    """Finds which images are usable, chooses those to label, and scores all by EXAMINE.

    It trains an encoder on the images (or loads one), embeds them, and decides from the features
    and from the pixels as they were stored.

    The same call in the same workdir continues a killed run, and ends with the same scores.

    Args:
        images: as in `load_images`. None: the sample that ships with scikit-image.
        workdir: receives config.json, checkpoints/ and encoder/. `write_assessment` writes the
            other files.
        settings: the settings.
        decision: how many images to label and how, what is labelled already, and clean images to
            judge by.
        pretrain_images: the encoder is trained on these instead; the assessed images are then new
            to it.
        encoder: the folder of a trained encoder. Nothing is trained.
        intensity_range: (black, white) of grey DICOM values after rescaling, in place of their
            windows. None: as in the training of the given encoder, else as the files say.
        dicom_window: which of a DICOM file's windows. None: as in the training of the given
            encoder, else the first.
        slicing: which slices of volumes are images.
        tiling: how whole slides are cut into tiles.
        progress: print the stages, their speed and the time left on stderr.

    Returns:
        The assessment. A budget above the images that are usable is stated in it.

    Raises:
        ValueError: no readable image, fewer than two images, settings that do not fit, a budget
            above all images, a pilot that cannot be judged, a table that the run itself writes, or
            a workdir that holds another run. The message is one line with the reason and a remedy.
        OSError: a file cannot be read or written.
    """
    workdir = pathlib.Path(workdir)
    check_workdir(workdir, images, pretrain_images, decision.reference_images)
    check_not_written(workdir, decision)
    trained = None if encoder is None else load_encoder(encoder)
    if trained is None:
        method, training = method_and_training(settings)
    else:
        check_fits(settings, trained)
        trained = trained if settings.pooling is None else trained.with_pooling(settings.pooling)
        method, training = trained.method, None
    sources: dict[str, Any] = {
        "images": _path(images),
        "pretrain_images": _path(pretrain_images),
        "encoder": _path(encoder),
    }
    asked = {"intensity_range": intensity_range, "dicom_window": dicom_window}
    sources |= {name: to_plain(value) for name, value in asked.items() if value is not None}
    if slicing != EVERY_SLICE:
        sources["slicing"] = to_plain(slicing)
    if tiling != HALF_MICROMETRE:
        sources["tiling"] = to_plain(tiling)
    if images is None and pretrain_images is None:
        check_dicom_settings("sample:training", intensity_range, dicom_window)
    _check_or_write_config(workdir, sources, settings, decision)
    seconds: dict[str, float] = {}
    kind: Preprocessing = settings.preprocessing or "zscore"

    with _stage("read images", seconds, progress):
        sets = load_sets(
            images,
            pretrain_images,
            method,
            trained,
            asked,
            progress,
            reference_images=decision.reference_images,
            slicing=slicing,
            tiling=tiling,
        )
    assessed, images_trained_on = sets.assessed, sets.training
    known = read_known(decision, len(assessed), assessed.names, seed=settings.seed)
    check_budget(decision, len(assessed), known)
    level, clean_mean = None, float(images_trained_on.pixels.mean()) / 255
    if settings.noise is not None:
        noisy, level = corrupt(assessed.pixels, settings.noise, seed=settings.seed, mean=clean_mean)
        assessed = dataclasses.replace(assessed, pixels=clip_to_bytes(noisy))

    loss = None
    if trained is None:
        with _stage("train", seconds, progress):
            assert training is not None  # there is no given encoder
            trained, loss = train_encoder(
                method,
                training,
                images_trained_on,
                clean_mean,
                settings,
                workdir,
                asked,
                progress,
            )
    with _stage("embed", seconds, progress):
        features = embedded(trained, assessed.pixels, progress)
        reference = training_statistics(trained) if kind == "zscore" else None
        scored = preprocess(features, kind, reference)
    with _stage("score", seconds, progress):
        examination = _examine(scored, settings)
    with _stage("decide", seconds, progress):
        findings = find_unusable(
            assessed, scored, sets.reference, changed=settings.noise is not None
        )
        selection, unmet = None, ""
        try:
            selection = choose(scored, decision, known, findings, settings.seed)
        except UnmetBudget as error:
            unmet = str(error)
    pilot = None
    if known.pilot is not None:
        with _stage("pilot", seconds, progress):
            pilot = judge(known.pilot, scored, assessed.pixels, known.groups, settings.seed)
    separations = {}
    if level is not None:
        with _stage("controls", seconds, progress):
            separations = separations_with_controls(
                trained,
                images_trained_on.pixels,
                assessed.pixels,
                level,
                examination,
                kind,
                solver=settings.solver,
                center=settings.center,
                seed=settings.seed,
            )
    return Assessment(
        names=assessed.names,
        features=scored,
        examination=examination,
        rank=rank_by_gap(np.asarray(examination.gap)),
        preprocessing=kind,
        images=assessed,
        level=level,
        separations=separations,
        encoder=trained,
        training_loss=loss,
        duplicates=exact_duplicates(assessed),
        findings=findings,
        selection=selection,
        asked=decision.budget is not None,
        unmet=unmet,
        groups=known.groups,
        labelled=known.labelled,
        pilot=pilot,
        seconds=seconds,
    )


def assess_features(
    features: str | os.PathLike[str],
    workdir: str | os.PathLike[str],
    settings: AssessSettings = ASSESS_DEFAULTS,
    decision: DecisionSettings = DECISION_DEFAULTS,
    *,
    progress: bool = True,
) -> Assessment:
    """Examines features that another encoder made, and chooses the rows to label.

    Args:
        features: an .npy file [N, D].
        workdir: receives config.json.
        settings: the settings; those of images and encoders are not used.
        decision: as in `assess_images`; its tables name rows by a column `index`, and reference
            images are not used.
        progress: print the stages on stderr.

    Returns:
        The assessment.

    Raises:
        ValueError: NaN or infinite features (the message names the rows), an array that is not a
            matrix, pickled objects, a budget that cannot be met, or a workdir that holds another
            run.
        OSError: a file cannot be read or written.
    """
    file = pathlib.Path(features)
    check_not_written(pathlib.Path(workdir), decision, features)
    if settings.noise is not None:
        raise ValueError(
            "noise levels need images, but features are given; leave --noise_levels out"
        )
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{file} is not a readable .npy file of numbers ({error}); "
            "save it with numpy.save(file, array)"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{file} holds several arrays; give an .npy file with one matrix [N, D]")
    _check_or_write_config(pathlib.Path(workdir), {"features": _path(features)}, settings, decision)
    kind: Preprocessing = settings.preprocessing or "none"
    if array.dtype.kind == "f" and array.ndim == 2:
        array = preprocess(array, kind)
    known = read_known(decision, len(array), None, seed=settings.seed)
    seconds: dict[str, float] = {}
    with _stage("score", seconds, progress):
        examination = _examine(array, settings)
    with _stage("decide", seconds, progress):
        selection = choose(array, decision, known, None, settings.seed)
    pilot = None
    if known.pilot is not None:
        with _stage("pilot", seconds, progress):
            pilot = judge(known.pilot, array, None, known.groups, settings.seed)
    return Assessment(
        names=tuple(f"row {index}" for index in range(len(array))),
        features=array,
        examination=examination,
        rank=rank_by_gap(np.asarray(examination.gap)),
        preprocessing=kind,
        selection=selection,
        asked=decision.budget is not None,
        groups=known.groups,
        labelled=known.labelled,
        pilot=pilot,
        seconds=seconds,
    )


def _check_or_write_config(
    workdir: pathlib.Path,
    sources: Mapping[str, Any],
    settings: AssessSettings,
    decision: DecisionSettings,
) -> None:
    """Refuses another run's workdir. The decision may change: nothing is trained again for it."""
    decided = {name: value for name, value in to_plain(decision).items() if name != "type"}
    for name in ("labelled", "groups", "pilot", "reference_images"):
        decided[name] = _path(getattr(decision, name))
    check_or_write_config(
        workdir / "config.json",
        {**sources, "settings": to_plain(settings), "decision": decided},
        replaceable=("decision",),
    )


def _examine(features: np.ndarray, settings: AssessSettings) -> Examination:
    return jax.tree.map(
        np.asarray, examine(features, solver=settings.solver, center=settings.center)
    )


def _path(path: str | os.PathLike[str] | None) -> str | None:
    """The path, absolute. A name that is no path, as `tfds:NAME`, stays as it is."""
    if path is None or (":" in os.fspath(path) and not pathlib.Path(path).exists()):
        return None if path is None else os.fspath(path)
    return str(pathlib.Path(path).resolve())


@contextmanager
def _stage(name: str, seconds: dict[str, float], progress: bool) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - begin
    if progress:
        print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr)
