"""The study's two sets: read once, divided anew for every seed, before anything is trained."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax._shapes import Int, Shaped
from examine_jax.evaluation.splits import check_split, stratified_split
from examine_jax.experiments.byol_tracin.settings import StudySettings
from examine_jax.experiments.sets import read_labelled
from examine_jax.images.official_layouts import read_official


@dataclasses.dataclass(frozen=True, eq=False)
class StudySet:
    """Labelled images.

    Attributes:
        name: for the reader.
        pixels: uint8 [N, H, W, C], or anything with len(), .shape and [int32 indices] that gives them.
        labels: [N] a class, or [N, classes] 0 and 1.
        classes: their names.
        groups: [N] what must not be torn apart; None: every image for itself.
        tested: [N] whether the official split tests on the image; None: there is none.
        skipped: files that could not be read.
    """

    name: str
    pixels: Any
    labels: Int[np.ndarray, "n *classes"]
    classes: tuple[str, ...]
    groups: Shaped[np.ndarray, " n"] | None
    tested: Shaped[np.ndarray, " n"] | None
    skipped: int = 0

    @property
    def multilabel(self) -> bool:
        return self.labels.ndim == 2

    def codes(self) -> Int[np.ndarray, " n"]:
        """One number a class [N]; where images have several labels, one a set of labels, so that alike means all labels alike."""
        if not self.multilabel:
            return self.labels
        return np.unique(self.labels, axis=0, return_inverse=True)[1].reshape(-1)

    def fingerprint(self) -> str:
        """Of labels, groups and split, and of up to 256 images spread over the set."""
        some = np.linspace(0, len(self.labels) - 1, min(256, len(self.labels))).astype(np.int32)
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.labels, self.groups, self.tested, self.pixels[some]):
            if part is not None:
                digest.update(f"{part.dtype}{part.shape}".encode())
                digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of one seed's training and test images, and of the training images whose labels are used at each share."""

    training: Int[np.ndarray, " p"]
    test: Int[np.ndarray, " t"]
    labelled: dict[float, Int[np.ndarray, " l"]]


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
        return StudySet(name, found.pixels, found.labels, found.classes, found.groups, found.tested)
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
    return StudySet(name, read.pixels, read.labels, read.classes, read.groups, None, read.skipped)


def divide(images: StudySet, settings: StudySettings, seed: int, shares: tuple[float, ...]) -> Split:
    """One seed's split, every class in every part, groups whole.

    Raises:
        ValueError: a class with too few images or groups, an official split without one; which set and class.
    """
    try:
        if images.tested is None:
            wanted = (1 - settings.tested, settings.tested)
            training, test = stratified_split(images.labels, images.groups, shares=wanted, seed=seed)
        else:
            training, test = np.flatnonzero(~images.tested), np.flatnonzero(images.tested)
        check_split((training, test), images.labels, images.groups)
        labelled = {}
        groups = None if images.groups is None else images.groups[training]
        for share in shares:
            rows = training
            if share < 1:
                some, _ = stratified_split(images.labels[training], groups, shares=(share, 1 - share), seed=seed)
                rows = training[some]
            labelled[share] = rows
    except ValueError as error:
        raise ValueError(f"{images.name}: {error}") from error
    return Split(training, test, labelled)
