"""Writes the images to label: the table, and the files for labelling tools."""

import os
import pathlib
from collections.abc import Collection

import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.sources.load import dicom_settings
from examine_jax.images.sources.registry import reads_files
from examine_jax.images.stored_images import StoredImages
from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.jobs.assess.decision import chosen_images
from examine_jax.jobs.assess.looking import PixelsOf
from examine_jax.jobs.select import write_to_label
from examine_jax.reporting.hand_over.chosen import ChosenImage, ChosenImages
from examine_jax.reporting.hand_over.registry import hand_over


def write_chosen(
    workdir: pathlib.Path,
    assessment: Assessment,
    stored: StoredImages | None,
    formats: Collection[str] | None,
    keep_originals: bool,
) -> None:
    """Writes to_label.csv and the files for labelling tools, or removes those of an earlier run.

    Raises:
        ValueError: as `hand_over`; nothing is written then.
        OSError: a file cannot be written.
    """
    table = workdir / "to_label.csv"
    if assessment.selection is None or not assessment.asked:
        table.unlink(missing_ok=True)
        hand_over(workdir, None)
        return
    names = assessment.names if assessment.images is not None else None
    images = assessment.images
    if images is not None:
        files = {}
        if stored is not None:
            for index, name in enumerate(assessment.names):
                file = assessment.stored_name(index)
                own = stored.own_file(file)
                # A path that must not be shown is handed over as a copy, or as a picture.
                may_be_shown = file == name and own is not None and _may_be_shown(assessment, own)
                if own is not None and (may_be_shown or keep_originals):
                    files[name] = (own, stored.shown_by_browsers(file))

        def pixels(image: ChosenImage) -> UInt8[np.ndarray, "h w c"]:
            own = images.pixels[image.index]
            return (
                own if stored is None else stored.read_or(assessment.stored_name(image.index), own)
            )

        root = workdir if stored is None else stored.folder
        chosen = ChosenImages(chosen_images(assessment, files), pixels, root)
        hand_over(workdir, chosen, formats, keep_originals=keep_originals)
    write_to_label(table, assessment.selection, names, assessment.groups)


def _may_be_shown(assessment: Assessment, file: pathlib.Path) -> bool:
    """Whether no part of the path may name a patient: the folder of all images may, too."""
    path = os.path.abspath(file)
    return assessment.headers is None or assessment.headers.path(path) == path


def stored_images(
    assessment: Assessment,
    folder: str | os.PathLike[str] | None,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
) -> StoredImages | None:
    """The images at their full size; None where the assessed ones are no files, or changed."""
    if assessment.images is None or assessment.level is not None:
        return None
    if folder is None or not os.path.exists(folder) or not reads_files(folder):
        return None
    training = {} if assessment.encoder is None else assessment.encoder.training
    return StoredImages.of(
        folder,
        assessment.stored_names or assessment.names,
        bits_stored=assessment.images.bits_stored,
        **dicom_settings(folder, training),
        slicing=slicing,
        tiling=tiling,
    )


def shown_pixels(assessment: Assessment, stored: StoredImages | None) -> PixelsOf | None:
    images = assessment.images
    if images is None:
        return None

    def pixels(index: int) -> UInt8[np.ndarray, "h w c"]:
        own = images.pixels[index]
        return own if stored is None else stored.read_or(assessment.stored_name(index), own)

    return pixels


def number_to_label(assessment: Assessment) -> int:
    if assessment.selection is None or not assessment.asked:
        return 0
    return len(assessment.selection.indices)
