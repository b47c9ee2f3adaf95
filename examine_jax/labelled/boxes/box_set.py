"""Boxes with classes on images: the truth, several readers' drawings, or predictions."""

import dataclasses
import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int, Num

UNKNOWN_SIZE = -1


@dataclasses.dataclass(frozen=True, eq=False)
class BoxSet:
    """Boxes on images.

    Corners are x_min, y_min, x_max, y_max in pixels of the image; x_max and y_max are where the box
    ends, so that its width is x_max - x_min.

    Attributes:
        images: the names of all images that the file knows. An image without a box is a negative.
        sizes: int32 [I, 2], (height, width) in whose pixels the boxes are; -1 where unknown.
        classes: the names of the classes.
        image: int32 [N], indices into `images`.
        label: int32 [N], indices into `classes`.
        corners: float64 [N, 4].
        score: float64 [N] of predictions, or None.
        area: float64 [N], COCO's `area` where a file gives it, or None.
        crowd: bool [N], COCO's `iscrowd`, or None.
        reader: int32 [N], indices into `readers`, or None.
        readers: the names of the readers.
        readings: int32 [R, 2], the (image, reader) pairs that were looked at, also without a box;
            None: not known.
        files: the file of all boxes, or of each image; () where the boxes are of no file.
        line: int64 [N], each box's line in its file (in JSON the annotation's id), -1 where
            unknown; or None.
    """

    images: tuple[str, ...]
    sizes: Int[np.ndarray, "images 2"]
    classes: tuple[str, ...]
    image: Int[np.ndarray, " boxes"]
    label: Int[np.ndarray, " boxes"]
    corners: Num[np.ndarray, "boxes 4"]
    score: Num[np.ndarray, " boxes"] | None = None
    area: Num[np.ndarray, " boxes"] | None = None
    crowd: Bool[np.ndarray, " boxes"] | None = None
    reader: Int[np.ndarray, " boxes"] | None = None
    readers: tuple[str, ...] = ()
    readings: Int[np.ndarray, "readings 2"] | None = None
    files: tuple[str, ...] = ()
    line: Int[np.ndarray, " boxes"] | None = None

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, np.ascontiguousarray(values, dtype))
        if self.sizes.shape != (len(self.images), 2):
            raise ValueError(
                f"sizes {list(self.sizes.shape)} for {len(self.images)} images: give one "
                "(height, width) each"
            )
        count = len(self.corners)
        for name in ("image", "label", "score", "area", "crowd", "reader", "line"):
            values = getattr(self, name)
            if values is not None and values.shape != (count,):
                raise ValueError(f"{name} {list(values.shape)} for {count} boxes: give one each")
        for kind, names in (("image", self.images), ("class", self.classes)):
            if len(set(names)) != len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise ValueError(f"the {kind} {twice!r} is there twice: name each once")
        bounds = [("image", self.image, len(self.images)), ("label", self.label, len(self.classes))]
        if self.reader is not None:
            bounds.append(("reader", self.reader, len(self.readers)))
        if self.readings is not None:
            bounds.append(("readings' image", self.readings[:, 0], len(self.images)))
            bounds.append(("readings' reader", self.readings[:, 1], len(self.readers)))
        for name, values, size in bounds:
            if len(values) and not 0 <= values.min() <= values.max() < size:
                raise ValueError(f"{name} must be within 0 .. {size - 1}")
        if len(self.files) not in (0, 1, len(self.images)):
            raise ValueError(f"{len(self.files)} files for {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.corners)

    @functools.cached_property
    def _by_image(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.image, kind="stable")
        return order, np.searchsorted(self.image[order], np.arange(len(self.images) + 1))

    def of_image(self, image: SupportsIndex) -> Int[np.ndarray, " rows"]:
        """The rows of an image's boxes, in the order of the file."""
        order, starts = self._by_image
        index = operator.index(image)
        return order[starts[index] : starts[index + 1]]

    def counts(self) -> Int[np.ndarray, " images"]:
        """The number of boxes on each image."""
        return np.bincount(self.image, minlength=len(self.images))

    def file_of(self, image: SupportsIndex) -> str:
        """The file that an image's boxes are from, or ""."""
        if not self.files:
            return ""
        return self.files[image] if len(self.files) == len(self.images) else self.files[0]

    def take(
        self, rows: Sequence[int] | Num[np.ndarray, " rows"] | Bool[np.ndarray, " boxes"]
    ) -> "BoxSet":
        """The boxes of these rows, or where a mask is true. All images stay."""
        chosen: Any = np.asarray(rows)
        if chosen.dtype != bool:
            chosen = chosen.astype(np.int64)
        taken = {
            name: getattr(self, name)[chosen]
            for name in _OF_BOXES
            if getattr(self, name) is not None
        }
        return dataclasses.replace(self, **taken)

    def select(self, images: Iterable[SupportsIndex] | Int[np.ndarray, " chosen"]) -> "BoxSet":
        """The images with these indices, each once, in this order, with their boxes.

        The boxes come in the order of the images, those of one image in the file's order.
        """
        chosen = np.fromiter(map(operator.index, images), np.int64)
        place = np.full(len(self.images), -1, np.int64)
        place[chosen] = np.arange(len(chosen))
        rows = np.concatenate([np.zeros(0, np.int64), *(self.of_image(i) for i in chosen)])
        boxes = self.take(rows)
        readings = self.readings
        if readings is not None:
            readings = readings[place[readings[:, 0]] >= 0]
            readings = np.stack([place[readings[:, 0]], readings[:, 1]], axis=1)
        files = self.files
        if len(files) == len(self.images):
            files = tuple(files[i] for i in chosen)
        return dataclasses.replace(
            boxes,
            images=tuple(self.images[i] for i in chosen),
            sizes=self.sizes[chosen],
            image=place[boxes.image],
            readings=readings,
            files=files,
        )

    def with_classes(self, classes: Sequence[str]) -> "BoxSet":
        """The same boxes with these classes in this order; boxes of other classes are left out."""
        code = {name: index for index, name in enumerate(classes)}
        codes = np.array([code.get(name, -1) for name in self.classes], np.int32)
        labels = codes[self.label]
        known = dataclasses.replace(
            self.take(labels >= 0), classes=tuple(classes), label=labels[labels >= 0]
        )
        return known

    def of_reader(self, reader: SupportsIndex) -> "BoxSet":
        """One reader's boxes, on the images that this reader looked at.

        Where it is not known who looked at what, all images stay.

        Raises:
            ValueError: the readers of the boxes are not known.
        """
        if self.reader is None:
            raise ValueError("the readers of these boxes are not known")
        own = self.take(self.reader == operator.index(reader))
        if self.readings is None:
            return own
        looked = self.readings[self.readings[:, 1] == reader, 0]
        return own.select(np.unique(np.concatenate([looked, own.image])))

    def scaled_to(self, height: int, width: int) -> "BoxSet":
        """The boxes in pixels of images squashed to one size, each axis by its own factor.

        Areas scale with the boxes.

        Raises:
            ValueError: the size of an image with boxes is not known.
        """
        return self.scaled_to_sizes(np.broadcast_to((height, width), self.sizes.shape))

    def scaled_to_sizes(self, sizes: Int[np.ndarray, "images 2"]) -> "BoxSet":
        """As `scaled_to`, with a (height, width) for each image."""
        sizes = np.asarray(sizes, np.int32)
        unknown = np.flatnonzero((self.sizes[self.image] <= 0).any(axis=1))
        if len(unknown):
            name = self.images[self.image[unknown[0]]]
            raise ValueError(
                f"the size of {name!r} is not known, so its boxes cannot be scaled: give the "
                "sizes of the images"
            )
        known = (self.sizes > 0).all(axis=1, keepdims=True)
        factors = np.where(known, sizes / np.where(known, self.sizes, 1), 1.0)[self.image]
        y, x = factors[:, 0], factors[:, 1]
        return dataclasses.replace(
            self,
            sizes=sizes,
            corners=self.corners * np.stack([x, y, x, y], axis=1),
            area=None if self.area is None else self.area * x * y,
        )


def box_areas(boxes: BoxSet) -> Float[np.ndarray, " boxes"]:
    """The area of each box, by its corners."""
    sides = boxes.corners[:, 2:] - boxes.corners[:, :2]
    return sides[:, 0] * sides[:, 1]


_DTYPES = {
    "sizes": np.int32,
    "image": np.int32,
    "label": np.int32,
    "corners": np.float64,
    "score": np.float64,
    "area": np.float64,
    "crowd": np.bool_,
    "reader": np.int32,
    "readings": np.int32,
    "line": np.int64,
}
_OF_BOXES = ("image", "label", "corners", "score", "area", "crowd", "reader", "line")
