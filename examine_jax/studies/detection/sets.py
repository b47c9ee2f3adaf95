"""The study's images and boxes: read, fused where there are several readers, and divided."""

import dataclasses
import os

import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.progress import progress_bar
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Int, Shaped
from examine_jax.detection.boxed_images import Unnamed, read_boxed_images
from examine_jax.detection.fusion import fuse
from examine_jax.detection.training import large_enough
from examine_jax.images import ImageSet
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.problems import Problem
from examine_jax.labelled.boxes.registry import READERS
from examine_jax.labelled.header_groups import GroupBy, group_codes_of
from examine_jax.labelled.splits import group_codes
from examine_jax.labelled.tables import read_column
from examine_jax.studies.detection.settings import DetectionStudySettings


@dataclasses.dataclass(frozen=True)
class DetectionSource:
    """Where images and boxes are."""

    images: str | os.PathLike[str] = setting(
        help="A folder of images; DICOM too.", metavar="FOLDER", main=True
    )
    boxes: str | os.PathLike[str] = setting(
        help="COCO .json, .csv (VinDr-CXR's tables too), or a folder of VOC or YOLO files; of one "
        "reader or several.",
        metavar="PATH",
        main=True,
    )
    format: str | None = setting(
        None, "Of the boxes. If not given: by the file.", known=READERS, metavar="NAME"
    )
    groups: str | os.PathLike[str] | None = setting(
        None,
        "The patient of each image (CSV); no patient is in two parts.",
        metavar="CSV",
        main=True,
    )
    group_by: GroupBy | None = setting(
        None,
        "In place of --groups: images of one patient, study or series by their DICOM headers, of "
        "one folder, or of one slide, volume or file.",
    )
    group_column: str = setting("group", "The header of the groups.")
    image_column: str = setting("image", "The header of the images' names.")
    unnamed: Unnamed = setting(
        "left_out",
        "Images that the file of boxes does not name: not used, or taken as without a box.",
    )

    def __post_init__(self) -> None:
        if self.groups is not None and self.group_by is not None:
            raise ValueError("--groups and --group_by both say the groups: leave one of them out")


@dataclasses.dataclass(frozen=True, eq=False)
class StudyImages:
    """Images with boxes in the detector's pixels.

    Attributes:
        images: all that are used.
        readers: the boxes of all readers.
        boxes: the fused boxes; where there are no readers, the boxes as they are.
        appearance: the images in the order of their first appearance in the file.
        groups: the patient of each image, or None.
        problems: what could not be used of the boxes' file.
    """

    images: ImageSet
    readers: BoxSet
    boxes: BoxSet
    appearance: Int[np.ndarray, " images"]
    groups: Shaped[np.ndarray, " images"] | None
    problems: tuple[Problem, ...] = ()

    def digest(self) -> str:
        """A short text of pixels, boxes and groups."""
        boxes = self.readers
        codes = None if self.groups is None else group_codes(self.groups)[1]
        return digest_arrays(
            (self.images.pixels, boxes.corners, boxes.image, boxes.label, boxes.reader, codes)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The rows of the study's images in each part.

    Attributes:
        training: in the order in which they are divided into unlabelled and labelled ones.
        validation, test: the other parts.
    """

    training: Int[np.ndarray, " training"]
    validation: Int[np.ndarray, " validation"]
    test: Int[np.ndarray, " test"]

    def labelled(self, share: float) -> Int[np.ndarray, " labelled"]:
        """The labelled images: the last ones, so that a smaller share lies in a larger one."""
        count = _whole(share * len(self.training))
        return self.training[len(self.training) - count :]

    def unlabelled(self, share: float) -> Int[np.ndarray, " unlabelled"]:
        """The images for pre-training: the first ones. Rounding may leave one image in neither."""
        return self.training[: _whole((1 - share) * len(self.training))]


def read_images(
    source: DetectionSource, settings: DetectionStudySettings, *, progress: bool
) -> StudyImages:
    """Reads images and boxes, and fuses the boxes of several readers.

    Raises:
        ValueError, OSError: as `read_boxed_images`; no image has a box; there is no group for an
            image.
    """
    with progress_bar("images", progress) as report:
        boxed = read_boxed_images(
            source.images,
            source.boxes,
            image_size=settings.input_size,
            format=source.format,
            unnamed=source.unnamed,
            on_progress=report,
        )
    if settings.findings_only:
        boxed = boxed.take(np.flatnonzero(boxed.boxes.counts() > 0).tolist())
    if not len(boxed.boxes):
        raise ValueError(f"{os.fspath(source.boxes)}: no image has a box")
    readers, thin = large_enough(boxed.scaled_boxes)
    if readers.crowd is not None:
        readers = readers.take(~readers.crowd)
    fused = readers
    if readers.reader is not None:
        fused = fuse(readers, iou=settings.fuse_iou, order=settings.fuse_order)
    groups = None
    if source.group_by is not None:
        groups = group_codes_of(source.images, boxed.images.names, source.group_by)
    if source.groups is not None:
        groups = read_column(
            source.groups,
            len(boxed.images),
            source.group_column,
            boxed.images.names,
            source.image_column,
            column_flag="group_column",
        )
        missing = np.flatnonzero(groups.astype(str) == "")
        if len(missing):
            raise ValueError(
                f"{os.fspath(source.groups)} has no {source.group_column} for "
                f"{boxed.images.names[missing[0]]!r} ({len(missing)} in all): add them"
            )
    return StudyImages(
        boxed.images, readers, fused, _appearance(readers), groups, (*boxed.problems, *thin)
    )


def divide(images: StudyImages, settings: DetectionStudySettings, seed: int) -> Split:
    """The split of a seed.

    Raises:
        ValueError: a part is empty, or the training or the test images have no box.
    """
    count = len(images.images)
    if settings.split == "released":
        order = images.appearance
    else:
        order = _shuffled(images.groups, count, seed)
    shares = np.cumsum(settings.split_shares) / sum(settings.split_shares)
    ends = [_whole(share * count) for share in shares[:2]]
    if images.groups is not None and settings.split == "seed":
        ends = [_end_of_group(images.groups[order], end) for end in ends]
    split = Split(order[: ends[0]], order[ends[0] : ends[1]], order[ends[1] :])
    counts = images.boxes.counts()
    for name, rows in (("training", split.training), ("test", split.test)):
        if not len(rows) or not counts[rows].sum():
            raise ValueError(
                f"of {count} images, {len(rows)} are {name} images, and none of them has a box: "
                "give more images"
            )
    smallest = split.labelled(settings.shares[-1])
    if not len(smallest) or not counts[smallest].sum():
        raise ValueError(
            f"a share of {settings.shares[-1]:g} of {len(split.training)} training images is "
            f"{len(smallest)} images without a box (seed {seed}): give a larger least share"
        )
    return split


def _appearance(boxes: BoxSet) -> Int[np.ndarray, " images"]:
    """The images by their first line in the file; those without a line come last, by name."""
    first = np.full(len(boxes.images), np.iinfo(np.int64).max)
    if boxes.line is not None:
        known = boxes.line >= 0
        np.minimum.at(first, boxes.image[known], boxes.line[known])
    return np.argsort(first, kind="stable")


def _shuffled(
    groups: Shaped[np.ndarray, " n"] | None, count: int, seed: int
) -> Int[np.ndarray, " n"]:
    """The images in random order, those of a group together."""
    rng = np.random.default_rng(seed)
    if groups is None:
        return rng.permutation(count)
    _, codes = group_codes(groups)
    place = rng.permutation(codes.max() + 1)
    within = rng.permutation(count)
    return within[np.argsort(place[codes[within]], kind="stable")]


def _end_of_group(groups: Shaped[np.ndarray, " n"], end: int) -> int:
    """The next place at which a group ends."""
    while 0 < end < len(groups) and groups[end] == groups[end - 1]:
        end += 1
    return end


def _whole(number: float) -> int:
    """Rounded down, as the released code does; 0.1 * 30 is 3, not 2."""
    return int(number + 1e-9)
