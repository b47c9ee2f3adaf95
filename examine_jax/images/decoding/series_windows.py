"""One window for the slices of a series that have windows of their own.

Some scanners give each slice a window. Shown by these, one tissue has another grey in each slice.
So the slices of one series whose windows differ are shown by one window: its centre and width are
the medians over the slices, its function the commonest. Slices of the series without a window take
it too. A range that the user names comes first; lookup tables stay each slice's own.

Slices are images of CT, MR, PET, NM and OCT that name their series. Radiographs of one series are
different views, so that each keeps its window.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

# Modalities whose series are slices.
SLICED = frozenset({"CT", "MR", "NM", "OPT", "PT"})


@dataclasses.dataclass(frozen=True)
class Window:
    """A window of DICOM grey values (PS3.3 C.11.2.1.2).

    Attributes:
        centre, width: in rescaled values.
        function: LINEAR, LINEAR_EXACT or SIGMOID.
    """

    centre: float
    width: float
    function: str


@dataclasses.dataclass(frozen=True)
class Slice:
    """What one slice says of its series' window.

    Attributes:
        series: the series' identifier; "|" and more may follow, which tell patients apart.
        window: its own; None: it has none.
    """

    series: str
    window: Window | None


def common_windows(slices: Iterable[Slice]) -> dict[str, Window]:
    """The common window of each series whose slices differ, by the series' identifier."""
    series: dict[str, collections.Counter[Window | None]] = {}
    for one in slices:
        series.setdefault(one.series, collections.Counter())[one.window] += 1
    return {
        name: _median(windows)
        for name, windows in series.items()
        if len(windows) > 1 and any(window is not None for window in windows)
    }


def _median(windows: Mapping[Window | None, int]) -> Window:
    functions: collections.Counter[str] = collections.Counter()
    centres: list[float] = []
    widths: list[float] = []
    for window, count in windows.items():
        if window is not None:
            centres += [window.centre] * count
            widths += [window.width] * count
            functions[window.function] += count
    function = min(functions, key=lambda name: (-functions[name], name))
    return Window(float(np.median(centres)), float(np.median(widths)), function)


def window_notes(windows: Mapping[str, Window]) -> tuple[str, ...]:
    """What a user should know of common windows, for `ImageSet.notes`."""
    if not windows:
        return ()
    shown = [
        f"series {name.partition('|')[0]} by centre {window.centre:g} and width {window.width:g}"
        for name, window in sorted(windows.items())
    ]
    more = f", and {len(shown) - 3} more" if len(shown) > 3 else ""
    return (
        "DICOM slices of one series with windows of their own are shown by the medians: "
        f"{'; '.join(shown[:3])}{more}",
    )
