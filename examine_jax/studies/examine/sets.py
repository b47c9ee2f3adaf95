"""The experiments' images: read once, divided anew for every seed."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.common.shapes import Float, Int, Shaped, UInt8
from examine_jax.images import GaussianCorruption, ImageSet, StreamedImages, corrupt, load_images, stream_images
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.labelled.splits import check_split, stratified_split
from examine_jax.labelled.tables import Labels, read_labels
from examine_jax.studies.examine.settings import ExperimentSettings, NoiseSettings

_OTHER_NOISE = 1_000_003  # the training images' noise is another stream than the assessed ones'


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledImages:
    """All images that there are.

    Attributes:
        names: of the images.
        pixels: uint8 [N, H, W, C].
        labels: [N] an index into `classes`.
        classes: names of the labels.
        groups: [N] what must not be torn apart, or None: every image for itself.
        skipped: files that could not be read.
    """

    names: tuple[str, ...]
    pixels: UInt8[np.ndarray, "n h w c"]
    labels: Int[np.ndarray, " n"]
    classes: tuple[str, ...]
    groups: Shaped[np.ndarray, " n"] | None
    skipped: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Division:
    """Row numbers of one seed's sets, ascending; no row or group is in two of them.

    Attributes:
        pretraining, assessed, clean: [.] each.
        valued_on, measured_on: the validation set: what defines V, and what the curves are measured on (the same, or its halves).
    """

    pretraining: Int[np.ndarray, " p"]
    assessed: Int[np.ndarray, " a"]
    clean: Int[np.ndarray, " c"]
    valued_on: Int[np.ndarray, " v"]
    measured_on: Int[np.ndarray, " m"]


def read_labelled(
    images: str | os.PathLike[str],
    *,
    image_size: int,
    channels: int,
    labels: str | os.PathLike[str] | None = None,
    groups: str | os.PathLike[str] | None = None,
    image_column: str = "image",
    label_column: str = "label",
    group_column: str = "group",
    split: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> LabelledImages:
    """Images with labels, and groups where there are any.

    Args:
        images: a folder, .npy, .npz, a prepared TFDS folder or "tfds:NAME".
        labels, groups: CSV files; without `labels` the source's own labels are taken (TFDS, MedMNIST), or the sub-folders of a folder.
            An image that cannot be read needs no row, and may have one. They are compared with the names of a folder's or TFDS data set's
            images before any is decoded.
        split: of a TFDS data set or an .npz file.

    Raises:
        ValueError, OSError, ImportError: nothing readable, no labels, labels missing (of which images), one class only.
    """
    listed = None if labels is None and groups is None else _listed(images, image_size, channels, split)
    if labels is not None:
        told = _check_table(labels, listed, image_column, label_column)
        if told is not None:
            _check_classes(told.classes, len(told.values))
    if groups is not None:
        _check_table(groups, listed, image_column, group_column)
    found = load_images(images, image_size=image_size, channels=channels, split=split, on_progress=on_progress)
    if labels is not None:
        read = _labels_of(labels, found, image_column, label_column)
        values, classes = read.values.astype(np.int64), read.classes
    elif found.labels is not None and found.labels.ndim == 1:
        numbers, values = np.unique(found.labels, return_inverse=True)
        classes = tuple(str(number) for number in numbers)
    elif pathlib.Path(images).is_dir() and found.labels is None:
        loose = [name for name in found.names if "/" not in name]
        if loose:
            raise ValueError(
                f"{images}: {len(loose)} images lie in no class's sub-folder (such as {loose[0]!r}); "
                "give a CSV file of labels, or sort them"
            )
        parents, values = np.unique([name.partition("/")[0] for name in found.names], return_inverse=True)
        classes = tuple(map(str, parents))
        if len(classes) < 2:
            raise ValueError(
                f"{images} has one sub-folder with images, {classes[0]}: name the folder whose sub-folders are the classes, "
                "or give a CSV file of labels"
            )
    else:
        raise ValueError(f"{images} comes without one label an image; give a CSV file of labels")
    _check_classes(classes, len(values))
    grouped = None
    if groups is not None:
        grouped = _labels_of(groups, found, image_column, group_column).values
    return LabelledImages(found.names, found.pixels, values, classes, grouped, len(found.skipped))


def _listed(images: str | os.PathLike[str], image_size: int, channels: int, split: str | None) -> StreamedImages | None:
    """The images' names without the images, by their headers at most; None: an array file, which is read whole."""
    if not pathlib.Path(images).is_dir() and not os.fspath(images).startswith("tfds:"):
        return None
    return stream_images(images, image_size=image_size, channels=channels, split=split, bits_stored=16)


def _check_table(
    path: str | os.PathLike[str], images: StreamedImages | None, image_column: str, column: str
) -> Labels | None:
    """The labels of what has a row; refuses, before all images are decoded, what `_labels_of` would refuse afterwards."""
    if images is None:
        os.stat(path)  # at least it must be there
        return None
    skipped = [item.name for item in images.skipped]
    # An image has a row if the file has its name; what else the row says is read below.
    names = read_labels(
        path, images.names, image_column=image_column, label_column=image_column, partial=True, skipped=skipped
    )
    with_row = names.values >= 0
    named = [name for name, has in zip(images.names, with_row) if has]
    without = np.flatnonzero(~with_row)
    for place, row in enumerate(without):
        try:
            images.read(int(row))
        except UnreadableImage:  # it will be skipped, and needs no row
            continue
        named += [images.names[other] for other in without[place:]]
        break
    return read_labels(path, named, image_column=image_column, label_column=column, skipped=skipped)


def _labels_of(path: str | os.PathLike[str], found: ImageSet, image_column: str, column: str) -> Labels:
    """The labels of the images that could be read, one for each."""
    skipped = [item.name for item in found.skipped]
    return read_labels(path, found.names, image_column=image_column, label_column=column, skipped=skipped)


def _check_classes(classes: Sequence[str], images: int) -> None:
    if not 2 <= len(classes) < images:
        raise ValueError(
            f"there are {len(classes)} classes for {images} images ({', '.join(classes[:4])}); two or more are needed, "
            "with several images each: is this the column of labels?"
        )


def divide(images: LabelledImages, settings: ExperimentSettings, seed: int) -> Division:
    """The four sets of a seed, each with all classes, groups whole.

    Raises:
        ValueError: too few images or groups of a class for four sets.
    """
    sizes = dataclasses.astuple(settings.sizes)
    parts = stratified_split(images.labels, images.groups, shares=tuple(map(float, sizes)), seed=seed)
    generator = np.random.default_rng(seed)
    kept = [np.sort(generator.choice(part, min(size, len(part)), replace=False)) for part, size in zip(parts, sizes)]
    check_split(kept, images.labels, images.groups)
    pretraining, assessed, clean, validation = kept
    if settings.valued_on == "validation":
        return Division(pretraining, assessed, clean, validation, validation)
    groups = None if images.groups is None else images.groups[validation]
    halves = stratified_split(images.labels[validation], groups, shares=(1.0, 1.0), seed=seed)
    return Division(pretraining, assessed, clean, validation[halves[0]], validation[halves[1]])


def noisy_assessed(
    pixels: UInt8[np.ndarray, "n h w c"], noise: NoiseSettings, seed: int, mean: float
) -> tuple[UInt8[np.ndarray, "n h w c"], Float[np.ndarray, " n"]]:
    """The assessed images with their noise, and its level; `mean` is the clean training images'."""
    noisy, level = corrupt(pixels, _corruption(noise, noise.assessed, len(pixels), seed), seed=seed, mean=mean)
    return noisy.astype(np.uint8, copy=False), level


def noisy_pretraining(
    pixels: UInt8[np.ndarray, "n h w c"], noise: NoiseSettings, seed: int, mean: float
) -> UInt8[np.ndarray, "n h w c"]:
    """The mixed training set of the second phase."""
    stream = seed + _OTHER_NOISE
    noisy, _ = corrupt(pixels, _corruption(noise, noise.pretraining, len(pixels), stream), seed=stream, mean=mean)
    return noisy.astype(np.uint8, copy=False)


def mean_of(pixels: UInt8[np.ndarray, "n h w c"]) -> float:
    """m, in [0, 1]: of whole numbers, so that it is exact."""
    return int(pixels.sum(dtype=np.int64)) / (255 * pixels.size)


def _corruption(noise: NoiseSettings, portion: float, images: int, seed: int) -> GaussianCorruption:
    levels = noise.levels
    if noise.division == "drawn":  # a level an image
        count = max(1, round(portion * images))
        levels = tuple(np.random.default_rng(seed).choice(noise.levels, count).tolist())
    return GaussianCorruption(levels=levels, portion=portion, spread=noise.spread)
