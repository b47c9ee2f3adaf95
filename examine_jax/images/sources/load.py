"""Reads the images that a path or name stands for."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from examine_jax.images.decoding.describing import Describe, described_here, stacked
from examine_jax.images.decoding.resize import ImageSize
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.image_set import ImageSet
from examine_jax.images.names import shown
from examine_jax.images.sources.registry import source_of
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.streamed_images import StreamedImages


def load_images(
    source: str | os.PathLike[str],
    *,
    image_size: ImageSize,
    channels: int = 3,
    split: str | None = None,
    bits_stored: int | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
    describe: Describe | None = None,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
) -> ImageSet:
    """Reads all images of a source into memory. Downloads nothing.

    Args:
        source: a folder (`load_folder`), a .txt or .csv list of files (`sources/file_list.py`), a
            .zip, .tar or .tar.gz archive of files (`sources/archive.py`), a .npy or .npz file
            (`load_array`), a prepared TFDS folder
            or "tfds:NAME" (`load_tfds`), "sample:training" or "sample:assessed" (`sample_images`),
            a URL (`sources/remote.py`),
            or a source of another package as "package.module:attribute:rest" (`sources/source.py`).
        image_size: (rows, columns) of the result; one number: a square.
        channels: 1 (grey) or 3 (colour).
        split: of a TFDS data set (None: "train") or of an archive with MedMNIST's keys (None: all).
        bits_stored: bits in use in images of 16 bits a sample, where they are known; see
            `load_folder`.
        intensity_range, dicom_window: how grey DICOM values become black to white; see
            `load_folder`. Sources other than folders, lists and archives refuse them.
        on_progress: called as `on_progress(images done, images in all)`.
        describe: gets each image as it is stored, upright and before any resize, as uint8
            [H, W, 1 or 3] from black (0) to white (255), and returns K numbers. It must be a
            function of a module, or a frozen dataclass, because other threads and processes call
            it, several at once; it must not change its array, and must bound its own cost on large
            images, because the limits on files do not hold for it. Reload its module after an
            edit: worker processes then run the new version too. Values of more than 8 bits are
            shown as if the image were alone (decoding/describing.py). The other results do not
            depend on it.
        slicing: which slices of NIfTI volumes (decoding/volume.py) and DICOM series
            (decoding/slice_stacks.py) are images.
        tiling: how whole slides are cut into tiles (decoding/slide.py).

    Returns:
        The images, their names, and the files that were skipped with their reasons; with
        `describe`, its results as `descriptions`, float64 [N, K].

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: no source reads it, a split is asked of a folder, or as the source raises.
        OSError: as the source raises.
        ImportError: the package that reads the source is not installed.
        Exception: whatever `describe` raises.
    """
    reader, name = source_of(source)
    check_dicom_settings(source, intensity_range, dicom_window)
    check_slicing(source, slicing, tiling)
    images = reader.load(
        name,
        ReadOptions(
            image_size,
            channels,
            split,
            bits_stored,
            on_progress,
            intensity_range,
            dicom_window,
            describe,
            slicing,
            tiling,
        ),
    )
    if describe is None or images.descriptions is not None:
        return images
    # A source of another package that does not know of descriptions.
    note = "the source does not describe images as they are stored: they are described resized"
    return dataclasses.replace(
        images,
        descriptions=stacked(tuple(described_here(describe, image) for image in images.pixels)),
        notes=(*images.notes, note),
    )


def stream_images(
    source: str | os.PathLike[str],
    *,
    image_size: ImageSize,
    channels: int = 3,
    split: str | None = None,
    bits_stored: int | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
) -> StreamedImages:
    """The same images, each decoded when it is asked for: for sets larger than memory.

    Args:
        source: as in `load_images`, but for array files, which are read whole.
        image_size, channels, split, bits_stored, intensity_range, dicom_window: as in
            `load_images`.
        on_progress, slicing, tiling: as in `load_images`.

    Returns:
        The images by index, their names, and the files that were skipped with their reasons.

    Raises:
        ValueError: the source is read whole, or as in `load_images`.
        FileNotFoundError, OSError, ImportError: as in `load_images`.
    """
    reader, name = source_of(source)
    if not reader.on_demand:
        raise ValueError(
            f"{shown(name)}: only folders, lists, archives and TFDS data sets are read on demand; "
            "load it with load_images"
        )
    check_dicom_settings(source, intensity_range, dicom_window)
    check_slicing(source, slicing, tiling)
    return reader.stream(
        name,
        ReadOptions(
            image_size,
            channels,
            split,
            bits_stored,
            on_progress,
            intensity_range,
            dicom_window,
            slicing=slicing,
            tiling=tiling,
        ),
    )


def can_stream(source: str | os.PathLike[str]) -> bool:
    """Whether `stream_images` reads this source.

    Raises:
        FileNotFoundError, ValueError: as `load_images`.
    """
    return source_of(source)[0].on_demand


def can_hold_dicom(source: str | os.PathLike[str]) -> bool:
    """Whether this source reads DICOM files, and so takes intensity_range and dicom_window.

    Raises:
        FileNotFoundError, ValueError: as `load_images`.
    """
    return bool(getattr(source_of(source)[0], "dicom", False))


def dicom_settings(
    source: str | os.PathLike[str],
    training: Mapping[str, Any],
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int | None = None,
) -> dict[str, Any]:
    """How `load_images` shows DICOM files for an encoder: as asked, else as in its training.

    Args:
        source: as in `load_images`.
        training: what the encoder's folder says of its training.
        intensity_range, dicom_window: what the user asks; None: as in the training.
    """
    if can_hold_dicom(source):
        own = training.get("intensity_range")
        if intensity_range is None and own is not None:
            intensity_range = (float(own[0]), float(own[1]))
        if dicom_window is None:
            dicom_window = training.get("dicom_window")
    return {"intensity_range": intensity_range, "dicom_window": dicom_window or 1}


def check_slicing(source: str | os.PathLike[str], slicing: Slicing, tiling: Tiling) -> None:
    """Raises ValueError if slices or tiles are asked of a source that reads no such files."""
    if tiling != HALF_MICROMETRE and not can_hold_dicom(source):
        raise ValueError(
            f"{shown(source)}: mpp, level, tile_size, overlap and tissue are for whole slides; "
            "leave them out"
        )
    if slicing != EVERY_SLICE and not can_hold_dicom(source):
        raise ValueError(
            f"{shown(source)}: slice_axis and slice_step are for volumes in files, folders, lists "
            "and archives; leave them out"
        )


def check_dicom_settings(
    source: str | os.PathLike[str],
    intensity_range: tuple[float, float] | None,
    dicom_window: int | None,
) -> None:
    """Raises ValueError if settings of DICOM files are given for a source that has none."""
    given = intensity_range is not None or dicom_window not in (None, 1)
    if given and not can_hold_dicom(source):
        raise ValueError(
            f"{shown(source)}: intensity_range and dicom_window are for DICOM files in folders, "
            "lists and archives; leave them out"
        )
