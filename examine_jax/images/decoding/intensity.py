"""One intensity scale for grey values whose file does not say what is black and white.

Images that share a scale are compared by the same values: those of one series, of the whole source
where no series is named, and all PET images with equal units. The scale comes from all their values
without the lowest and the highest 0.1 %, at least one value of an image, so that a few outlying
pixels decide nothing:

- Whole numbers from 0: 0 (black) to 2**b - 1 (white), b the fewest bits, from 8 to 16, that hold
  them, as for other files (depth.py).
- Other values from 0, and all PET: 0 to the highest.
- Values below 0: the lowest to the highest.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np

from examine_jax.common.shapes import Float, Num, UInt8
from examine_jax.images.decoding.depth import bits_that_hold, to_bytes
from examine_jax.images.decoding.series_windows import Window

# Values kept of each image, at evenly spaced ranks.
_KEPT = 1024

_TAIL = 0.001


@dataclasses.dataclass(frozen=True)
class GreyScale:
    """What a user says of the scale of DICOM grey values.

    Attributes:
        intensity_range: (black, white) of all grey values after rescaling, in place of windows and
            shared scales; None: each file's window, or the scale that it shares.
        window: which of a file's windows; 1 is the first. A file with fewer uses its first.
        series: by the identifier of a series, the window that its slices share in place of theirs.
    """

    intensity_range: tuple[float, float] | None = None
    window: int = 1
    series: Mapping[str, Window] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        given = self.intensity_range
        if given is not None and not (
            len(given) == 2 and all(map(math.isfinite, given)) and given[0] < given[1]
        ):
            raise ValueError(
                f"intensity_range={given}: give two numbers, black before white, as in -160,240"
            )
        if self.window < 1:
            raise ValueError(f"dicom_window={self.window}: the first is 1")


# Each file's first window, or the scale that it shares.
BY_FILE = GreyScale()


@dataclasses.dataclass(frozen=True, eq=False)
class Intensities:
    """What one image says of the scale that it shares.

    Attributes:
        shared_by: images with an equal name share a scale.
        values: some of its values, sorted.
        whole: all its values are whole numbers.
        from_zero: 0 is black, even where values are below 0.
        inverted: low values are bright.
    """

    shared_by: str
    values: Float[np.ndarray, "kept"]
    whole: bool
    from_zero: bool
    inverted: bool

    @classmethod
    def of(
        cls, values: Num[np.ndarray, "..."], shared_by: str, *, from_zero: bool, inverted: bool
    ) -> "Intensities":
        """Of one image's values after rescaling."""
        kept = np.sort(values, axis=None)
        if kept.size > _KEPT:
            kept = kept[((np.arange(_KEPT) + 0.5) * (kept.size / _KEPT)).astype(np.int64)]
        whole = values.dtype.kind in "iu" or bool((values == np.rint(values)).all())
        return cls(shared_by, kept.astype(np.float32), whole, from_zero, inverted)

    def to_bytes(
        self, values: Num[np.ndarray, "..."], scale: tuple[float, float]
    ) -> UInt8[np.ndarray, "..."]:
        """This image's values, resized perhaps, on the scale (black, white)."""
        black, white = scale
        shown = to_bytes(np.subtract(values, black, dtype=np.float32), white - black)
        return 255 - shown if self.inverted else shown


def shared_scales(images: Iterable[Intensities]) -> dict[str, tuple[float, float]]:
    """(black, white) of each scale, by its name."""
    groups: dict[str, list[Intensities]] = {}
    for image in images:
        groups.setdefault(image.shared_by, []).append(image)
    return {name: _scale(group) for name, group in groups.items()}


def _scale(images: list[Intensities]) -> tuple[float, float]:
    pooled = np.concatenate([image.values for image in images])
    low = float(np.quantile(pooled, _TAIL, method="higher"))
    high = float(np.quantile(pooled, 1 - _TAIL, method="lower"))
    if images[0].from_zero or low >= 0:
        low = 0.0
        if all(image.whole for image in images) and not images[0].from_zero and high <= 65535:
            return low, 2.0 ** bits_that_hold(int(high)) - 1
    return (low, high) if high > low else (low, low + 1.0)


def scale_notes(scales: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """What a user should know of shared scales, for `ImageSet.notes`."""
    # "|" and what tells patients apart may follow the identifier of a series.
    shown = [
        f"{name.partition('|')[0]} from {low:g} to {high:g}"
        for name, (low, high) in sorted(scales.items())
    ]
    if not shown:
        return ()
    more = f", and {len(shown) - 3} more" if len(shown) > 3 else ""
    listed = "; ".join(shown[:3])
    return (f"DICOM values without a window are shown, black to white: {listed}{more}",)
