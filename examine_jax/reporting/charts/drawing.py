"""What all charts share: colours, style, axes, and labels that are safe for any file name.

Figures are drawn on their own canvas (Agg), without pyplot's global state and without a display.
"""

import contextlib
import functools
import io
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colors, font_manager, ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from examine_jax.common.shapes import Float, Shaped

# The palette of Okabe & Ito: distinct to readers with common kinds of colour blindness.
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
)
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
Colour = tuple[float, float, float, float]  # red, green, blue, opacity
SIGMA, MINUS = "\N{GREEK SMALL LETTER SIGMA}", "\N{MINUS SIGN}"
INK, MUTED, FAINT = "#1f2933", "#5f6b7a", "#d9dee5"

# plasma from dark blue to orange; its yellow end is left out because it is invisible on white.
SEQUENTIAL = colors.ListedColormap(
    matplotlib.colormaps["plasma"](np.linspace(0.0, 0.8, 256)), name="plasma_on_white"
)

_FONT = "DejaVu Sans"
_STYLE: Any = {
    "font.family": _FONT,  # part of matplotlib, so pictures are the same on every machine
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a $ in a file name does not start a formula
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "image.interpolation": "antialiased",
}
_PIXELS_PER_INCH = 200

plain = ticker.FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}"))


@contextlib.contextmanager
def style() -> Iterator[None]:
    """A context with the matplotlib settings of this library's charts; it restores the old ones."""
    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float, pad: float | None = 0.08) -> Figure:
    """An empty figure of this size in inches.

    matplotlib places its parts without overlap, `pad` inches apart; if `pad` is None, the caller
    places them.
    """
    engine = None if pad is None else ConstrainedLayoutEngine(w_pad=pad, h_pad=pad)
    figure = Figure(figsize=(width, height), layout=engine)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG, with 200 pixels an inch."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_PIXELS_PER_INCH)
    return stream.getvalue()


def image_axes(axes: Axes, edge: str = FAINT) -> None:
    """Turns axes into the frame of a picture: no ticks, a thin border."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=edge, linewidth=0.8)


def as_rgb(pixels: Shaped[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "h w 3"]:
    """Pixels as red, green and blue in [0, 1].

    Integers are divided by the maximum of their type. Grey is repeated; channels beyond the third
    are dropped.
    """
    if np.issubdtype(pixels.dtype, np.integer):
        shown = pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
    else:
        shown = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
    shown = shown[..., :3] if shown.shape[-1] >= 3 else np.repeat(shown[..., :1], 3, axis=-1)
    return np.clip(shown, 0.0, 1.0)


def level_colours(num_levels: int) -> Sequence[Colour]:
    """A colour for each noise level, from dark blue to orange."""
    return [
        SEQUENTIAL(position) for position in np.linspace(0.0, 1.0, max(num_levels, 2))[:num_levels]
    ]


def spans_decades(gap: Float[np.ndarray, " n"]) -> bool:
    """Whether a quarter of the gaps are below a thirtieth of the largest."""
    return bool(gap.max() > 0 and np.quantile(gap, 0.25) < gap.max() / 30)


def floored(gap: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Gaps for a logarithmic axis: values below a millionth of the largest are raised to it."""
    return np.maximum(gap, gap.max() * 1e-6)


def plain_log_ticks(axis: Axis, values: Float[np.ndarray, " n"]) -> None:
    """Labels a logarithmic axis at 1, 2 and 5 below two decades, at the decades above."""
    decades = np.log10(values.max() / values.min())
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,)))
    axis.set_major_formatter(plain)
    axis.set_minor_formatter(ticker.NullFormatter())


def write_message(axes: Axes, text: str) -> None:
    """Shows a text in place of a chart."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)
    axes.set(xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)


def label(name: str, at_most: int = 24) -> str:
    """A file name as one short line that can be drawn.

    A long name loses its folders and then its middle. Line breaks, control characters and letters
    that the font lacks become a replacement sign. Tables and the page show the whole name.
    """
    if len(name) > at_most and "/" in name:
        name = f"…/{name.rpartition('/')[2]}"
    if len(name) > at_most:
        head = (at_most - 1) // 2
        name = f"{name[:head]}…{name[len(name) - (at_most - 1 - head) :]}"
    known = _drawable()
    return "".join(
        letter if letter.isprintable() and ord(letter) in known else "\N{REPLACEMENT CHARACTER}"
        for letter in name
    )


@functools.cache
def _drawable() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(_FONT)).get_charmap())
