"""The study's two sets: read once, split anew for every seed before anything is trained."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.shapes import Int, Shaped
from examine_jax.labelled.published.read import read_official
from examine_jax.labelled.sets import LabelledSource, read_labelled
from examine_jax.labelled.splits import check_split, stratified_split
from examine_jax.studies.byol_tracin.settings import StudySettings


@dataclasses.dataclass(frozen=True, eq=False)
class StudySet:
    """Labelled images, in memory or read on demand.

    Attributes:
        name: for the reader.
        names: of the images: their files, relative to the folder.
        pixels: uint8 [N, H, W, C], or an object with len(), .shape and [int32 indices] that returns
            them.
        labels: [N] class numbers, or [N, classes] of 0 and 1.
        classes: the names of the classes.
        groups: [N] patient, lesion or the like, kept whole in every split; None: every image is its
            own group.
        tested: [N] whether the official split tests on the image; None: there is no official split.
        skipped: how many files could not be read.
        official: whether the layout is an official one, whose file names identify images in every
            copy.
    """

    name: str
    names: tuple[str, ...]
    pixels: Any
    labels: Int[np.ndarray, "n *classes"]
    classes: tuple[str, ...]
    groups: Shaped[np.ndarray, " n"] | None
    tested: Shaped[np.ndarray, " n"] | None
    skipped: int = 0
    official: bool = False

    @property
    def multilabel(self) -> bool:
        return self.labels.ndim == 2

    def codes(self) -> Int[np.ndarray, " n"]:
        """Returns class numbers [N]; with several labels per image, one for each distinct set."""
        if not self.multilabel:
            return self.labels
        return np.unique(self.labels, axis=0, return_inverse=True)[1].reshape(-1)

    def fingerprint(self) -> str:
        """Returns a digest of everything; of images that are read on demand, of 256 at most."""
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray):
            pixels = pixels[
                np.linspace(0, len(self.labels) - 1, min(256, len(self.labels))).astype(np.int32)
            ]
        names = "\0".join((*self.names, "", *self.classes)).encode()
        return digest_arrays((self.labels, self.groups, self.tested, pixels), names)


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of one seed's split of a set.

    Attributes:
        training: of pre-training.
        test: of all tests.
        labelled: by share: the training images whose labels are used.
        left_out: images not trained on because the second set tests on them, or on images of their
            groups.
    """

    training: Int[np.ndarray, " p"]
    test: Int[np.ndarray, " t"]
    labelled: dict[float, Int[np.ndarray, " l"]]
    left_out: Int[np.ndarray, " o"] = dataclasses.field(
        default_factory=lambda: np.zeros(0, np.int64)
    )

    def without(self, rows: Int[np.ndarray, " o"]) -> "Split":
        """Returns the split without these rows in training."""
        labelled = {share: np.setdiff1d(own, rows) for share, own in self.labelled.items()}
        return Split(
            np.setdiff1d(self.training, rows),
            self.test,
            labelled,
            np.intersect1d(self.training, rows),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Some images of a set that is read on demand."""

    pixels: Any
    rows: Int[np.ndarray, " r"]
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.pixels.shape[1:])

    def __getitem__(self, indices: Int[np.ndarray, " b"]) -> Shaped[np.ndarray, "b h w c"]:
        return self.pixels[self.rows[indices]]


def some_rows(pixels: Any, rows: Int[np.ndarray, " r"]) -> Any:
    """Returns these images: an array if the set is one, else still on demand."""
    return pixels[rows] if isinstance(pixels, np.ndarray) else Rows(pixels, rows)


@dataclasses.dataclass(frozen=True)
class StudySource:
    """Where a set is.

    Attributes:
        source: the images, and for a plain folder its labels and groups.
        layout: "folder", or an official one, which brings labels and groups of its own.
        on_demand: decode images while training; for official layouts.
    """

    source: LabelledSource
    layout: str = "folder"
    on_demand: bool = False


def read_set(
    where: StudySource,
    *,
    image_size: int,
    channels: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> StudySet:
    """Reads a set in its layout.

    Raises:
        ValueError, OSError: as `read_official` and `read_labelled`.
    """
    source = where.source
    if where.layout != "folder":
        if any(one is not None for one in (source.labels, source.groups, source.group_by)):
            raise ValueError(
                f"the layout {where.layout} brings labels and groups of its own: "
                "leave the CSV files away, or use layout folder"
            )
        found = read_official(
            where.layout,
            source.images,
            image_size=image_size,
            channels=channels,
            on_demand=where.on_demand,
            on_progress=on_progress,
        )
        return StudySet(
            source.name,
            found.names,
            found.pixels,
            found.labels,
            found.classes,
            found.groups,
            found.tested,
            official=True,
        )
    if where.on_demand:
        raise ValueError("on_demand is for official layouts; a plain folder is read at once")
    read = read_labelled(source, image_size=image_size, channels=channels, on_progress=on_progress)
    return StudySet(
        source.name,
        tuple(read.names),
        read.pixels,
        read.labels,
        read.classes,
        read.groups,
        None,
        read.skipped,
    )


def divide_both(
    source: StudySet, other: StudySet, settings: StudySettings, seed: int
) -> tuple[Split, Split]:
    """Splits both sets for one seed, so that no test image of the second trains on the first.

    Neither do images of its group. ISIC 2019, for example, contains the images of ISIC 2016.

    Raises:
        ValueError: as `divide`; so many shared images that a class is left without training images.
    """
    own, others = (
        divide(source, settings, seed, settings.shares),
        divide(other, settings, seed, (1.0,)),
    )
    shared = shared_rows(source, other, others.test)
    if not len(shared):
        return own, others
    if source.groups is not None:
        shared = np.flatnonzero(np.isin(source.groups, source.groups[shared]))
    own = own.without(shared)
    try:
        for rows in own.labelled.values():
            check_split((rows, own.test), _named(source), source.groups)
    except ValueError as error:
        raise ValueError(
            f"{source.name}: without the {len(own.left_out)} training images that are test images "
            f"of {other.name} too: {error}"
        ) from error
    return own, others


def shared_rows(
    source: StudySet, other: StudySet, rows: Int[np.ndarray, " r"]
) -> Int[np.ndarray, " s"]:
    """Returns the rows of `source` whose images are also in these rows of `other`.

    Images are the same if their pixels are (unless a set is read on demand), or if their names are
    and one of the layouts is official.
    """
    found = np.zeros(len(source.labels), bool)
    if isinstance(source.pixels, np.ndarray) and isinstance(other.pixels, np.ndarray):
        known = {_digest(other.pixels[row]) for row in rows}
        found |= np.array([_digest(image) in known for image in source.pixels])
    if source.official or other.official:
        names = {_stem(other.names[row]) for row in rows}
        found |= np.array([_stem(name) in names for name in source.names])
    return np.flatnonzero(found)


def _digest(image: Shaped[np.ndarray, "h w c"]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def _stem(name: str) -> str:
    return pathlib.PurePosixPath(name).stem.removesuffix("_downsampled")


def divide(
    images: StudySet, settings: StudySettings, seed: int, shares: tuple[float, ...]
) -> Split:
    """Splits a set for one seed: every class in every part, groups whole.

    Raises:
        ValueError: a class has too few images or groups, or the official split lacks it (which set
            and class).
    """
    classes, where = _named(images), images.name
    try:
        if images.tested is None:
            wanted = (1 - settings.tested, settings.tested)
            training, test = stratified_split(classes, images.groups, shares=wanted, seed=seed)
        else:
            training, test = np.flatnonzero(~images.tested), np.flatnonzero(images.tested)
        check_split((training, test), classes, images.groups)
        if images.multilabel:
            for part, rows in {"training": training, "test": test}.items():
                always = np.flatnonzero(images.labels[rows].all(axis=0))
                if len(always):
                    raise ValueError(
                        f"every {part} image has the label {images.classes[always[0]]}, which then "
                        "tells nothing: leave it out"
                    )
        labelled = {}
        groups = None if images.groups is None else images.groups[training]
        for share in shares:
            rows = training
            where = f"{images.name}, {share:.0%} of the training labels"
            if share < 1:
                some, _ = stratified_split(
                    classes[training], groups, shares=(share, 1 - share), seed=seed
                )
                rows = training[some]
            labelled[share] = rows
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return Split(training, test, labelled)


def _named(images: StudySet) -> Shaped[np.ndarray, "n *classes"]:
    """Returns labels whose errors name the classes, if each image has one."""
    return images.labels if images.multilabel else np.array(images.classes)[images.labels]
