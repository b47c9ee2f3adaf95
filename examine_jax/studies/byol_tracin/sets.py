"""The study's two sets: read once, divided anew for every seed, before anything is trained."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax.common.shapes import Int, Shaped
from examine_jax.labelled.published.read import read_official
from examine_jax.labelled.splits import check_split, stratified_split
from examine_jax.studies.byol_tracin.settings import StudySettings
from examine_jax.studies.examine.sets import read_labelled


@dataclasses.dataclass(frozen=True, eq=False)
class StudySet:
    """Labelled images.

    Attributes:
        name: for the reader.
        names: of the images: their files, below the folder.
        pixels: uint8 [N, H, W, C], or anything with len(), .shape and [int32 indices] that gives them.
        labels: [N] a class, or [N, classes] 0 and 1.
        classes: their names.
        groups: [N] what must not be torn apart; None: every image for itself.
        tested: [N] whether the official split tests on the image; None: there is none.
        skipped: files that could not be read.
        official: whether the layout is an official one, whose file names are the images' own everywhere.
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
        """One number a class [N]; where images have several labels, one a set of labels, so that alike means all labels alike."""
        if not self.multilabel:
            return self.labels
        return np.unique(self.labels, axis=0, return_inverse=True)[1].reshape(-1)

    def fingerprint(self) -> str:
        """Of names, classes, labels, groups, split and images; of images that are read on demand, up to 256 spread over the set."""
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray):
            pixels = pixels[np.linspace(0, len(self.labels) - 1, min(256, len(self.labels))).astype(np.int32)]
        digest = hashlib.blake2b("\0".join((*self.names, "", *self.classes)).encode(), digest_size=16)
        for part in (self.labels, self.groups, self.tested, pixels):
            if part is not None:
                digest.update(f"{part.dtype}{part.shape}".encode())
                digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of one seed's training and test images, and of the training images whose labels are used at each share.

    `left_out`: training images that are the second set's test images too (`divide_both`).
    """

    training: Int[np.ndarray, " p"]
    test: Int[np.ndarray, " t"]
    labelled: dict[float, Int[np.ndarray, " l"]]
    left_out: Int[np.ndarray, " o"] = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))

    def without(self, rows: Int[np.ndarray, " o"]) -> "Split":
        """The same without these rows in training."""
        labelled = {share: np.setdiff1d(own, rows) for share, own in self.labelled.items()}
        return Split(np.setdiff1d(self.training, rows), self.test, labelled, np.intersect1d(self.training, rows))


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Some images of a set, read when they are asked for."""

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
    """These images: an array where the set is one, else still on demand."""
    return pixels[rows] if isinstance(pixels, np.ndarray) else Rows(pixels, rows)


def read_set(
    folder: str | os.PathLike[str],
    layout: str,
    *,
    image_size: int,
    channels: int,
    labels: str | os.PathLike[str] | None = None,
    groups: str | os.PathLike[str] | None = None,
    image_column: str = "image",
    label_column: str = "label",
    group_column: str = "group",
    on_demand: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> StudySet:
    """Reads a set in an official layout, or ("folder") images whose classes a CSV file or, without one, their sub-folders tell.

    Raises:
        ValueError, OSError: as `read_official` and `read_labelled`.
    """
    name = pathlib.Path(folder).name
    if layout != "folder":
        if labels is not None or groups is not None:
            raise ValueError(
                f"the layout {layout} brings labels and groups of its own: leave the CSV files away, or use layout folder"
            )
        found = read_official(
            layout, folder, image_size=image_size, channels=channels, on_demand=on_demand, on_progress=on_progress
        )
        return StudySet(
            name,
            found.names,
            found.pixels,
            found.labels,
            found.classes,
            found.groups,
            found.tested,
            official=True,
        )
    if on_demand:
        raise ValueError("on_demand is for official layouts; a plain folder is read at once")
    read = read_labelled(
        folder,
        image_size=image_size,
        channels=channels,
        labels=labels,
        groups=groups,
        image_column=image_column,
        label_column=label_column,
        group_column=group_column,
        on_progress=on_progress,
    )
    return StudySet(name, tuple(read.names), read.pixels, read.labels, read.classes, read.groups, None, read.skipped)


def divide_both(source: StudySet, other: StudySet, settings: StudySettings, seed: int) -> tuple[Split, Split]:
    """One seed's splits of both sets. Where they share images (ISIC 2019 holds those of 2016), no test image of the second set, nor an
    image of its group, is in the first one's training.

    Raises:
        ValueError: as `divide`; so many shared images that a class is left without training images.
    """
    own, others = divide(source, settings, seed, settings.shares), divide(other, settings, seed, (1.0,))
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
            f"{source.name}: without the {len(own.left_out)} training images that are test images of {other.name} too: {error}"
        ) from error
    return own, others


def shared_rows(source: StudySet, other: StudySet, rows: Int[np.ndarray, " r"]) -> Int[np.ndarray, " s"]:
    """The rows of `source` that are one of these rows of `other`: of the same pixels (where neither set is read on demand), or of the
    same name, where one of the layouts is official and its names thus known everywhere."""
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


def divide(images: StudySet, settings: StudySettings, seed: int, shares: tuple[float, ...]) -> Split:
    """One seed's split, every class in every part, groups whole.

    Raises:
        ValueError: a class with too few images or groups, an official split without one; which set and class.
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
                        f"every {part} image has the label {images.classes[always[0]]}, which then tells nothing: leave it out"
                    )
        labelled = {}
        groups = None if images.groups is None else images.groups[training]
        for share in shares:
            rows = training
            where = f"{images.name}, {share:.0%} of the training labels"
            if share < 1:
                some, _ = stratified_split(classes[training], groups, shares=(share, 1 - share), seed=seed)
                rows = training[some]
            labelled[share] = rows
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return Split(training, test, labelled)


def _named(images: StudySet) -> Shaped[np.ndarray, "n *classes"]:
    """The labels for a split, whose errors name the classes where an image has one."""
    return images.labels if images.multilabel else np.array(images.classes)[images.labels]
