"""What all formats are written from: the chosen images in order, and their files."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from examine_jax.common.shapes import UInt8


@dataclasses.dataclass(frozen=True)
class ChosenImage:
    """An image to label.

    Attributes:
        order: from 1, the first to label.
        name: the image's.
        index: its row in scores.csv.
        group: its patient or slide, or "".
        covers: how many images it stands for.
        nearest_chosen: the name of the nearest image that was chosen before it, or is labelled;
            "" if there is none.
        file: the image's own file; None: it has none that holds this image alone.
        shown: whether a browser shows the file as it is.
    """

    order: int
    name: str
    index: int
    group: str
    covers: int
    nearest_chosen: str
    file: pathlib.Path | None = None
    shown: bool = True


@dataclasses.dataclass(frozen=True)
class ChosenImages:
    """The images to label, in order.

    Attributes:
        images: in order.
        pixels: the pixels of one of them as they are stored.
        root: the folder that all files lie in.
    """

    images: tuple[ChosenImage, ...]
    pixels: Callable[[ChosenImage], UInt8[np.ndarray, "h w c"]]
    root: pathlib.Path

    @property
    def are_shown(self) -> bool:
        """Whether each image has a file of its own below the root that a browser shows."""
        return all(image.file is not None and image.shown for image in self.images)
