"""Gathers the boxes of a file one by one, and makes the box set of them."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.common.shapes import Int
from examine_jax.labelled.boxes.box_set import UNKNOWN_SIZE, BoxSet
from examine_jax.labelled.boxes.checking import check_boxes
from examine_jax.labelled.boxes.problems import Problem

# A file's image name to (height, width), or None where the size is not known.
SizeOf = Callable[[str], tuple[int, int] | None]


@dataclasses.dataclass
class Gathered:
    """What a reader has read so far. `finish` checks it and makes the box set.

    Attributes:
        file: the file that is read.
        size_of: the sizes of images, where the file has none.
        classes: the classes that are known; boxes of others are problems. None: all that the file
            names.
        problems: found so far.
    """

    file: str
    size_of: SizeOf
    classes: tuple[str, ...] | None = None
    problems: list[Problem] = dataclasses.field(default_factory=list)
    _images: dict[str, int] = dataclasses.field(default_factory=dict)
    _names: list[str] = dataclasses.field(default_factory=list)
    _sizes: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    _files: list[str] = dataclasses.field(default_factory=list)
    _classes: dict[str, int] = dataclasses.field(default_factory=dict)
    _readers: dict[str, int] = dataclasses.field(default_factory=dict)
    _readings: dict[tuple[int, int], None] = dataclasses.field(default_factory=dict)
    _image: list[int] = dataclasses.field(default_factory=list)
    _label: list[int] = dataclasses.field(default_factory=list)
    _corners: list[Sequence[float]] = dataclasses.field(default_factory=list)
    _line: list[int] = dataclasses.field(default_factory=list)
    _score: list[float] = dataclasses.field(default_factory=list)
    _area: list[float] = dataclasses.field(default_factory=list)
    _crowd: list[bool] = dataclasses.field(default_factory=list)
    _reader: list[int] = dataclasses.field(default_factory=list)

    def image(self, name: str, size: tuple[int, int] | None = None, file: str | None = None) -> int:
        """The index of an image, which is new or known."""
        index = self._images.setdefault(name, len(self._images))
        if index == len(self._names):
            self._names.append(name)
            self._sizes.append(size or self.size_of(name) or (UNKNOWN_SIZE, UNKNOWN_SIZE))
            self._files.append(self.file if file is None else file)
        return index

    @property
    def num_images(self) -> int:
        """The number of images so far."""
        return len(self._names)

    def has_image(self, name: str) -> bool:
        """Whether the image is known."""
        return name in self._images

    def size(self, image: int) -> tuple[int, int]:
        """(height, width) of an image."""
        return self._sizes[image]

    def reader(self, name: str) -> int:
        """The index of a reader, who is new or known."""
        return self._readers.setdefault(name, len(self._readers))

    def reading(self, image: int, reader: int) -> None:
        """Notes that the reader looked at the image."""
        self._readings.setdefault((image, reader))

    def class_(self, name: str) -> int:
        """The index of a class, which is new or known; -1 where it is not among `classes`."""
        if self.classes is not None and name not in self.classes:
            return -1
        return self._classes.setdefault(name, len(self._classes))

    def problem(
        self,
        reason: str,
        *,
        line: int | None = None,
        image: str = "",
        kept: bool = False,
        file: str | None = None,
    ) -> None:
        """Notes a problem."""
        self.problems.append(Problem(file or self.file, line, image, reason, kept))

    def box(
        self,
        image: int,
        class_name: str,
        corners: Sequence[float],
        *,
        line: int | None = None,
        score: float | None = None,
        area: float | None = None,
        crowd: bool = False,
        reader: int = -1,
    ) -> None:
        """Adds a box. One of an unknown class is a problem."""
        label = self.class_(class_name)
        if label < 0:
            known = ", ".join(self.classes or ())
            self.problem(
                f"unknown class {class_name!r}: the box is left out; the classes are {known}",
                line=line,
                image=self._names[image],
                file=self._files[image],
            )
            return
        self._image.append(image)
        self._label.append(label)
        self._corners.append(corners)
        self._line.append(-1 if line is None else line)
        self._score.append(math.nan if score is None else score)
        self._area.append(math.nan if area is None else area)
        self._crowd.append(crowd)
        self._reader.append(reader)

    def finish(
        self, *, in_order: bool = False, scored: bool = False, areas: bool = False
    ) -> tuple[BoxSet, tuple[Problem, ...]]:
        """The box set, checked, and all problems.

        Args:
            in_order: the classes keep the order in which they came, else they are sorted. Where
                `classes` are given, these are the classes in their order.
            scored: the boxes have scores.
            areas: the boxes have areas; one that is not positive is computed from the corners.
        """
        names = tuple(self._classes) if in_order else tuple(sorted(self._classes))
        names = self.classes or names
        codes = np.array([names.index(name) for name in self._classes], np.int32)
        corners = np.array(self._corners, np.float64).reshape(-1, 4)
        label = np.array(self._label, np.int32)
        one_file = all(file == self.file for file in self._files)
        boxes = BoxSet(
            images=tuple(self._names),
            sizes=np.array(self._sizes, np.int32).reshape(-1, 2),
            classes=names,
            image=np.array(self._image, np.int32),
            label=codes[label] if len(label) else label,
            corners=corners,
            score=np.array(self._score, np.float64) if scored else None,
            area=_areas(self._area, corners) if areas else None,
            crowd=np.array(self._crowd, bool) if any(self._crowd) else None,
            reader=np.array(self._reader, np.int32) if self._readers else None,
            readers=tuple(self._readers),
            readings=self._all_readings() if self._readers else None,
            files=(self.file,) if one_file else tuple(self._files),
            line=np.array(self._line, np.int64),
        )
        checked, found = check_boxes(boxes)
        return checked, (*self.problems, *found)

    def _all_readings(self) -> Int[np.ndarray, "readings 2"]:
        pairs = dict(self._readings)
        pairs.update(dict.fromkeys(zip(self._image, self._reader)))
        return np.array(list(pairs), np.int32).reshape(-1, 2)


def _areas(given: list[float], corners: np.ndarray) -> np.ndarray:
    areas = np.array(given, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        computed = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
        return np.where(np.isfinite(areas) & (areas > 0), areas, computed)


def no_sizes(name: str) -> tuple[int, int] | None:
    """Knows no image's size."""
    return None
