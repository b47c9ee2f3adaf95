"""A self-contained HTML page of results: pictures are embedded, and nothing is requested.

jinja2 escapes every text. The page's Content-Security-Policy allows inline styles, inline pictures
and one script, which it names by its digest: the page's own, which sorts and filters tables and
opens pictures large. So a file name is never more than text.
"""

import base64
import dataclasses
import hashlib
import importlib.metadata
import importlib.resources
import io
import os
import platform
import re
from collections.abc import Mapping, Sequence

import jinja2
import markupsafe
import numpy as np
from PIL import Image

from examine_jax.common.atomic_files import write_text
from examine_jax.common.shapes import Float, Int, UInt8
from examine_jax.reporting.charts.drawing import as_rgb
from examine_jax.reporting.tables import Skipped

# The page lists this many skipped files or duplicates; the CSV files list all.
_MOST_LISTED = 100
_FLAG = re.compile(r"(?<![\w-])--[a-z_]+(?:=[\w%]+)?")
_THUMBNAIL = 160
_LARGEST_SIDE = 480


@dataclasses.dataclass(frozen=True)
class RankedImage:
    """A row of the ranking; rank 1 has the smallest gap. `thumbnail` is a PNG or None."""

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
    """A figure: its PNG or JPEG, its caption, and a description for readers who cannot see it."""

    title: str
    png: bytes
    caption: str
    alternative_text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose rows are as long as its header; cells are shown unchanged."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class PicturedImage:
    """An image with its picture.

    Attributes:
        name: the image's.
        label: short, shown large, such as "1" for the first to label.
        lines: what is known of it, shown small.
        picture: a PNG or JPEG, from `picture`; None: no picture is shown.
    """

    name: str
    label: str
    lines: tuple[str, ...] = ()
    picture: bytes | None = None


@dataclasses.dataclass(frozen=True)
class FindingGroup:
    """All images with one finding.

    Attributes:
        title: of the finding, such as "blurred".
        meaning: one sentence: what else can look like it.
        count: the number of images that have it.
        images: some of them, the clearest first.
    """

    title: str
    meaning: str
    count: int
    images: tuple[PicturedImage, ...] = ()


@dataclasses.dataclass(frozen=True)
class Decision:
    """The first two sections of the page.

    Attributes:
        usability: a paragraph: how many images to look at, and why.
        selection: a paragraph: which images to label, and what they cover.
        asked: whether the user gave a budget; otherwise the chosen images are a suggestion.
        findings: one group a finding, most images first.
        finding_rows: for each finding: its title, images, share, what becomes of them, the
            threshold and what it means.
        chosen: the first images to label, in order.
        coverage: the chart of what the chosen images cover.
        to_label: all chosen images as a table.
        all_images: all images as a table.
    """

    usability: str
    selection: str
    asked: bool
    findings: tuple[FindingGroup, ...] = ()
    finding_rows: tuple[tuple[str, ...], ...] = ()
    chosen: tuple[PicturedImage, ...] = ()
    coverage: Illustration | None = None
    to_label: Table | None = None
    all_images: Table | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """The content of the page.

    Attributes:
        title: the page's title.
        headline: what was done and found, in plain language, for example by
            `headline.assessment_headline`.
        summary: the main numbers, shown large: {"images scored": "300", …}.
        highest: those with the first ranks, smallest gap first. The table shows all of them, the
            gallery those with a thumbnail.
        lowest: those with the last ranks, largest gap first.
        figures: in the order of the page.
        tables: further tables, for example the noise experiment's.
        duplicates: groups of names of identical images.
        skipped: files that could not be read; the page lists the first hundred.
        warnings: what the reader should know before relying on the results, a sentence each.
        settings: every setting that the results depend on, for example encoder, solver and seeds.
        versions: of the software, from `package_versions`.
        decision: which images to look at and which to label; None: the page has no such sections.
        ranking: a paragraph about this run's ranking.
        privacy: what the pictures show, if they must be protected.
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
    decision: Decision | None = None
    ranking: str = ""
    privacy: str = ""


# For `Report.privacy`.
PATIENTS_PIXELS = (
    "This page contains pictures of the images, so patients' data may be in it, and file names may "
    "identify patients. Keep it where the images may be kept."
)


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
    """The two ends of the ranking; no image is in both.

    Args:
        names: the images' names, [N].
        score, gap, error_bound, rank: [N].
        pixels: the images; without them there are no thumbnails.
        level: the noise added to each image, if any.
        count: the maximum number of images at each end.
        pictured: the number of images with a thumbnail at each end.

    Returns:
        The images with the first ranks, smallest gap first, and those with the last, largest first.

    Raises:
        ValueError: there is not one name a row.
    """
    if len(names) != len(rank):
        raise ValueError(
            f"there are {len(names)} names for {len(rank)} rows; every row needs one name"
        )
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
    lowest = tuple(
        row(place, index) for place, index in enumerate(order[num_highest:][::-1][:count].tolist())
    )
    return highest, lowest


def thumbnail(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A PNG of the image [H, W, C], at most 160 pixels a side.

    Grey is repeated; channels beyond the third are dropped.
    """
    image = Image.fromarray(np.round(as_rgb(pixels) * 255).astype(np.uint8))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def picture(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """The image as a file of at most 480 pixels a side: PNG if it is small, otherwise JPEG.

    Grey is repeated; channels beyond the third are dropped.
    """
    image = Image.fromarray(np.round(as_rgb(pixels) * 255).astype(np.uint8))
    stream = io.BytesIO()
    if max(image.size) <= _THUMBNAIL:  # JPEG would blur the pixels of an image this small
        image.save(stream, format="PNG", optimize=True)
    else:
        image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
        image.save(stream, format="JPEG", quality=90)
    return stream.getvalue()


def package_versions() -> dict[str, str]:
    """The versions of Python, this library and the installed libraries that determine results."""
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
    """The page as HTML."""
    return render("report.html", {"report": report, "most_listed": _MOST_LISTED})


def render(template: str, content: Mapping[str, object]) -> str:
    """A page of the package's templates as HTML, with the script that sorts and filters tables.

    Args:
        template: the file name in templates/.
        content: what the template names.
    """
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
    environment.filters["data_uri"] = _data_uri
    environment.filters["flags"] = _flags
    templates = importlib.resources.files("examine_jax.reporting") / "templates"
    script = (templates / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    page = environment.get_template(template).render(
        **content, script=markupsafe.Markup(script), script_source=f"'sha256-{digest}'"
    )
    return page.encode("utf-8", errors="backslashreplace").decode("utf-8")


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Writes the page to `path`, whole or not at all.

    Raises:
        OSError: as `atomic_files.replacing`.
    """
    write_text(path, render_report(report))


def _name(name: str) -> markupsafe.Markup:
    """A file name as text; <bdi> isolates right-to-left marks from the text around it."""
    return markupsafe.Markup('<bdi class="name">{}</bdi>').format(_attribute(name))


def _attribute(text: str) -> markupsafe.Markup:
    """Escaped text; carriage returns become references, or browsers would read line feeds."""
    return markupsafe.Markup(str(markupsafe.escape(text)).replace("\r", "&#13;"))


def _flags(text: str) -> markupsafe.Markup:
    """Escaped text, in which flags are code: a browser would break them after their hyphens."""
    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(_FLAG.sub(r"<code>\g<0></code>", escaped))


def _data_uri(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode("ascii")


def _is_wide(picture: bytes) -> bool:
    """Whether a figure takes the page's whole width: it is over 1,300 pixels wide."""
    with Image.open(io.BytesIO(picture)) as image:
        return image.width > 1300
