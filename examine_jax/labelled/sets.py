"""Labelled images: where they are, and reading them once for all seeds."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Int, Shaped, UInt8
from examine_jax.images import ImageSet, StreamedImages, can_stream, load_images, stream_images
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.sources.registry import reads_files
from examine_jax.labelled.header_groups import GroupBy, group_codes_of
from examine_jax.labelled.tables import Labels, read_labels


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images in memory with one label each.

    Attributes:
        names: of the images.
        pixels: uint8 [N, H, W, C].
        labels: [N] indices into `classes`.
        classes: the names of the labels.
        groups: [N] patient, slide or the like, kept whole in every split; None: every image is its
            own group.
        skipped: how many files could not be read.
    """

    names: tuple[str, ...]
    pixels: UInt8[np.ndarray, "n h w c"]
    labels: Int[np.ndarray, " n"]
    classes: tuple[str, ...]
    groups: Shaped[np.ndarray, " n"] | None
    skipped: int = 0

    def digest(self) -> str:
        """Returns a short text of pixels, labels and groups."""
        return digest_arrays((self.pixels, self.labels, self.groups))


@dataclasses.dataclass(frozen=True)
class LabelledSource:
    """Where labelled images are.

    Attributes:
        images: a folder, a list or an archive of files, .npy, .npz, a prepared TFDS folder or
            "tfds:NAME".
        labels: a CSV file. None: the source's own labels (TFDS, MedMNIST), or the sub-folders of a
            folder or archive.
        groups: a CSV file of patients, slides or the like.
        image_column, label_column, group_column: headers of the CSV files.
        split: of a TFDS data set or an .npz file.
        group_by: what images of one group share, in place of `groups`.
    """

    images: str | os.PathLike[str]
    labels: str | os.PathLike[str] | None = setting(
        None, "A .csv file; the source's own labels if not given.", metavar="FILE", main=True
    )
    groups: str | os.PathLike[str] | None = setting(
        None,
        "A .csv file: the patient or slide of each image; groups stay whole.",
        metavar="FILE",
        main=True,
    )
    image_column: str = setting("image", "The header of the images' names.")
    label_column: str = setting("label", "The header of the labels.")
    group_column: str = setting("group", "The header of the groups.")
    split: str | None = setting(None, "Of a TFDS data set or an .npz file; train if not given.")
    group_by: GroupBy | None = setting(
        None,
        "In place of --groups: images of one patient, study or series by their DICOM headers, of "
        "one folder, or of one slide, volume or file.",
    )

    def __post_init__(self) -> None:
        if self.groups is not None and self.group_by is not None:
            raise ValueError("--groups and --group_by both say the groups: leave one of them out")

    @property
    def name(self) -> str:
        """The source's name on a page."""
        return pathlib.Path(self.images).name


def read_labelled(
    source: LabelledSource,
    *,
    image_size: int,
    channels: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> LabelledImages:
    """Reads images with their labels, and with groups if the source names them.

    CSV files are checked against the names of a folder's or TFDS data set's images before any image
    is decoded. A file that cannot be read is skipped: it needs no row in a CSV file, and may have
    one.

    Raises:
        ValueError, OSError, ImportError: nothing is readable, there are no labels, some images lack
            one (which), or there is one class only.
    """
    images, labels, groups, split = source.images, source.labels, source.groups, source.split
    image_column, label_column, group_column = (
        source.image_column,
        source.label_column,
        source.group_column,
    )
    listed = (
        None if labels is None and groups is None else _listed(images, image_size, channels, split)
    )
    if labels is not None:
        table = _check_table(labels, listed, image_column, label_column)
        if table is not None:
            _check_classes(table.classes, len(table.values))
    if groups is not None:
        _check_table(groups, listed, image_column, group_column)
    found = load_images(
        images, image_size=image_size, channels=channels, split=split, on_progress=on_progress
    )
    if labels is not None:
        read = _labels_of(labels, found, image_column, label_column)
        values, classes = read.values.astype(np.int64), read.classes
    elif found.labels is not None and found.labels.ndim == 1:
        numbers, values = np.unique(found.labels, return_inverse=True)
        classes = tuple(str(number) for number in numbers)
    elif found.labels is None and reads_files(images):
        loose = [name for name in found.names if "/" not in name or name.startswith(("/", ".."))]
        if loose:
            raise ValueError(
                f"{images}: {len(loose)} images lie in no class's sub-folder (such as "
                f"{loose[0]!r}); "
                "give a CSV file of labels, or sort them"
            )
        parents, values = np.unique(
            [name.partition("/")[0] for name in found.names], return_inverse=True
        )
        classes = tuple(map(str, parents))
        if len(classes) < 2:
            raise ValueError(
                f"{images} has one sub-folder with images, {classes[0]}: name the folder whose "
                "sub-folders are the classes, "
                "or give a CSV file of labels"
            )
    else:
        raise ValueError(f"{images} comes without one label an image; give a CSV file of labels")
    _check_classes(classes, len(values))
    grouped = None
    if groups is not None:
        grouped = _labels_of(groups, found, image_column, group_column).values
    if source.group_by is not None:
        grouped = group_codes_of(images, found.names, source.group_by)
    return LabelledImages(found.names, found.pixels, values, classes, grouped, len(found.skipped))


def _listed(
    images: str | os.PathLike[str], image_size: int, channels: int, split: str | None
) -> StreamedImages | None:
    """Lists the images without decoding them; None for an array file, which is read whole."""
    if not can_stream(images):
        return None
    return stream_images(
        images, image_size=image_size, channels=channels, split=split, bits_stored=16
    )


def _check_table(
    path: str | os.PathLike[str], images: StreamedImages | None, image_column: str, column: str
) -> Labels | None:
    """Reads the labels of images that have a row; refuses early what `_labels_of` would refuse."""
    if images is None:
        os.stat(path)  # the file must exist at least
        return None
    skipped = [item.name for item in images.skipped]
    # An image has a row if the file has its name; the row's other columns are read below.
    names = read_labels(
        path,
        images.names,
        image_column=image_column,
        label_column=image_column,
        partial=True,
        skipped=skipped,
    )
    with_row = names.values >= 0
    named = [name for name, has in zip(images.names, with_row) if has]
    without = np.flatnonzero(~with_row)
    for place, row in enumerate(without):
        try:
            images.read(int(row))
        except UnreadableImage:  # it is skipped later, and needs no row
            continue
        named += [images.names[other] for other in without[place:]]
        break
    return read_labels(path, named, image_column=image_column, label_column=column, skipped=skipped)


def _labels_of(
    path: str | os.PathLike[str], found: ImageSet, image_column: str, column: str
) -> Labels:
    """Reads one label for each image that was decoded."""
    skipped = [item.name for item in found.skipped]
    return read_labels(
        path, found.names, image_column=image_column, label_column=column, skipped=skipped
    )


def _check_classes(classes: Sequence[str], images: int) -> None:
    if not 2 <= len(classes) < images:
        raise ValueError(
            f"there are {len(classes)} classes for {images} images ({', '.join(classes[:4])}); two "
            "or more are needed, "
            "with several images each: is this the column of labels?"
        )
