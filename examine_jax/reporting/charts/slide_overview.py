"""A whole slide: its tissue, the tiles to label, and heat maps of gaps, outliers and findings."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import patches, patheffects, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examine_jax.common.shapes import Bool, Float, Int, UInt8
from examine_jax.images.slide_overviews import SlideOverview
from examine_jax.reporting.charts.drawing import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    image_axes,
    label,
    new_figure,
    plain,
    png,
    style,
)
from examine_jax.reporting.charts.heat_colours import HEAT, HeatColours
from examine_jax.reporting.scored_slide import ScoredSlide

# Inches: the highest panel; the width of all; around them, between them, above and below them.
_TALLEST, _WIDEST = 5.2, 9.6
_MARGIN, _BETWEEN, _TOP, _TITLE, _BELOW = 0.1, 0.2, 0.3, 0.3, 0.62
_WASHED = 0.55  # how much of the picture under a heat map is left
_COVER = 0.8  # opacity of a heat map
_NUMBERED = 40  # chosen tiles of one slide
_FINDING_COLOURS = (VERMILLION, BLUE, ORANGE, GREEN, PURPLE, SKY)
_OTHERS = "other findings"
_OUTLINE = [patheffects.withStroke(linewidth=1.8, foreground="white")]


def slide_chart(slide: ScoredSlide, gaps: HeatColours, outliers: HeatColours | None) -> bytes:
    """The slide with its tissue and the tiles to label, and one heat map a value.

    Args:
        slide: its overview, and its tiles' values.
        gaps: the colours of gaps, the same for all slides of the set.
        outliers: likewise of outlier values; None: there are none, and no findings.

    Returns:
        A PNG.
    """
    width, height = slide.overview.size
    panels = 2 if outliers is None else 4
    across = panels if height > 1.15 * width else 2
    down = panels // across
    wide = (_WIDEST - (across - 1) * _BETWEEN) / across
    tall = min(wide * height / width, _TALLEST)
    whole = _WIDEST + 2 * _MARGIN, _TOP + down * (_TITLE + tall + _BELOW)
    with style():
        figure = new_figure(*whole, pad=None)
        places = [
            (
                _MARGIN + (panel % across) * (wide + _BETWEEN),
                whole[1] - _TOP - (panel // across) * (_TITLE + tall + _BELOW) - _TITLE - tall,
            )
            for panel in range(panels)
        ]
        grid = [_axes(figure, left, low, wide, tall) for left, low in places]
        bars = [_axes(figure, left, low - 0.2, wide, 0.1) for left, low in places[1 : panels - 1]]
        _draw_choice(grid[0], slide)
        if outliers is None or slide.outlier is None:
            bars.append(_axes(figure, places[1][0], places[1][1] - 0.2, wide, 0.1))
        _draw_values(grid[1], bars[0], slide, slide.gap, gaps, "EXAMINE's gap (no unit)")
        if outliers is not None and slide.outlier is not None:
            title = "outlier value (1: threshold)"
            _draw_values(grid[2], bars[1], slide, slide.outlier, outliers, title)
            _draw_findings(grid[3], slide)
        mpp = slide.overview.mpp
        figure.text(
            _MARGIN / whole[0],
            1 - 0.08 / whole[1],
            f"{label(slide.name, 60)}: {width:,} x {height:,} pixels of "
            f"{'unknown size' if mpp is None else f'{mpp:.3g} µm'}, {len(slide.tiles):,} tiles",
            va="top",
        )
        return png(figure)


def _axes(figure: Figure, left: float, low: float, wide: float, tall: float) -> Axes:
    """Axes at a place in inches."""
    width, height = figure.get_size_inches()
    return figure.add_axes((left / width, low / height, wide / width, tall / height), anchor="NW")


def _draw_choice(axes: Axes, slide: ScoredSlide) -> None:
    _show(axes, slide.overview.picture, slide)
    if slide.overview.tissue.any() and not slide.overview.tissue.all():
        axes.contour(
            _coarse(slide.overview.tissue),
            levels=[0.5],
            colors=[BLUE],
            linewidths=0.7,
            extent=_extent(slide),
            origin="upper",
        )
    chosen = np.flatnonzero(slide.order)
    for index in chosen.tolist():
        x, y, width = slide.tiles[index].tolist()
        axes.add_patch(
            patches.Rectangle((x, y), width, width, fill=False, edgecolor=VERMILLION, linewidth=1.2)
        )
        if len(chosen) <= _NUMBERED:
            axes.text(
                x + width / 2,
                y + width / 2,
                str(slide.order[index]),
                ha="center",
                va="center",
                fontsize=6.5,
                fontweight="bold",
                color=INK,
                path_effects=_OUTLINE,
            )
    _draw_scale_bar(axes, slide.overview)
    axes.set_title("tissue and tiles to label")
    handles = [patches.Patch(edgecolor=BLUE, facecolor="none", label="tissue")]
    if len(chosen):
        handles.append(
            patches.Patch(edgecolor=VERMILLION, facecolor="none", label="to label, in this order")
        )
    _legend(axes, handles, 1)


def _draw_values(
    axes: Axes,
    scale_axes: Axes,
    slide: ScoredSlide,
    values: Float[np.ndarray, " n"],
    scale: HeatColours,
    title: str,
) -> None:
    _show(axes, _washed(slide.overview.picture), slide)
    drawn = axes.imshow(
        mean_of_tiles(slide.overview, slide.tiles, np.maximum(values, scale.least)),
        cmap=HEAT,
        norm=scale.norm,
        alpha=_COVER,
        extent=_extent(slide),
        interpolation="nearest",
    )
    axes.set_title(title)
    bar = axes.figure.colorbar(drawn, cax=scale_axes, orientation="horizontal")
    if scale.logarithmic:
        bar.ax.xaxis.set_major_formatter(plain)
        bar.ax.xaxis.set_minor_formatter(ticker.NullFormatter())
    bar.outline.set_visible(False)


def _draw_findings(axes: Axes, slide: ScoredSlide) -> None:
    first = [names[0].replace("_", " ") if names else "" for names in slide.findings]
    kinds = sorted({name for name in first if name}, key=lambda name: (-first.count(name), name))
    shown = kinds[: len(_FINDING_COLOURS) - (len(kinds) > len(_FINDING_COLOURS))]
    groups = [(name, [name]) for name in shown]
    if len(shown) < len(kinds):
        groups.append((_OTHERS, kinds[len(shown) :]))
    washed = _washed(slide.overview.picture)
    handles = []
    for colour, (name, members) in zip(_FINDING_COLOURS, groups):
        having = np.array([one in members for one in first])
        covered = tiles_cover(slide.overview, slide.tiles[having])
        rgb = np.array(list(bytes.fromhex(colour[1:])))
        washed[covered] = (_COVER * rgb + (1 - _COVER) * washed[covered]).astype(np.uint8)
        handles.append(patches.Patch(color=colour, label=f"{name} ({having.sum():,} tiles)"))
    _show(axes, washed, slide)
    axes.set_title("first finding of each tile")
    if not handles:
        handles = [patches.Patch(color="none", label="nothing was found")]
    _legend(axes, handles, 1 + (len(handles) > 3))


def _legend(axes: Axes, handles: Sequence[patches.Patch], columns: int) -> None:
    """A legend below the panel."""
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        ncols=columns,
        fontsize=7.5,
        borderpad=0.3,
        borderaxespad=0.1,
        handlelength=1.4,
        labelspacing=0.3,
        columnspacing=1.0,
    )


def _show(axes: Axes, picture: UInt8[np.ndarray, "rows columns 3"], slide: ScoredSlide) -> None:
    axes.imshow(picture, extent=_extent(slide), interpolation="antialiased")
    image_axes(axes)
    axes.set(xlim=(0, slide.overview.size[0]), ylim=(slide.overview.size[1], 0))


def _extent(slide: ScoredSlide) -> tuple[float, float, float, float]:
    width, height = slide.overview.size
    return 0.0, float(width), float(height), 0.0


def _washed(picture: UInt8[np.ndarray, "rows columns 3"]) -> UInt8[np.ndarray, "rows columns 3"]:
    """The picture in pale grey, under a heat map."""
    grey = picture.astype(np.float32).mean(axis=-1, keepdims=True)
    return np.repeat((255 - (255 - grey) * _WASHED).astype(np.uint8), 3, axis=-1)


def _coarse(tissue: Bool[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
    """The tissue without specks: the share of it in the squares around each pixel."""
    from scipy.ndimage import uniform_filter

    side = max(3, max(tissue.shape) // 150)
    return np.asarray(uniform_filter(tissue.astype(np.float32), side, mode="constant"))


def _draw_scale_bar(axes: Axes, overview: SlideOverview) -> None:
    """A bar of a round length, if the slide states its resolution."""
    width, height = overview.size
    if overview.mpp is None:
        return
    length = round_length(width * overview.mpp / 5)
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    long, left, low = length / overview.mpp, 0.03 * width, 0.97 * height
    axes.plot([left, left + long], [low, low], color="black", linewidth=2.2, solid_capstyle="butt")
    axes.text(
        left + long / 2,
        low - 0.015 * height,
        text,
        ha="center",
        va="bottom",
        fontsize=7,
        color="black",
        path_effects=_OUTLINE,
    )


def round_length(most: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is no longer than this."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9))


def mean_of_tiles(
    overview: SlideOverview, tiles: Int[np.ndarray, "n 3"], values: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "rows columns"]:
    """At each pixel of the overview, the mean of the tiles there; NaN where there is none.

    Args:
        overview: of the slide.
        tiles: x, y and width of each.
        values: of each; those that are no numbers are left out.
    """
    known = np.isfinite(values)
    counts = _sums(overview, tiles, known.astype(np.float64))
    sums = _sums(overview, tiles, np.where(known, values, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 0.5, sums / counts, np.nan)


def tiles_cover(
    overview: SlideOverview, tiles: Int[np.ndarray, "n 3"]
) -> Bool[np.ndarray, "rows columns"]:
    """The pixels of the overview on which some of these tiles lie."""
    return _sums(overview, tiles, np.ones(len(tiles))) > 0.5


def _sums(
    overview: SlideOverview, tiles: Int[np.ndarray, "n 3"], values: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "rows columns"]:
    """At each pixel of the overview, the sum of the values of the tiles there."""
    rows, columns = overview.picture.shape[:2]
    found = np.zeros((rows + 1, columns + 1))
    x, y, width = tiles.T
    left, right = _pixels(x, width, columns / overview.size[0], columns)
    top, bottom = _pixels(y, width, rows / overview.size[1], rows)
    for row, column, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1)):
        np.add.at(found, (row, column), sign * values)
    np.add.at(found, (bottom, right), values)
    return found.cumsum(axis=0).cumsum(axis=1)[:rows, :columns]


def _pixels(
    start: Int[np.ndarray, " n"], width: Int[np.ndarray, " n"], scale: float, most: int
) -> Sequence[np.ndarray]:
    """From which pixel to which, one at least, a tile reaches."""
    first = np.minimum(np.round(start * scale).astype(int), most - 1)
    last = np.minimum(np.maximum(np.round((start + width) * scale).astype(int), first + 1), most)
    return first, last
