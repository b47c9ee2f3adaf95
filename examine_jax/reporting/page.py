"""One HTML page that holds a whole assessment and opens anywhere: pictures inside, no scripts, nothing fetched.

Every text goes through jinja2's escaping, and the page's own Content-Security-Policy forbids whatever is not an inline style or an
inline picture, so a file name can be no more than text.
"""

import base64
import dataclasses
import importlib.metadata
import io
import os
import platform
from collections.abc import Mapping, Sequence

import jinja2
import markupsafe
import numpy as np
from PIL import Image

from examine_jax.common.atomic_files import write_text
from examine_jax.common.shapes import Float, Int, UInt8
from examine_jax.reporting.charts.drawing import as_rgb
from examine_jax.reporting.tables import Skipped

# The page stays readable, and loads at once, however many files were skipped or doubled: the rest is in the CSV files.
_MOST_LISTED = 100
_THUMBNAIL = 160


@dataclasses.dataclass(frozen=True)
class RankedImage:
    """A row of the ranking: rank 1 is the best; `thumbnail` is a PNG, or None for a row without a picture."""

    name: str
    index: int
    rank: int
    score: float
    gap: float
    error_bound: float
    level: float | None = None
    thumbnail: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Illustration:
    """A figure: its PNG, what to see in it, and what it shows in words, for those who cannot see it."""

    title: str
    png: bytes
    caption: str
    alternative_text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a header and rows of equal length; cells are shown as they are given."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """All that the page says.

    Attributes:
      title: the page's title.
      headline: what was done and found, in plain language (`headline.headline` writes it).
      summary: the run's main figures, shown large: {"images scored": "300", …}.
      highest: the best images, best first; those with a thumbnail make the gallery, all of them the table.
      lowest: the worst images, worst first.
      figures: in the order of the page.
      tables: further tables, say the noise experiment's.
      duplicates: groups of names of images that are exactly alike.
      skipped: files that could not be read; the page lists the first hundred.
      warnings: what the reader should know before trusting the ranking, a sentence each.
      settings: every setting that the scores depend on: encoder, preprocessing, pooling, centring, solver, seeds, …
      versions: of the software (`package_versions`).
    """

    title: str
    headline: str
    summary: Mapping[str, str]
    highest: tuple[RankedImage, ...]
    lowest: tuple[RankedImage, ...]
    figures: tuple[Illustration, ...] = ()
    tables: tuple[Table, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)


def ranked_images(
    names: Sequence[str],
    score: Float[np.ndarray, " n"],
    gap: Float[np.ndarray, " n"],
    error_bound: Float[np.ndarray, " n"],
    rank: Int[np.ndarray, " n"],
    *,
    pixels: UInt8[np.ndarray, "n h w c"] | None = None,
    level: Float[np.ndarray, " n"] | None = None,
    count: int = 20,
    pictured: int = 12,
) -> tuple[tuple[RankedImage, ...], tuple[RankedImage, ...]]:
    """The `count` highest-ranked images, best first, and as many lowest-ranked ones, worst first; no image is in both.

    The first `pictured` of each carry a thumbnail where `pixels` are given.

    Raises:
      ValueError: not one name a row.
    """
    if len(names) != len(rank):
        raise ValueError(f"there are {len(names)} names for {len(rank)} rows; every row needs one name")
    order = np.argsort(rank, kind="stable")
    num_highest = min(count, (len(order) + 1) // 2)

    def row(place: int, index: int) -> RankedImage:
        return RankedImage(
            name=names[index],
            index=index,
            rank=int(rank[index]),
            score=float(score[index]),
            gap=float(gap[index]),
            error_bound=float(error_bound[index]),
            level=None if level is None else float(level[index]),
            thumbnail=thumbnail(pixels[index]) if pixels is not None and place < pictured else None,
        )

    highest = tuple(row(place, index) for place, index in enumerate(order[:num_highest].tolist()))
    lowest = tuple(row(place, index) for place, index in enumerate(order[num_highest:][::-1][:count].tolist()))
    return highest, lowest


def thumbnail(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A PNG of the image [H, W, C], at most 160 pixels a side; grey is repeated, channels beyond three are dropped."""
    image = Image.fromarray(np.round(as_rgb(pixels) * 255).astype(np.uint8))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def package_versions() -> dict[str, str]:
    """The versions of Python, of this library and of the libraries that the scores come from, where installed."""
    versions = {"python": platform.python_version()}
    for package in (
        "examine-jax",
        "jax",
        "jaxlib",
        "numpy",
        "flax",
        "optax",
        "orbax-checkpoint",
        "pillow",
        "scikit-image",
    ):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def render_report(report: Report) -> str:
    """The page as a string of HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("examine_jax.reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["name"] = _name
    environment.filters["attribute"] = _attribute
    environment.filters["is_wide"] = _is_wide
    environment.filters["data_uri"] = lambda png: "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    page = environment.get_template("report.html").render(report=report, most_listed=_MOST_LISTED)
    return page.encode("utf-8", errors="backslashreplace").decode("utf-8")


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Writes the page to `path`, whole or not at all. Raises OSError: as `atomic_files.replacing`."""
    write_text(path, render_report(report))


def _name(name: str) -> markupsafe.Markup:
    """A file name as text; <bdi> keeps a right-to-left mark in it from turning the text around it."""
    return markupsafe.Markup('<bdi class="name">{}</bdi>').format(_attribute(name))


def _attribute(text: str) -> markupsafe.Markup:
    """Text with its carriage returns as references: a browser turns a bare one into a line feed."""
    return markupsafe.Markup(str(markupsafe.escape(text)).replace("\r", "&#13;"))


def _is_wide(png: bytes) -> bool:
    """Whether a figure wants the page's whole width: over 1,300 pixels."""
    return int.from_bytes(png[16:20], "big") > 1300  # the width in PNG's first chunk
