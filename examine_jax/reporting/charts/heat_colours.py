"""The colours of a heat map, one scale for all slides of a set."""

import dataclasses

import matplotlib
import numpy as np
from matplotlib import colors

from examine_jax.common.shapes import Float, UInt8
from examine_jax.reporting.charts.drawing import floored, spans_decades

# From dark blue to yellow: lightness rises evenly, also for readers who are colour-blind.
HEAT = matplotlib.colormaps["cividis"]


@dataclasses.dataclass(frozen=True)
class HeatColours:
    """A scale from the least to the greatest value of a set.

    Attributes:
        least, greatest: its ends.
        logarithmic: whether it is logarithmic.
    """

    least: float
    greatest: float
    logarithmic: bool = False

    @classmethod
    def of(cls, values: Float[np.ndarray, " n"]) -> "HeatColours":
        """The scale of these values: logarithmic where most are far below the largest."""
        finite = values[np.isfinite(values)]
        if not len(finite):
            return cls(0.0, 1.0)
        if finite.min() >= 0 and spans_decades(finite):
            return cls(float(floored(finite).min()), float(finite.max()), True)
        least, greatest = float(finite.min()), float(finite.max())
        return cls(least, greatest if greatest > least else least + 1.0)

    @property
    def norm(self) -> colors.Normalize:
        """The scale for matplotlib. Values beyond its ends get the colours of the ends."""
        kind = colors.LogNorm if self.logarithmic else colors.Normalize
        return kind(self.least, self.greatest, clip=True)

    def bytes_of(self, values: Float[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
        """Red, green and blue of each value; grey: it is no number."""
        shown = np.where(np.isfinite(values), values, self.least)
        found = HEAT(self.norm(np.maximum(shown, self.least)), bytes=True)[:, :3]
        return np.where(np.isfinite(values)[:, None], found, 128).astype(np.uint8)
