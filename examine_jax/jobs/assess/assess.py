"""The main job: which images to look at, which to label, and EXAMINE's scores of all."""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from examine_jax.common.configuration import to_plain
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
    compile_while_reading,
    embedded,
    load_sets,
    method_and_training,
    train_encoder,
    training_statistics,
)
from examine_jax.jobs.assess.pilot import judge
from examine_jax.jobs.assess.run_folder import check_config, examined, shown_path, stage
from examine_jax.jobs.assess.settings import (
    ASSESS_DEFAULTS,
    DECISION_DEFAULTS,
    AssessSettings,
    DecisionSettings,
)
from examine_jax.jobs.columns_beside import column_beside
from examine_jax.jobs.headers import HIDE_IDS, JobHeaders, PrivacySettings
from examine_jax.labelled.header_groups import HEADER_GROUPS
from examine_jax.labelled.row_names import names_beside
from examine_jax.reporting.tables import rank_by_gap


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
    privacy: PrivacySettings = HIDE_IDS,
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
        privacy: whether names and identifiers of patients may be in the results.
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
    headers = JobHeaders.read(
        (images, pretrain_images, decision.reference_images),
        privacy,
        outside=(workdir,),
        hashed=decision.group_by in HEADER_GROUPS,
        progress=progress,
    )
    with headers.hiding():
        return _assess_images(
            images,
            workdir,
            settings,
            decision,
            headers,
            pretrain_images=pretrain_images,
            encoder=encoder,
            asked={"intensity_range": intensity_range, "dicom_window": dicom_window},
            slicing=slicing,
            tiling=tiling,
            progress=progress,
        )


def _assess_images(
    images: str | os.PathLike[str] | None,
    workdir: pathlib.Path,
    settings: AssessSettings,
    decision: DecisionSettings,
    headers: JobHeaders,
    *,
    pretrain_images: str | os.PathLike[str] | None,
    encoder: str | os.PathLike[str] | None,
    asked: Mapping[str, Any],
    slicing: Slicing,
    tiling: Tiling,
    progress: bool,
) -> Assessment:
    trained = None if encoder is None else load_encoder(encoder)
    if trained is None:
        method, training = method_and_training(settings)
    else:
        check_fits(settings, trained)
        trained = trained if settings.pooling is None else trained.with_pooling(settings.pooling)
        method, training = trained.method, None
    sources: dict[str, Any] = {
        "images": shown_path(images, headers),
        "pretrain_images": shown_path(pretrain_images, headers),
        "encoder": shown_path(encoder, headers),
    }
    sources |= {name: to_plain(value) for name, value in asked.items() if value is not None}
    if slicing != EVERY_SLICE:
        sources["slicing"] = to_plain(slicing)
    if tiling != HALF_MICROMETRE:
        sources["tiling"] = to_plain(tiling)
    if images is None and pretrain_images is None:
        check_dicom_settings("sample:training", asked["intensity_range"], asked["dicom_window"])
    check_config(workdir, sources, settings, decision, headers)
    seconds: dict[str, float] = {}
    kind: Preprocessing = settings.preprocessing or "zscore"

    begun = (workdir / "encoder").exists()  # it is written when the training is complete

    def on_images(count: int) -> None:  # so an unreadable path is reported without a wait
        nonlocal begun
        # A file may hold many images: how many a batch has is not known of fewer files than that.
        if training is not None and count >= training.batch_size and not begun:
            begun = True
            compile_while_reading(method, training, settings)

    with stage("read images", seconds, progress):
        sets = load_sets(
            images,
            pretrain_images,
            method,
            trained,
            asked,
            progress,
            on_images=on_images,
            reference_images=decision.reference_images,
            slicing=slicing,
            tiling=tiling,
            headers=headers,
        )
    assessed, images_trained_on = sets.assessed, sets.training
    own = sets.stored_names
    known = read_known(
        decision,
        len(assessed),
        assessed.names,
        seed=settings.seed,
        stored_names=own,
        column=lambda by: headers.column(images, own, by),
    )
    modalities = headers.modalities(images, own)
    headers.keep_table(progress)
    for note in known.notes if progress else ():
        print(f"groups: {note}", file=sys.stderr)
    check_budget(decision, len(assessed), known)
    level, clean_mean = None, float(images_trained_on.pixels.mean()) / 255
    if settings.noise is not None:
        noisy, level = corrupt(assessed.pixels, settings.noise, seed=settings.seed, mean=clean_mean)
        assessed = dataclasses.replace(assessed, pixels=clip_to_bytes(noisy))

    loss = None
    if trained is None:
        with stage("train", seconds, progress):
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
    with stage("embed", seconds, progress):
        features = embedded(trained, assessed, progress)
        reference = training_statistics(trained) if kind == "zscore" else None
        scored = preprocess(features, kind, reference)
    with stage("score", seconds, progress):
        examination = examined(scored, settings)
    with stage("decide", seconds, progress):
        findings = find_unusable(
            assessed,
            scored,
            sets.reference,
            changed=settings.noise is not None,
            modalities=modalities,
            reference_modalities=sets.reference_modalities,
        )
        selection, unmet = None, ""
        try:
            selection = choose(scored, decision, known, findings, settings.seed)
        except UnmetBudget as error:
            unmet = str(error)
    pilot = None
    if known.pilot is not None:
        with stage("pilot", seconds, progress):
            pilot = judge(known.pilot, scored, assessed.pixels, known.groups, settings.seed)
    separations = {}
    if level is not None:
        with stage("controls", seconds, progress):
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
        modalities=modalities if any(modalities) else (),
        identities=tuple(headers.identities(images, own)),
        stored_names=own,
        notes=known.notes,
        headers=headers,
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
    check_config(pathlib.Path(workdir), {"features": shown_path(features)}, settings, decision)
    kind: Preprocessing = settings.preprocessing or "none"
    if array.dtype.kind == "f" and array.ndim == 2:
        array = preprocess(array, kind)

    def beside(column: str) -> list[str] | None:
        table = names_beside(file)
        return None if table is None else column_beside(file, len(array), column, table)

    known = read_known(
        decision,
        len(array),
        None,
        seed=settings.seed,
        column=beside,
        group_names=beside("image") if decision.group_by is not None else None,
    )
    for note in known.notes if progress else ():
        print(f"groups: {note}", file=sys.stderr)
    own_table = file.with_suffix(".names.csv").is_file()  # Another one may be of other features.
    seconds: dict[str, float] = {}
    with stage("score", seconds, progress):
        examination = examined(array, settings)
    with stage("decide", seconds, progress):
        selection = choose(array, decision, known, None, settings.seed)
    pilot = None
    if known.pilot is not None:
        with stage("pilot", seconds, progress):
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
        modalities=tuple(beside("modality") or ()) if own_table else (),
        notes=known.notes,
        seconds=seconds,
    )
