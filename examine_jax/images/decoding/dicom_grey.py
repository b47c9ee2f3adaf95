"""DICOM grey values: rescaling, lookup tables and windows as PS3.3 C.11 defines them.

pydicom's own functions index an 8-bit table modulo 256 and fail on a window of width 0 or below 1.
"""

import contextlib
import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, Num
from examine_jax.images.decoding.intensity import GreyScale
from examine_jax.images.decoding.series_windows import SLICED, Slice, Window
from examine_jax.images.decoding.unreadable import UnreadableImage

# Rescaled values -> 0 (black) to 1 (white).
Display = Callable[[Num[np.ndarray, "..."]], Float[np.ndarray, "..."]]

GREY = ("MONOCHROME1", "MONOCHROME2")

# The range of 12 bits in Hounsfield units: air is -1000, the densest bone about 3000.
_HOUNSFIELD = -1024.0, 3071.0

# Within these, float32 holds rescaled values of up to 32 bits.
_SMALLEST_RESCALE = float(np.finfo(np.float32).tiny)
_LARGEST_RESCALE = float(np.finfo(np.float32).max) / 2**33

# PET in standardised uptake values (units of g/ml): most lesions are below 10.
_UPTAKE = 0.0, 10.0


def rescaled(
    pixels: Num[np.ndarray, "height width"], header: Any
) -> Num[np.ndarray, "height width"]:
    """Stored pixels after the modality LUT, or after slope and intercept.

    A slope or intercept that is missing or empty is 1 or 0. An identity keeps integers.
    """
    if table := _table(header.get("ModalityLUTSequence"), 1, header):
        return table[0](pixels)
    slope, intercept = _slope(header), _number(header, "RescaleIntercept", 0.0)
    if slope == 0:
        raise UnreadableImage("a DICOM rescale slope without extent; correct its header")
    if abs(slope) < _SMALLEST_RESCALE or max(abs(slope), abs(intercept)) > _LARGEST_RESCALE:
        raise UnreadableImage(
            f"a DICOM rescale slope of {slope:g} and intercept of {intercept:g}, beyond what "
            "float32 holds; correct its header"
        )
    if slope == 1 and intercept == 0:
        return pixels
    return pixels.astype(np.float64) * slope + intercept


def display(header: Any, scale: GreyScale) -> Display | None:
    """How rescaled values become black to white; None: by the scale that they share.

    The first of these that there is: the range that the user names, a VOI LUT, the series' common
    window, a window, the default range of CT (Hounsfield units) or PET (standardised uptake
    values), the range of the modality LUT, the range of up to 8 unsigned bits that are not
    rescaled.

    Raises:
        UnreadableImage: more than 16 bits without a scale, or a window function that is not known.
    """
    if scale.intensity_range is not None:
        return _range(*scale.intensity_range)
    if table := _table(header.get("VOILUTSequence"), scale.window, header):
        look_up, white = table
        return lambda values: look_up(values) / white
    own = slice_of(header, scale)
    if window := scale.series.get(own.series) if own else None:
        return _window_function(window)
    if window := _window(header, scale.window):
        return _window_function(window)
    modality = header.get("Modality")
    table = _table(header.get("ModalityLUTSequence"), 1, header)
    hounsfield = header.PixelRepresentation or _numbers(header, "RescaleIntercept")
    if modality == "CT" and hounsfield and not table:
        return _range(*_HOUNSFIELD)
    if modality == "PT" and header.get("Units") == "GML":
        return _range(*_UPTAKE)
    if table:
        return _range(0.0, table[1])
    bits = int(header.BitsStored)
    if bits > 16:
        raise UnreadableImage(
            f"{bits} bits a sample and no window that says what is black and white; add a window"
        )
    if (
        bits <= 8
        and not header.PixelRepresentation
        and _slope(header) == 1
        and _number(header, "RescaleIntercept", 0.0) == 0
    ):
        return _range(0.0, 2.0**bits - 1)
    return None


def sharing(header: Any) -> tuple[str, bool]:
    """(the name of the scale that an image shares, whether 0 is black on it)"""
    if header.get("Modality") == "PT":
        return f"PET in units {header.get('Units') or 'not named'}", True
    series = _series(header)
    return (f"series {series}" if series else "files without a series"), False


def _series(header: Any) -> str:
    """Names the series of an image: its identifier, and a digest of its patient and study.

    Some programs that remove names give the series of all patients one identifier.
    """
    series = header.get("SeriesInstanceUID")
    if not series:
        return ""
    apart: list[str] = []
    for name in ("PatientID", "StudyInstanceUID"):
        with contextlib.suppress(Exception):  # A damaged element raises anything.
            if value := header.get(name):
                apart.append(f"{name} {value}")
    if not apart:
        return str(series)
    digest = hashlib.blake2b("|".join(apart).encode(errors="replace"), digest_size=8)
    return f"{series}|{digest.hexdigest()}"


def _range(black: float, white: float) -> Display:
    return lambda values: np.clip((values - black) / (white - black), 0, 1)


def _slope(header: Any) -> float:
    return _number(header, "RescaleSlope", 1.0)


def _number(header: Any, name: str, default: float) -> float:
    found = _numbers(header, name)
    return found[0] if found and math.isfinite(found[0]) else default


def _numbers(header: Any, name: str) -> list[float]:
    value = header.get(name)
    if value is None or value == "":
        return []
    values = value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]
    return [math.nan if one in (None, "") else float(one) for one in values]


def slice_of(header: Any, scale: GreyScale) -> Slice | None:
    """What an image says of its series' window; None: it is no slice, or its window has no say."""
    series = _series(header)
    if scale.intensity_range is not None or not series or header.get("Modality") not in SLICED:
        return None
    if header.get("PhotometricInterpretation") not in GREY:
        return None
    if _table(header.get("VOILUTSequence"), scale.window, header):
        return None
    return Slice(series, _window(header, scale.window))


def _window(header: Any, which: int) -> Window | None:
    """The window of this number, or the first where it is missing or no window (width 0)."""
    centres, widths = _numbers(header, "WindowCenter"), _numbers(header, "WindowWidth")
    function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    pairs = list(zip(centres, widths))
    for centre, width in [*pairs[which - 1 : which], *pairs]:
        if math.isfinite(centre) and math.isfinite(width) and width > 0:
            return Window(centre, width, function)
    return None


def _window_function(window: Window) -> Display:
    centre, width, function = window.centre, window.width, window.function
    if function == "SIGMOID":  # C.11.2.1.3.1. The clip keeps exp finite.
        return lambda values: 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    # C.11.2.1.2.1: LINEAR is for widths from 1.
    if function == "LINEAR_EXACT" or (function == "LINEAR" and width < 1):  # C.11.2.1.3.2
        return _range(centre - width / 2, centre + width / 2)
    if function != "LINEAR":
        raise UnreadableImage(
            f"a DICOM window of the function {function!r}; LINEAR, LINEAR_EXACT and SIGMOID are "
            "read"
        )
    if width == 1:
        return lambda values: (values > centre - 0.5).astype(np.float64)
    return _range(centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)


def _table(items: Any, which: int, header: Any) -> tuple[Display, float] | None:
    """(what looks values up, the largest possible output) of a lookup table; None: no table."""
    if not items:
        return None
    item = items[which - 1 if which <= len(items) else 0]
    if item.get("LUTDescriptor") is None or item.get("LUTData") is None:
        return None
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    table = entries(item.LUTData, count or 2**16, bits, header)
    white = 2.0 ** max(bits, int(table.max()).bit_length()) - 1
    return lambda values: look_up(values, table, first), white


def look_up(
    values: Num[np.ndarray, "..."], table: Num[np.ndarray, "entries"], first: int
) -> Num[np.ndarray, "..."]:
    """A table's entries of these values.

    Values before the first entry become the first, values after the last entry the last.

    Args:
        values: whole numbers, or numbers that are rounded.
        table: entries.
        first: the value of the first entry.
    """
    # 16 bits hold the first value: of values below 0, it is signed.
    start = first - 2**16 if first >= 2**15 and values.min() < 0 else first
    index = np.rint(values).astype(np.int64) - start
    return table[np.clip(index, 0, len(table) - 1)]


def entries(data: Any, count: int, bits: int, header: Any) -> Num[np.ndarray, "entries"]:
    """A table's entries: of 16 bits, or of 8 bits, which may lie two in 16."""
    little = header.file_meta.TransferSyntaxUID.is_little_endian
    if isinstance(data, bytes):
        if len(data) < 2 * count:
            if not little:
                data = np.frombuffer(data[: len(data) // 2 * 2], np.uint16).byteswap().tobytes()
            found = np.frombuffer(data, np.uint8).astype(np.int64)
        else:
            found = np.frombuffer(data[: 2 * count], "<u2" if little else ">u2").astype(np.int64)
    else:
        found = np.atleast_1d(np.asarray(data, np.int64))
        if bits <= 8 and len(found) < count <= 2 * len(found):
            found = found.astype("<u2").view(np.uint8).astype(np.int64)
    if len(found) < count:
        raise UnreadableImage(
            f"a DICOM lookup table of {len(found)} entries, where its header says {count}"
        )
    return found[:count]
