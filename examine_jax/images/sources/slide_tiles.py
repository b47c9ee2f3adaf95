"""The tiles of the whole slides that a scan has found."""

import contextlib
import dataclasses

from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.tiling import SlideTile, mark
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.image_set import SkippedImage
from examine_jax.images.names import shown
from examine_jax.images.sources.scan import Candidate, Scan


def with_tiles(found: Scan, protected: ProtectedDecoder) -> Scan:
    """A scan in which the tiles of its slides are candidates, where the slides were.

    Worker processes find the tissue of each slide. Slides that cannot be read are skipped.
    """
    if not found.slides:
        return found
    groups: list[tuple[str, tuple[Candidate, ...]]] = [
        (candidate.name, (candidate,)) for candidate in found.candidates
    ]
    skipped, problems = list(found.skipped), dict[str, list[str]]()
    paths = [str(slide.place) for slide in found.slides]
    with contextlib.closing(protected.tiles(paths)) as answers:
        for slide, path, answer in zip(found.slides, paths, answers):
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
    notes = found.notes + tuple(
        f"{_first(slides)} {problem}: cut at the finest level, whose tiles may not compare with "
        "those of other slides (--level names another level)"
        for problem, slides in problems.items()
    )
    return dataclasses.replace(
        found,
        candidates=tuple(candidate for _, group in groups for candidate in group),
        skipped=tuple(sorted(skipped, key=lambda item: item.name)),
        notes=notes,
    )


def _first(names: list[str]) -> str:
    more = f" (and {len(names) - 1} more slides)" if len(names) > 1 else ""
    return shown(names[0]) + more
