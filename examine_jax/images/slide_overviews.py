"""Small pictures of whole slides. Labels and macro images are never read."""

import contextlib
import dataclasses
import os
from collections.abc import Generator, Sequence

import numpy as np

from examine_jax.common.shapes import Bool, UInt8
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.sources.registry import scan_of

_MAX_PIXELS, _MAX_BYTES = 100_000_000, 2**30  # as `load_folder`


@dataclasses.dataclass(frozen=True, eq=False)
class SlideOverview:
    """A small picture of a slide, and what its tiles were chosen by.

    Attributes:
        picture: at most 1500 pixels a side, made from the slide's levels.
        tissue: where it is tissue.
        size: width and height of level 0.
        offset: x and y in level 0 where the scanned part begins; programs that show slides may
            count from there.
        mpp: micrometres a pixel of level 0; None: not known.
    """

    picture: UInt8[np.ndarray, "rows columns 3"]
    tissue: Bool[np.ndarray, "rows columns"]
    size: tuple[int, int]
    offset: tuple[int, int] = (0, 0)
    mpp: float | None = None


def slide_overviews(
    source: str | os.PathLike[str], names: Sequence[str]
) -> Generator[SlideOverview | UnreadableImage]:
    """The overview of each slide of a source, in order, or why there is none.

    Args:
        source: as in `load_images`.
        names: of slides, as the names of their tiles begin.

    Raises:
        OSError, ValueError: the source cannot be listed.
    """
    paths = _paths(source)
    known = [paths[name] for name in names if name in paths]
    with contextlib.closing(_decoder().overviews(known)) as answers:
        for name in names:
            if name not in paths:
                yield UnreadableImage("the slide is not there any more")
                continue
            answer = next(answers)
            if isinstance(answer, UnreadableImage):
                yield answer
                continue
            picture, tissue, (width, height, left, top), mpp = answer
            yield SlideOverview(
                picture, tissue, (width, height), (left, top), mpp[0] if mpp else None
            )


def slide_facts(
    source: str | os.PathLike[str], names: Sequence[str]
) -> dict[str, tuple[tuple[int, int], float | None]]:
    """Width and height of level 0 of slides, and micrometres a pixel if they are known, by name.

    Slides that are not there any more, or cannot be read, are left out.

    Args:
        source, names: as for `slide_overviews`.

    Raises:
        OSError, ValueError: as `slide_overviews`.
    """
    paths = _paths(source)
    known = [name for name in names if name in paths]
    found: dict[str, tuple[tuple[int, int], float | None]] = {}
    answers = _decoder().slide_facts([paths[name] for name in known])
    with contextlib.closing(answers):
        for name, answer in zip(known, answers):
            if not isinstance(answer, UnreadableImage):
                (width, height, *_), mpp = answer
                found[name] = (width, height), mpp[0] if mpp else None
    return found


def _paths(source: str | os.PathLike[str]) -> dict[str, str]:
    """The path of each slide of a source by its name."""
    found = scan_of(source)
    return {} if found is None else {one.name: str(one.place) for one in found.slides}


def _decoder() -> ProtectedDecoder:
    return ProtectedDecoder.of(
        ImageDecoder(1, 3, None, _MAX_PIXELS, _MAX_BYTES, Budget(_MAX_PIXELS))
    )
