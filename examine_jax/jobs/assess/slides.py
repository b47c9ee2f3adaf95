"""What an assessment says of whole slides: a picture of each, its tiles for QuPath, and a table."""

import contextlib
import dataclasses
import io
import os
import pathlib
import re

import numpy as np
from PIL import Image

from examine_jax.common.atomic_files import write_bytes
from examine_jax.common.progress import progress_bar
from examine_jax.images.decoding.tiling import place_in_slide
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.slide_overviews import SlideOverview, slide_overviews
from examine_jax.images.sources.registry import reads_files
from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.quality import Findings
from examine_jax.reporting.charts.heat_colours import HeatColours
from examine_jax.reporting.charts.slide_overview import slide_chart
from examine_jax.reporting.hand_over.geojson import write_geojson
from examine_jax.reporting.page import Illustration, Table
from examine_jax.reporting.scored_slide import ScoredSlide

FOLDER = "slides"
OVERVIEW, TILES = "overview.png", "tiles.geojson"

# Slides whose pictures are on the page; the files show all.
_PICTURED = 12
_JPEG_QUALITY = 85

# So many slides are drawn without a progress bar.
_FEW = 3

_COLUMNS = (
    "slide",
    "tiles",
    "pixels",
    "µm a pixel",
    "tissue",
    "look at",
    "to label",
    "median gap",
    "strangest",
)


@dataclasses.dataclass(frozen=True)
class SlidesOnPage:
    """What the page shows of slides.

    Attributes:
        figures: of some slides.
        tables: one of all slides; none: there are no slides.
    """

    figures: dict[str, Illustration] = dataclasses.field(default_factory=dict)
    tables: tuple[Table, ...] = ()


def write_slides(
    workdir: pathlib.Path, assessment: Assessment, source: str | os.PathLike[str] | None
) -> SlidesOnPage:
    """Writes slides/NAME/overview.png and slides/NAME/tiles.geojson of each slide.

    Those of an earlier run are removed.

    Args:
        workdir: an existing folder.
        assessment: the results.
        source: of its images.

    Raises:
        OSError: a file cannot be written.
    """
    folder = workdir / FOLDER
    _remove_earlier(folder)
    tiles = _tiles_of_slides(assessment)
    if not tiles or source is None or not os.path.exists(source) or not reads_files(source):
        return SlidesOnPage()
    found = assessment.findings
    gaps = HeatColours.of(np.asarray(assessment.examination.gap))
    outliers = None if found is None else HeatColours.of(np.minimum(found.outlier, _most(found)))
    figures: dict[str, Illustration] = {}
    rows: list[tuple[str, ...]] = []
    taken: set[str] = set()
    with (
        progress_bar("slides drawn", len(tiles) > _FEW) as report,
        contextlib.closing(slide_overviews(source, tuple(tiles))) as overviews,
    ):
        for done, (indices, overview) in enumerate(zip(tiles.values(), overviews), 1):
            shown = _shown_name(assessment, indices[0], len(rows))
            if isinstance(overview, UnreadableImage):
                empty = [""] * (len(_COLUMNS) - 3)
                reason, headers = str(overview), assessment.headers
                reason = reason if headers is None else headers.text(reason)
                rows.append((shown, f"{len(indices):,}", reason, *empty))
                continue
            slide = _scored(shown, assessment, np.array(indices), overview)
            own = folder / _folder_name(shown, taken)
            own.mkdir(parents=True, exist_ok=True)
            chart = slide_chart(slide, gaps, outliers)
            write_bytes(own / OVERVIEW, chart)
            write_geojson(own / TILES, slide, gaps)
            rows.append(_row(slide))
            if len(figures) < _PICTURED:
                figures[f"slide {len(figures) + 1}"] = Illustration(
                    f"Slide {shown}", _jpeg(chart), _caption(slide, own.name), _description(slide)
                )
            report(done, len(tiles))
    more = (
        f" The first {_PICTURED} are shown under Figures; {FOLDER}/ has all."
        if len(tiles) > _PICTURED
        else ""
    )
    table = Table(
        f"{len(tiles):,} whole slides" if len(tiles) > 1 else "The whole slide",
        _COLUMNS,
        tuple(rows),
        f"Sort by a column's name. {FOLDER}/NAME/{OVERVIEW} shows each slide, and {TILES} opens in "
        f"QuPath (File, Import objects from file).{more} Tissue: the share of the whole slide. "
        "Look at: tiles that may be no use. Strangest: the highest outlier value of a tile.",
    )
    return SlidesOnPage(figures, (table,))


def _remove_earlier(folder: pathlib.Path) -> None:
    """Removes what a run wrote, and nothing else."""
    if not folder.is_dir() or folder.is_symlink():
        return
    for own in sorted(folder.iterdir()):
        if own.is_dir() and not own.is_symlink():
            for name in (OVERVIEW, TILES):
                (own / name).unlink(missing_ok=True)
            if not any(own.iterdir()):
                own.rmdir()
    if not any(folder.iterdir()):
        folder.rmdir()


def _tiles_of_slides(assessment: Assessment) -> dict[str, list[int]]:
    """The indices of each slide's tiles, by the slide's name."""
    found: dict[str, list[int]] = {}
    if assessment.images is None:
        return found
    for index in range(len(assessment.names)):
        place = place_in_slide(assessment.stored_name(index))
        if place is not None:
            found.setdefault(place[0], []).append(index)
    return found


def _shown_name(assessment: Assessment, index: int, row: int) -> str:
    """The slide's name as it may be shown, by that of its first tile."""
    place = place_in_slide(assessment.names[index])
    return f"slide {row + 1}" if place is None else place[0]


def _folder_name(name: str, taken: set[str]) -> str:
    """A name for the slide's folder that no other has, whatever its path."""
    plain = re.sub(r"[^\w.()+@ -]", "_", name.strip("/"))[:120].strip(". ") or "slide"
    found, count = plain, 1
    while found.lower() in taken:
        count += 1
        found = f"{plain}~{count}"
    taken.add(found.lower())
    return found


def _scored(
    name: str, assessment: Assessment, indices: np.ndarray, overview: SlideOverview
) -> ScoredSlide:
    places = [place_in_slide(assessment.stored_name(index)) for index in indices.tolist()]
    order = np.zeros(len(assessment.names), np.int64)
    if assessment.selection is not None and assessment.asked:
        chosen = assessment.selection.indices
        order[chosen] = np.arange(1, len(chosen) + 1)
    found = assessment.findings
    return ScoredSlide(
        name,
        overview,
        np.array([place[1:] for place in places if place is not None], np.int64),
        np.asarray(assessment.examination.gap)[indices],
        np.asarray(assessment.examination.score)[indices],
        np.asarray(assessment.rank)[indices],
        None if found is None else found.outlier[indices],
        tuple(() if found is None else found.findings[index] for index in indices.tolist()),
        None if found is None else found.usable[indices],
        order[indices],
    )


def _most(found: Findings) -> float:
    """Where the colours of outlier values end: far above the threshold, 1, all look alike."""
    return max(2.0, float(np.quantile(found.outlier, 0.99)))


def _row(slide: ScoredSlide) -> tuple[str, ...]:
    mpp, outlier = slide.overview.mpp, slide.outlier
    return (
        slide.name,
        f"{len(slide.tiles):,}",
        "{:,} x {:,}".format(*slide.overview.size),
        "unknown" if mpp is None else f"{mpp:.3g}",
        f"{slide.overview.tissue.mean():.1%}",
        "" if slide.usable is None else f"{int(len(slide.usable) - slide.usable.sum()):,}",
        f"{np.count_nonzero(slide.order):,}",
        f"{np.median(slide.gap):.3g}",
        "" if outlier is None else f"{outlier.max():.3g}",
    )


def _caption(slide: ScoredSlide, folder: str) -> str:
    return (
        "First the tissue that was found (blue line) and the tiles to label (red, in order). "
        "The heat maps show, for each tile of tissue, EXAMINE's gap (a large gap is a large part "
        "in the features' leading direction, not a good or bad tile), how strange the tile is "
        "(above 1: look at it), and what was found. All slides have the same scales. "
        f"{FOLDER}/{folder}/{TILES} holds the same numbers for QuPath."
    )


def _description(slide: ScoredSlide) -> str:
    return (
        f"Overview of the slide {slide.name} with {len(slide.tiles)} tiles, "
        f"{np.count_nonzero(slide.order)} of them to label, and heat maps of their values"
    )


def _jpeg(chart: bytes) -> bytes:
    """The chart for the page: photographs are smaller as JPEG."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(chart)) as image:
        image.convert("RGB").save(stream, "JPEG", quality=_JPEG_QUALITY)
    return stream.getvalue()
