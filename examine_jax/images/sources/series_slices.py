"""The DICOM series among the files that a scan has found: in order of position, or to be cut."""

import contextlib
import dataclasses
from collections.abc import Sequence

from examine_jax.images.decoding.chosen_slices import (
    choose_slices,
    duplicate_reason,
    series_notes,
)
from examine_jax.images.decoding.file_part import FilePart, RemoteFile, StackedFiles
from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.slice_stacks import (
    Placement,
    Stack,
    VolumeRemarks,
    sharing_a_place,
)
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.image_set import SkippedImage
from examine_jax.images.sources.scan import IMAGE_SUFFIXES, Candidate, Scan, suffix_of

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})


def with_series(found: Scan, protected: ProtectedDecoder) -> Scan:
    """A scan in which the slices of each DICOM series are neighbours, in order of position.

    Worker processes read where each slice lies. A volume stands where its first file stood. Slices
    that are not asked for are left out, as are empty ones; duplicates are skipped. Where another
    plane is asked for than a volume was taken in, `StackedFiles` take the place of its slices,
    under the name of the first. Files of other formats, and DICOM files that are no single slices,
    stay where they are.
    """
    rows = [row for row, one in enumerate(found.candidates) if _may_be_slice(one)]
    if not rows:
        return found
    series: dict[str, list[int]] = {}
    placements: dict[int, Placement] = {}
    places = [found.candidates[row].place for row in rows]
    with contextlib.closing(protected.placements(places)) as answers:
        for row, answer in zip(rows, answers):
            # Reading an image gives the reason why it cannot be read.
            if answer is not None and not isinstance(answer, UnreadableImage):
                placements[row] = answer
                series.setdefault(answer.series.partition("|")[0], []).append(row)
    placements = _with_digests(found, placements, protected)
    skipped, remarks = list(found.skipped), dict[str, VolumeRemarks]()
    instead: dict[int, list[Candidate]] = {}
    for members in series.values():
        files = [found.candidates[row] for row in members]
        chosen = choose_slices([placements[row] for row in members], protected.decoder.slicing)
        instead.update((row, []) for row in members)
        for item in chosen.items:
            if isinstance(item, Stack):
                cut = _cut(files, [placements[row] for row in members], item)
                instead[members[min(item.indices)]].append(cut)
            else:
                instead[members[min(item)]] += [files[one] for one in item]
        remarks[files[0].name] = chosen.remarks
        reasons = dict(chosen.problems) | {
            one: duplicate_reason(files[kept].name) for one, kept in chosen.duplicates.items()
        }
        skipped += [SkippedImage(files[one].name, reason) for one, reason in reasons.items()]
    candidates = [
        candidate
        for row, own in enumerate(found.candidates)
        for candidate in instead.get(row, [own])
    ]
    return dataclasses.replace(
        found,
        candidates=tuple(candidates),
        skipped=tuple(sorted(skipped, key=lambda item: item.name)),
        notes=found.notes + series_notes(remarks),
    )


def _with_digests(
    found: Scan, placements: dict[int, Placement], protected: ProtectedDecoder
) -> dict[int, Placement]:
    """Slices that share a place get the digests of their pixels."""
    rows = list(placements)
    shared = [rows[index] for index in sharing_a_place(list(placements.values()))]
    files = [found.candidates[row].place for row in shared]
    with contextlib.closing(protected.digests(files)) as digests:
        for row, digest in zip(shared, digests):
            if isinstance(digest, str):
                placements[row] = dataclasses.replace(placements[row], digest=digest)
    return placements


def _may_be_slice(candidate: Candidate) -> bool:
    """Whether a file has the suffix of DICOM, or was found to be DICOM by its content."""
    if not isinstance(candidate.place, str | FilePart | RemoteFile):
        return False
    suffix = suffix_of(candidate.name)
    return suffix in DICOM_SUFFIXES or suffix not in IMAGE_SUFFIXES


def _cut(files: Sequence[Candidate], slices: Sequence[Placement], stack: Stack) -> Candidate:
    first = stack.indices[0]
    places = (files[index].place for index in stack.indices)
    members = tuple(one for one in places if isinstance(one, str | FilePart | RemoteFile))
    x, y, z = stack.step
    return Candidate(files[first].name, StackedFiles(members, slices[first].size, (x, y, z)))
