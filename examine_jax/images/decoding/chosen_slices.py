"""Which slices of one DICOM series, or frames of one file, are images, and in which order."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from examine_jax.images.decoding.slice_stacks import (
    Placement,
    Stack,
    VolumeRemarks,
    find_stacks,
    plane_of,
)
from examine_jax.images.decoding.slicing import Slicing

# The largest sine of the angle between a stack's step and the normal of its slices.
_TILT = 0.035

_ORDERS = {"location": "SliceLocation", "number": "InstanceNumber", "name": "their names"}


@dataclasses.dataclass(frozen=True)
class ChosenSlices:
    """The slices that are images.

    Attributes:
        items: in order: the slices of a volume that are images, or a stack that is to be cut in
            another plane.
        problems: why slices are no images, by their index.
        duplicates: the index of a slice -> that of the one in its place that is kept.
        remarks: on its stacks of several slices.
    """

    items: tuple[tuple[int, ...] | Stack, ...]
    problems: Mapping[int, str]
    duplicates: Mapping[int, int]
    remarks: VolumeRemarks

    @property
    def slices(self) -> tuple[int, ...]:
        """The slices that are images as they are."""
        return tuple(index for item in self.items if not isinstance(item, Stack) for index in item)

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The stacks that are cut."""
        return tuple(item for item in self.items if isinstance(item, Stack))


def choose_slices(slices: Sequence[Placement], slicing: Slicing) -> ChosenSlices:
    """Chooses among the slices of one series."""
    found = find_stacks(slices)
    items: list[tuple[int, ...] | Stack] = []
    problems: dict[int, str] = {}
    empty = 0
    for stack in found.stacks:
        if slicing.plane not in (None, plane_of(slices[stack.indices[0]])):
            problem = _problem_of_cut(slices, stack, slicing)
            if problem is None:
                items.append(stack)
            else:
                problems.update(dict.fromkeys(stack.indices, problem))
            continue
        wanted = stack.indices[:: slicing.step]
        kept = list(wanted)
        if len(stack.indices) > 1 and stack.ordered_by in ("position", "location"):
            kept = [index for index in wanted if not slices[index].empty]
        if not kept:
            problem = f"all {len(wanted)} slices of its volume are empty: one value throughout"
            problems.update(dict.fromkeys(wanted, problem))
            continue
        empty += len(wanted) - len(kept)
        items.append(tuple(kept))
    several = [stack for stack in found.stacks if len(stack.indices) > 1]
    return ChosenSlices(
        tuple(items),
        problems,
        found.duplicates,
        VolumeRemarks(
            empty,
            sum(stack.gaps for stack in several),
            tuple(sorted({stack.ordered_by for stack in several})),
        ),
    )


def _problem_of_cut(slices: Sequence[Placement], stack: Stack, slicing: Slicing) -> str | None:
    """Why a stack is not cut in the plane that is asked for; None: it is."""
    first = slices[stack.indices[0]]
    own = plane_of(first)
    if own is None or stack.ordered_by != "position":
        return "its header does not say where its slice lies; leave slice_axis out"
    if len(stack.indices) < 2:
        return f"a single {own} slice, where {slicing.plane} ones are asked for"
    if not stack.step:
        gaps = f", with {stack.gaps} gaps" if stack.gaps else ""
        return (
            f"a slice of a volume in the {own} plane whose slices are not evenly spaced{gaps}, so "
            f"that it is not cut in the {slicing.plane} plane; leave slice_axis out"
        )
    step = np.array(stack.step)
    across = np.linalg.norm(np.cross(step, first.normal))
    if across > _TILT * np.linalg.norm(step) * np.linalg.norm(first.normal):
        return (
            "a slice of a volume whose slices are tilted to its axis, so that it is not cut in "
            f"the {slicing.plane} plane; leave slice_axis out"
        )
    return None


def duplicate_reason(name: str) -> str:
    """Why a slice is not read whose place another one has, of this name."""
    return f"a duplicate: it lies in the same place of the same volume as {name}, which is read"


def series_notes(remarks: Mapping[str, VolumeRemarks]) -> tuple[str, ...]:
    """What a user should know of series, for `ImageSet.notes`.

    Args:
        remarks: by the name of the first file of each series.
    """
    notes: list[str] = []
    empty = sum(one.empty for one in remarks.values())
    if empty:
        series = sum(one.empty > 0 for one in remarks.values())
        notes.append(
            f"{empty} slices of {series} DICOM series have one value throughout and are left out"
        )
    gaps = [name for name, one in remarks.items() if one.gaps]
    if gaps:
        count = sum(one.gaps for one in remarks.values())
        more = f", and {len(gaps) - 1} more" if len(gaps) > 1 else ""
        notes.append(
            f"{count} gaps in DICOM series, where neighbouring slices are more than 1.5 times as "
            f"far apart as others: in that of {gaps[0]}{more}"
        )
    orders = collections.Counter(
        order for one in remarks.values() for order in one.ordered_by if order != "position"
    )
    for order, count in sorted(orders.items()):
        notes.append(f"{count} DICOM series without positions are ordered by {_ORDERS[order]}")
    return tuple(notes)
