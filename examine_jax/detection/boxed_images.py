"""Images with their boxes, read from files and joined by name."""

import dataclasses
import os
from collections.abc import Callable
from typing import Literal

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.detection.slide_boxes import in_tiles
from examine_jax.images import ImageSet, load_images
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.image_set import SkippedImage
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.image_matching import match_images, named_images
from examine_jax.labelled.boxes.problems import Problem
from examine_jax.labelled.boxes.reading import read_boxes

Unnamed = Literal["left_out", "negative"]


@dataclasses.dataclass(frozen=True, eq=False)
class BoxedImages:
    """Images and the boxes on them, in the same order.

    Attributes:
        images: of one size.
        boxes: in the pixels of the images as they are stored.
        problems: what could not be used of the boxes' file.
        left_out: names of images that the boxes' file does not name.
    """

    images: ImageSet
    boxes: BoxSet
    problems: tuple[Problem, ...] = ()
    left_out: tuple[str, ...] = ()

    def take(self, rows: Float[np.ndarray, " rows"] | list[int]) -> "BoxedImages":
        """The images at these indices, in this order, with their boxes."""
        chosen = [int(row) for row in rows]
        return dataclasses.replace(
            self, images=self.images.take(chosen), boxes=self.boxes.select(chosen)
        )

    @property
    def scaled_boxes(self) -> BoxSet:
        """The boxes in the pixels of `images.pixels`."""
        height, width = self.images.pixels.shape[1:3]
        return self.boxes.scaled_to(height, width)

    def skipped(self) -> tuple[SkippedImage, ...]:
        """The rows of skipped.csv: images and boxes that are not used, with their reasons."""
        unnamed = (
            SkippedImage(name, "the file of boxes does not name this image: it is left out")
            for name in self.left_out
        )
        return (
            *self.images.skipped,
            *(problem.skipped() for problem in self.problems),
            *unnamed,
        )


def read_boxed_images(
    images: str | os.PathLike[str],
    boxes: str | os.PathLike[str],
    *,
    image_size: tuple[int, int],
    channels: int = 3,
    format: str | None = None,
    classes: tuple[str, ...] | None = None,
    unnamed: Unnamed = "left_out",
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int = 1,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
    on_progress: Callable[[int, int], None] | None = None,
) -> BoxedImages:
    """Reads images and the boxes on them.

    Args:
        images: a folder or another source, as in `load_images`.
        boxes: a file or folder, as in `read_boxes`.
        image_size: (height, width) to which each image is squashed.
        channels: 1 (grey) or 3 (colour).
        format: of the boxes; None: by the file's name and content.
        classes: the known classes; None: all classes of the file.
        unnamed: images that the boxes' file does not name are left out, or are taken as images
            without a box. Only the file's author knows which they are.
        intensity_range, dicom_window: of DICOM files, as in `load_images`.
        slicing, tiling: of volumes and of whole slides, as in `load_images`. The file of boxes may
            name tiles, or slides; boxes on slides are in pixels of the finest level.
        on_progress: called as on_progress(images done, images in all).

    Raises:
        ValueError, OSError, ImportError: as `load_images`, `read_boxes` and `match_images`; or no
            image is left.
    """
    return join_boxes(
        load_images(
            images,
            image_size=image_size,
            channels=channels,
            intensity_range=intensity_range,
            dicom_window=dicom_window,
            slicing=slicing,
            tiling=tiling,
            on_progress=on_progress,
        ),
        boxes,
        format=format,
        classes=classes,
        unnamed=unnamed,
    )


def join_boxes(
    images: ImageSet,
    boxes: str | os.PathLike[str],
    *,
    format: str | None = None,
    classes: tuple[str, ...] | None = None,
    unnamed: Unnamed = "left_out",
) -> BoxedImages:
    """`read_boxed_images` for images that are in memory; they must know their stored sizes."""
    if images.stored_sizes is None:
        raise ValueError("the source does not tell the images' own sizes: boxes need them")
    found, problems = read_boxes(
        boxes, format=format, names=images.names, sizes=images.stored_sizes, classes=classes
    )
    found = in_tiles(found, images.names, images.stored_sizes)
    left_out: tuple[str, ...] = ()
    if unnamed == "left_out":
        named = named_images(found, images.names)
        if found.images and not named.any():
            match_images(found, images.names, images.stored_sizes)  # says what both are called
        left_out = tuple(name for name, there in zip(images.names, named) if not there)
        images = images.take(np.flatnonzero(named).tolist())
    if not len(images):
        raise ValueError(f"{os.fspath(boxes)} names no image")
    assert images.stored_sizes is not None
    matched, more = match_images(found, images.names, images.stored_sizes)
    return BoxedImages(images, matched, (*problems, *more), left_out)
