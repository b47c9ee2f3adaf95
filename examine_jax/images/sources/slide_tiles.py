"""The tiles of the whole slides that a scan has found."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence

from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.slide_content import DICOM_LEVEL
from examine_jax.images.decoding.tiling import SlideTile, mark
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.image_set import SkippedImage
from examine_jax.images.names import shown
from examine_jax.images.sources.scan import (
    SLIDE_SUFFIXES,
    TIFF_SUFFIXES,
    Candidate,
    Scan,
    suffix_of,
)


def with_tiles(found: Scan, protected: ProtectedDecoder) -> Scan:
    """A scan in which the tiles of its slides are candidates, where the slides were.

    Worker processes find the tissue of each slide. Slides that cannot be read are skipped.
    """
    if not found.slides:
        return found
    groups: list[tuple[str, tuple[Candidate, ...]]] = [
        (candidate.name, (candidate,)) for candidate in found.candidates
    ]
    slides, unread, notes = _one_a_series(found.slides, protected)
    skipped, problems = [*found.skipped, *unread], dict[str, list[str]]()
    paths = [str(slide.place) for slide in slides]
    with contextlib.closing(protected.tiles(paths)) as answers:
        for slide, path, answer in zip(slides, paths, answers):
            if isinstance(answer, UnreadableImage):
                skipped.append(SkippedImage(slide.name, str(answer)))
                continue
            tiles, problem = answer
            if problem:
                problems.setdefault(problem, []).append(slide.name)
            side = protected.decoder.tiling.tile
            places = (tuple(map(int, tile)) for tile in tiles)
            groups.append(
                (
                    slide.name,
                    tuple(
                        Candidate(
                            slide.name + mark(x, y, width),
                            SlideTile(path, path + mark(x, y, width), x, y, width, side),
                        )
                        for x, y, width in places
                    ),
                )
            )
    groups.sort(key=lambda group: group[0])
    notes += tuple(f"{_first(names)} {problem}" for problem, names in problems.items())
    return dataclasses.replace(
        found,
        candidates=tuple(candidate for _, group in groups for candidate in group),
        skipped=tuple(sorted(skipped, key=lambda item: item.name)),
        notes=found.notes + notes,
    )


def _first(names: list[str]) -> str:
    more = f" (and {len(names) - 1} more slides)" if len(names) > 1 else ""
    return shown(names[0]) + more


def _one_a_series(
    slides: Sequence[Candidate], protected: ProtectedDecoder
) -> tuple[list[Candidate], list[SkippedImage], tuple[str, ...]]:
    """One file a slide: several DICOM files in one folder may be one.

    Returns:
        The first file of each slide that holds a level; the files that hold no part of one; notes.
    """
    parts = [slide for slide in slides if _may_be_dicom(slide)]
    if not parts:
        return list(slides), [], ()
    kept = [slide for slide in slides if not _may_be_dicom(slide)]
    skipped: list[SkippedImage] = []
    series: dict[tuple[str, str], list[Candidate]] = {}
    others: list[tuple[tuple[str, str], Candidate]] = []
    answers = protected.slide_parts([str(part.place) for part in parts])
    with contextlib.closing(answers):
        for part, answer in zip(parts, answers):
            if isinstance(answer, UnreadableImage):
                skipped.append(SkippedImage(part.name, str(answer)))
                continue
            uid, kind = answer
            key = os.path.dirname(os.path.abspath(str(part.place))), uid or part.name
            if kind == DICOM_LEVEL:
                series.setdefault(key, []).append(part)
            else:
                others.append((key, part))
    skipped += [
        SkippedImage(part.name, "the label, overview or thumbnail of a slide that is not here")
        for key, part in others
        if key not in series
    ]
    files = sum(map(len, series.values())) + sum(key in series for key, _ in others)
    notes: tuple[str, ...] = ()
    if files > len(series):
        notes = (
            f"{files} DICOM files are {len(series)} whole slides; those with a label, overview or "
            "thumbnail are not read",
        )
    kept += [levels[0] for levels in series.values()]
    return sorted(kept, key=lambda slide: slide.name), skipped, notes


def _may_be_dicom(slide: Candidate) -> bool:
    return suffix_of(slide.name) not in SLIDE_SUFFIXES.union(TIFF_SUFFIXES)
