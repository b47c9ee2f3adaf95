"""A set in numbers, for the study's page."""

import dataclasses

import numpy as np

from examine_jax.labelled.sets import LabelledImages


def describe(images: LabelledImages) -> "SetDescription":
    """Counts a set's images, classes and groups."""
    counts = np.bincount(images.labels, minlength=len(images.classes))
    groups = None if images.groups is None else len(np.unique(images.groups))
    return SetDescription(
        len(images.names),
        dict(zip(images.classes, map(int, counts), strict=True)),
        groups,
        images.skipped,
    )


@dataclasses.dataclass(frozen=True)
class SetDescription:
    """A set in numbers.

    Attributes:
        images: how many there are.
        classes: images by class.
        groups: how many there are; None: none are known.
        skipped: files that could not be read.
    """

    images: int
    classes: dict[str, int]
    groups: int | None
    skipped: int
