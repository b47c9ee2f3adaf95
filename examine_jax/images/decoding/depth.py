"""Converts samples of more than 8 bits to 8 bits.

One rule for all images of a source keeps their brightness comparable.

Integers: many devices store 10, 12 or 14 bits in 16. A value v becomes v * 255 / (2**b - 1). b is
`bits_stored` where the caller gives it; else the fewest bits, from 8 to 16, that hold the largest
value of all images deeper than 8 bits.

Floats: the scale is [0, 1] if no value of the source is above 1, and [0, 255] if the largest is 2
or more. A largest value between them fits neither and is refused. Rounding is tolerated: up to half
a step of a byte beyond either end.
"""

import numpy as np

from examine_jax.common.shapes import Num, UInt8

# Half a step of a byte: values beyond [0, 1] by no more than this become 0 or 255 as bytes.
FLOAT_TOLERANCE = 0.5 / 255


def bits_that_hold(largest: int) -> int:
    """The fewest bits, from 8 to 16, that hold `largest`."""
    return min(max(int(largest).bit_length(), 8), 16)


def check_bits_stored(bits_stored: int | None) -> None:
    if bits_stored is not None and not 8 <= bits_stored <= 16:
        raise ValueError(
            f"bits_stored={bits_stored}: images of more than 8 bits store 8 to 16; name that, or "
            "None to find out"
        )


def integer_problem(smallest: int, largest: int, bits_stored: int | None) -> str | None:
    """Why integers of this range cannot become 8 bits; None: they can."""
    if smallest < 0 or largest > 65535:
        found = f"values from {smallest} to {largest}"
        return f"{found}: only 0 to 65535 can be read; shift or window them into it first"
    if bits_stored is not None and largest >= 2**bits_stored:
        return f"largest value {largest} does not fit bits_stored={bits_stored}"
    return None


def float_problem(smallest: float, largest: float) -> str | None:
    """Why floats of this range cannot become 8 bits; None: they can."""
    if not np.isfinite(smallest) or not np.isfinite(largest):
        return "NaN or infinity among the values"
    if smallest < -FLOAT_TOLERANCE or largest > 255 * (1 + FLOAT_TOLERANCE):
        found = f"values from {smallest:g} to {largest:g}"
        return f"{found}: only [0, 1] or [0, 255] can be read; rescale or clip them first"
    return None


def float_full_scale(largest: float) -> float:
    """The value of white, 1 or 255, of floats up to `largest`.

    Raises:
        ValueError: the largest value fits neither scale.
    """
    if largest <= 1 + FLOAT_TOLERANCE:
        return 1.0
    if largest < 2:
        raise ValueError(
            f"floats up to {largest:g} fit neither [0, 1] nor [0, 255]; rescale or clip them first"
        )
    return 255.0


def float_note(full_scale: float, largest: float) -> tuple[str, ...]:
    """What a user should know of the scale of floats, for `ImageSet.notes`."""
    return (
        ()
        if full_scale == 1
        else (f"floats up to {largest:g} are read as 0 (black) to 255 (white)",)
    )


def to_bytes(values: Num[np.ndarray, "..."], full_scale: float) -> UInt8[np.ndarray, "..."]:
    """round(value * 255 / full_scale), clipped: a Lanczos resize overshoots at edges.

    What is beyond float32 is clipped too.
    """
    with np.errstate(over="ignore"):
        scaled = np.multiply(values, 255 / full_scale, dtype=np.float32)
    return np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)
