"""Puts the slices of DICOM series together: which form a volume, in which order.

Slices of one series of one patient form a stack if they have one size, one orientation and one
pixel spacing. They are ordered by their positions along the normal of their plane
(ImagePositionPatient and ImageOrientationPatient); where these are missing, by SliceLocation, else
by InstanceNumber, else as they are given.

A series may hold several volumes: times, echoes, diffusion weights. They are told apart only where
slices share a position, by the first of `Placement.phases` whose values separate these. Where most
positions are shared, `Placement.times` tell volumes apart too. Of slices that share a position
still, those with equal pixels are duplicates; of others, the first at each position form a volume,
and so on. Images that all share one position are no volume, and stay as they are.
"""

import collections
import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.decoding.slicing import Plane

Order = Literal["position", "location", "number", "name"]

# Directions and pixel spacings that differ by less are equal.
_TOLERANCE = 1e-3

# Positions are equal that differ by less than this share of a stack's length, or than this.
_NEAR_SHARE, _NEAR = 1e-5, 1e-4

# In its plane, a slice has the place of another if they differ by less, in millimetres.
_NEAR_WITHIN = 0.01

# Distances of neighbours: up to this share of the median, they are regular; above that, a gap.
_REGULAR, _GAP = 0.02, 1.5

# The plane whose normal is the patient's axis: towards the left, back and head.
_PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where one slice lies, as its header says. What is missing or damaged is empty or None.

    Attributes:
        series: names its series, and what else no volume mixes.
        size: its rows and columns.
        spacing: millimetres between its rows and between its columns.
        orientation: the directions along a row and along a column.
        position: of its first pixel, in millimetres.
        location: SliceLocation.
        number: InstanceNumber.
        digest: of its pixels and of what says how they are shown. It is needed of slices that share
            a place (`sharing_a_place`) alone.
        phases: values that tell the volumes of a series apart.
        times: values that do so where most positions are shared.
        empty: all its pixels have one value.
    """

    series: str
    size: tuple[int, int]
    spacing: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    position: tuple[float, ...] = ()
    location: float | None = None
    number: int | None = None
    digest: str = ""
    phases: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    empty: bool = False

    @property
    def ordered_by(self) -> Order:
        """What its place in a stack is known from."""
        if self.position and self.orientation:
            return "position"
        if self.location is not None:
            return "location"
        return "name" if self.number is None else "number"

    def coordinate(self, given: int) -> float:
        """Its place along its stack; `given` is its place in the order that is given."""
        if self.position and self.orientation:
            return float(self.normal @ np.array(self.position))
        if self.location is not None:
            return self.location
        return float(given if self.number is None else self.number)

    @property
    def normal(self) -> Float[np.ndarray, "3"]:
        """The direction across the slice."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclasses.dataclass(frozen=True)
class Stack:
    """Slices of one volume, in order.

    Attributes:
        indices: of the slices.
        ordered_by: what the order is known from.
        gaps: how many neighbours are further apart than others.
        step: from a slice to the next, in millimetres; empty: it differs, or is not known.
    """

    indices: tuple[int, ...]
    ordered_by: Order
    gaps: int
    step: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class VolumeRemarks:
    """What a user should know of the volumes of a series or a file.

    Attributes:
        empty: how many slices are left out because all their pixels have one value.
        gaps: how many neighbours are further apart than others.
        ordered_by: what the orders of slices are known from.
    """

    empty: int
    gaps: int
    ordered_by: tuple[Order, ...]


@dataclasses.dataclass(frozen=True)
class Stacks:
    """The stacks of some slices.

    Attributes:
        stacks: those of a series are neighbours.
        duplicates: the index of a slice -> that of the one that is kept.
    """

    stacks: tuple[Stack, ...]
    duplicates: dict[int, int]


def find_stacks(slices: Sequence[Placement]) -> Stacks:
    """Puts slices together.

    Args:
        slices: in any order; it decides among copies, and among slices without a place.
    """
    duplicates: dict[int, int] = {}
    stacks: list[Stack] = []
    for series in _by(range(len(slices)), lambda index: slices[index].series):
        for group in _alike(slices, series):
            coordinates = {index: slices[index].coordinate(index) for index in group}
            for part in _split(slices, group, coordinates, duplicates, 0):
                stacks.append(_stack(slices, part, coordinates))
    return Stacks(tuple(stacks), duplicates)


def sharing_a_place(slices: Sequence[Placement]) -> tuple[int, ...]:
    """The indices of slices that have the place of others in their series."""
    found: list[int] = []
    for series in _by(range(len(slices)), lambda index: slices[index].series):
        for group in _alike(slices, series):
            if slices[group[0]].ordered_by == "name":
                continue
            coordinates = {index: slices[index].coordinate(index) for index in group}
            for place in _shared(group, coordinates):
                found += place if len(place) > 1 else []
    return tuple(found)


def plane_of(one: Placement) -> Plane | None:
    """The plane that a slice is nearest to; None: it is not known."""
    if not one.orientation:
        return None
    return _PLANES[int(np.argmax(np.abs(one.normal)))]


def _by(indices: Iterable[int], key: collections.abc.Callable[[int], object]) -> list[list[int]]:
    groups: dict[object, list[int]] = {}
    for index in indices:
        groups.setdefault(key(index), []).append(index)
    return list(groups.values())


def _alike(slices: Sequence[Placement], indices: Sequence[int]) -> list[list[int]]:
    """Groups of one size, orientation and spacing, ordered by the same."""
    groups: list[list[int]] = []
    kinds: dict[tuple[object, ...], list[list[int]]] = {}
    for index in indices:
        one = slices[index]
        key = (one.size, one.ordered_by, len(one.orientation), len(one.spacing))
        for group in kinds.setdefault(key, []):
            if _similar(one, slices[group[0]]):
                group.append(index)
                break
        else:
            kinds[key].append([index])
            groups.append(kinds[key][-1])
    return groups


def _similar(one: Placement, other: Placement) -> bool:
    turned = (abs(a - b) > _TOLERANCE for a, b in zip(one.orientation, other.orientation))
    scaled = (abs(a - b) > _TOLERANCE * abs(b) for a, b in zip(one.spacing, other.spacing))
    return not any(turned) and not any(scaled)


def _split(
    slices: Sequence[Placement],
    indices: Sequence[int],
    coordinates: dict[int, float],
    duplicates: dict[int, int],
    phase: int,
) -> list[list[int]]:
    """The volumes of a group."""
    shared = _shared(indices, coordinates)
    most = max(map(len, shared))
    if most == 1 or slices[indices[0]].ordered_by == "name":
        return [list(indices)]
    keys = _keys(slices, indices, _mostly(shared))
    for number in range(phase, len(keys[indices[0]])):
        values = {index: keys[index][number] for index in indices}
        pairs = sum(len({values[index] for index in place}) for place in shared)
        # A value that differs from slice to slice tells no volumes apart.
        if pairs > len(shared) and len(set(values.values())) <= most:
            parts = _by(indices, values.__getitem__)
            parts.sort(key=lambda part: _rank(values[part[0]]))
            return [
                volume
                for part in parts
                for volume in _split(slices, part, coordinates, duplicates, number + 1)
            ]
    return _by_order(slices, shared, duplicates)


def _shared(indices: Sequence[int], coordinates: dict[int, float]) -> list[list[int]]:
    """The slices of each place."""
    order = sorted(indices, key=lambda index: (coordinates[index], index))
    length = coordinates[order[-1]] - coordinates[order[0]]
    near = max(_NEAR, _NEAR_SHARE * length)
    places = [[order[0]]]
    for index in order[1:]:
        if coordinates[index] - coordinates[places[-1][0]] <= near:
            places[-1].append(index)
        else:
            places.append([index])
    return places


def _mostly(shared: list[list[int]]) -> bool:
    """Whether most places are shared."""
    return 2 * sum(len(place) > 1 for place in shared) > len(shared)


def _keys(
    slices: Sequence[Placement], indices: Sequence[int], timed: bool
) -> dict[int, tuple[str, ...]]:
    """What may tell volumes apart: where a slice lies within its plane, phases and times."""
    within = [""] * len(indices)
    if slices[indices[0]].ordered_by == "position":
        along, down = (
            _numbered(
                [
                    float(np.dot(slices[index].orientation[axes], slices[index].position))
                    for index in indices
                ]
            )
            for axes in (slice(3), slice(3, 6))
        )
        within = [f"{one:06} {other:06}" for one, other in zip(along, down)]
    return {
        index: (own, *slices[index].phases, *(slices[index].times if timed else ()))
        for index, own in zip(indices, within)
    }


def _numbered(values: Sequence[float]) -> list[int]:
    """A number for each value, in their order; neighbours that differ by little have the same."""
    order = np.argsort(values)
    numbers = np.zeros(len(order), int)
    numbers[order[1:]] = np.cumsum(np.diff(np.array(values)[order]) > _NEAR_WITHIN)
    return [int(number) for number in numbers]


def _rank(value: str) -> tuple[int, float, str]:
    """Numbers by size, before text."""
    try:
        number = float(value)
    except ValueError:
        return 1, 0.0, value
    return (0, number, "") if math.isfinite(number) else (1, 0.0, value)


def _by_order(
    slices: Sequence[Placement], shared: list[list[int]], duplicates: dict[int, int]
) -> list[list[int]]:
    """Volumes by the order of the slices at each place, and duplicates.

    Where few places are shared, each further slice stands alone.
    """
    volumes: list[list[int]] = [[]]
    mostly = _mostly(shared)
    if len(shared) == 1:
        return [[index] for index in shared[0]]
    for place in shared:
        ranked: list[int] = []
        known: dict[str, int] = {}
        for index in sorted(place, key=lambda index: (slices[index].number or 0, index)):
            digest = slices[index].digest
            if digest and digest in known:
                duplicates[index] = known[digest]
            else:
                known[digest] = index
                ranked.append(index)
        for rank, index in enumerate(ranked):
            if rank and not mostly:
                volumes.append([index])
                continue
            if rank == len(volumes):
                volumes.append([])
            volumes[rank].append(index)
    return volumes


def _stack(
    slices: Sequence[Placement], indices: Sequence[int], coordinates: dict[int, float]
) -> Stack:
    order = sorted(indices, key=lambda index: (coordinates[index], index))
    known = slices[order[0]].ordered_by
    if known in ("number", "name") or len(order) < 2:
        return Stack(tuple(order), known, 0, ())
    distances = np.diff([coordinates[index] for index in order])
    median = float(np.median(distances))
    gaps = int((distances > _GAP * median).sum()) if len(order) > 2 else 0
    step: tuple[float, ...] = ()
    if known == "position":
        positions = np.array([slices[index].position for index in order])
        mean = (positions[-1] - positions[0]) / (len(order) - 1)
        straight = positions[0] + np.arange(len(order))[:, None] * mean
        if np.abs(positions - straight).max() <= _REGULAR * median:
            step = tuple(float(value) for value in mean)
    return Stack(tuple(order), known, gaps, step)
