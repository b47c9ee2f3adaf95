"""The table of damage: what is measured for each finding, and which findings make it unusable."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.quality.descriptors.colour import GREY, HUES

Columns = Mapping[str, Float[np.ndarray, " n"]]

# Does the finding alone make an image unusable? The others are findings to look at: a rare disease
# is unlike all others, and a copy is as good as its original.
FINDINGS: MappingProxyType[str, bool] = MappingProxyType(
    {
        "blank": True,
        "blurred": True,
        "noisy": True,
        "compressed": True,
        "overexposed": True,
        "underexposed": True,
        "odd_colour": True,
        "dark_band": True,
        "foreign_object": False,
        "straight_edge": False,
        "odd_layout": False,
        "unlike_others": False,
        "duplicate": False,
    }
)


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number of an image that is high when the image is damaged, and its threshold's rule.

    The threshold is the typical value plus `deviations` robust deviations, but at least `visible`.

    Attributes:
        name: of the value and the threshold.
        finding: what an image above the threshold is called; a key of `FINDINGS`.
        value: from the named columns of descriptions, and the indices of those that say what is
            usual, to [N]; higher is worse.
        deviations: how many robust standard deviations above the typical value are odd.
        floor: the least standard deviation: smaller differences mean nothing.
        visible: below this value nobody sees damage, whatever the set's other images are like.
        certain: from this value on an image is damaged, even if all others are so too.
        among_alike: compares with the images of most similar colour, brightness and contrast, not
            with the whole set: what exceeds their median is added to the set's. The kind of picture
            says much of its detail, but the damage leaves colour and brightness as they are.
        of_colour: says nothing of a grey image among colour ones.
        long_tail: most values are low and some clean ones are high. The 90% quantile counts for the
            deviation.
        reason: why this is damage, in plain words.
    """

    name: str
    finding: str
    value: Callable[[Columns, Int[np.ndarray, " m"]], Float[np.ndarray, " n"]]
    deviations: float
    floor: float
    reason: str
    visible: float = -np.inf
    certain: float = np.inf
    among_alike: bool = False
    of_colour: bool = False
    long_tail: bool = False


def detail(columns: Columns) -> Float[np.ndarray, " n"]:
    """The logarithm of the Laplacian's variance, less what rounding to grey levels adds."""
    return _log_variance(columns["laplacian_variance"])


def fineness(columns: Columns) -> Float[np.ndarray, " n"]:
    """How much of the detail is fine: detail at full size over that at a quarter of it, as logs."""
    return detail(columns) - _log_variance(columns["laplacian_variance_quarter"])


def lack_of_detail(columns: Columns) -> Float[np.ndarray, " n"]:
    """The mean of lacking detail and lacking fineness: blur lowers both, low contrast only one.

    In the direction of least detail: motion leaves the detail across it.
    """
    return _log_variance(columns["laplacian_variance_quarter"]) / 2 - least_detail(columns)


def least_detail(columns: Columns) -> Float[np.ndarray, " n"]:
    """The logarithm of the detail in the direction that has least."""
    return _log_variance(columns["least_directional_variance"], squares=6.0)


def distant_hues(columns: Columns) -> Float[np.ndarray, " n"]:
    """The share of pixels whose hue lies 90 degrees or more from the picture's commonest hue."""
    shares = np.stack([columns[name] for name in HUES], axis=1)
    ranges = np.arange(len(HUES))
    return (shares * (_apart(ranges, shares.argmax(axis=1)[:, None]) >= 3)).sum(axis=1)


def foreign_hues(columns: Columns, usual: Int[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
    """The share of pixels whose hue lies 90 degrees or more from all hues common in the set.

    A hue is common if a hundredth of the pixels have it in a tenth of the usual images. A picture
    that is mostly of foreign hues is no picture with ink on it but one of another kind, such as
    another stain: it is 0 here.
    """
    shares = np.stack([columns[name] for name in HUES], axis=1)
    common = np.flatnonzero(np.quantile(shares[usual], 0.9, axis=0) >= 0.01)
    ranges = np.arange(len(HUES))
    foreign = (_apart(ranges[:, None], common) >= 3).all(axis=1)
    share = (shares * foreign).sum(axis=1)
    return np.where(share > 0.5, 0.0, share)


def crossing_band(columns: Columns) -> Float[np.ndarray, " n"]:
    """How much darker a band across a colour picture is than both its sides, in grey levels.

    0 in a grey picture: a lung is such a band.
    """
    return np.where(columns["saturation_p95"] <= GREY, 0.0, columns["crossing_band"])


def smooth_outlines(columns: Columns) -> Float[np.ndarray, " n"]:
    """Coarse detail over the finest, as logarithms: what is drawn or smooth has no grain."""
    return _log_variance(columns["laplacian_variance_quarter"]) - 2 * _log_grain(columns)


def hard_edges(columns: Columns) -> Float[np.ndarray, " n"]:
    """The strength of the strongest edges over the finest detail, as logarithms."""
    return np.log(columns["edge_strength"] + 1) - _log_grain(columns)


def _log_grain(columns: Columns) -> Float[np.ndarray, " n"]:
    """Between the finest detail on average, which outlines raise, and where it is least."""
    logs = [np.log(columns[name] + 0.3) for name in ("noise_level", "noise_floor")]
    return (logs[0] + logs[1]) / 2


def _apart(first: Int[np.ndarray, "..."], second: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
    """The distance of two hues on the circle, in ranges of 30 degrees."""
    distance = np.abs(first - second)
    return np.minimum(distance, len(HUES) - distance)


def _log_variance(
    variance: Float[np.ndarray, " n"], squares: float = 20.0
) -> Float[np.ndarray, " n"]:
    """The logarithm of a filtered picture's variance, less what rounding to grey levels adds.

    Rounding errors have variance 1/12. `squares` is the sum of the mask's squares: 20 for the
    Laplacian, 6 for a second difference.
    """
    return np.log(np.maximum(variance - squares / 12, 0) + squares / 40)


MEASURES: tuple[Measure, ...] = (
    Measure(
        "lack_of_entropy",
        "blank",
        lambda columns, usual: 8 - columns["entropy"],
        deviations=5.0,
        floor=0.2,
        visible=3.0,
        certain=7.0,
        reason="few grey levels: glass, air or a covered lens",
    ),
    Measure(
        "empty_share",
        "blank",
        lambda columns, usual: columns["empty_share"],
        deviations=6.0,
        floor=0.05,
        visible=0.5,
        certain=0.98,
        long_tail=True,
        reason="most of the picture is of one tone",
    ),
    Measure(
        "lack_of_detail",
        "blurred",
        lambda columns, usual: lack_of_detail(columns),
        deviations=4.0,
        floor=0.3,
        among_alike=True,
        reason="less fine detail than in pictures of like colour, brightness and contrast",
    ),
    Measure(
        "lack_of_finest_detail",
        "blurred",
        lambda columns, usual: -least_detail(columns),
        deviations=4.5,
        floor=0.4,
        among_alike=True,
        reason="as lack_of_detail, for blur so strong that coarse detail is gone too",
    ),
    Measure(
        "noise_floor",
        "noisy",
        lambda columns, usual: columns["noise_floor"],
        deviations=6.0,
        floor=0.5,
        visible=5.0,
        among_alike=True,
        reason="noise where the picture is flattest, in grey levels",
    ),
    Measure(
        "colour_noise",
        "noisy",
        lambda columns, usual: columns["colour_noise"],
        deviations=8.0,
        floor=0.5,
        visible=5.0,
        among_alike=True,
        reason="noise in the difference of red and green, in grey levels",
    ),
    Measure(
        "block_edges",
        "compressed",
        lambda columns, usual: columns["block_edges"],
        deviations=4.5,
        floor=0.03,
        visible=1.3,
        certain=4.0,
        reason="steps at the edges of JPEG's 8 x 8 blocks over those elsewhere",
    ),
    Measure(
        "overexposed_share",
        "overexposed",
        lambda columns, usual: columns["overexposed_share"],
        deviations=6.0,
        floor=0.015,
        visible=0.08,
        certain=0.9,
        long_tail=True,
        reason="share of white pixels",
    ),
    Measure(
        "clipped_share",
        "overexposed",
        lambda columns, usual: columns["clipped_share"],
        deviations=7.0,
        floor=0.1,
        visible=0.5,
        long_tail=True,
        reason="share of pixels of which a channel is at its end",
    ),
    Measure(
        "darkness",
        "underexposed",
        lambda columns, usual: np.log(256 / (columns["brightness_p95"] + 1)),
        deviations=4.0,
        floor=0.08,
        visible=float(np.log(256 / 105)),
        certain=float(np.log(256 / 16)),
        reason="how far the brightest twentieth is from white, as the logarithm of the ratio",
    ),
    Measure(
        "black_share",
        "odd_colour",
        lambda columns, usual: columns["black_share"],
        deviations=10.0,
        floor=0.0002,
        visible=0.002,
        of_colour=True,
        long_tail=True,
        reason="share of black pixels: ink, dust or a bubble's edge",
    ),
    Measure(
        "distant_hues",
        "odd_colour",
        lambda columns, usual: distant_hues(columns),
        deviations=5.0,
        floor=0.005,
        visible=0.15,
        long_tail=True,
        reason="share of pixels of a hue far from the picture's own: ink",
    ),
    Measure(
        "foreign_hues",
        "odd_colour",
        foreign_hues,
        deviations=5.0,
        floor=0.004,
        visible=0.05,
        long_tail=True,
        reason="share of pixels of a hue far from all that are common in the set: ink",
    ),
    Measure(
        "smooth_outlines",
        "foreign_object",
        lambda columns, usual: smooth_outlines(columns),
        deviations=4.0,
        floor=0.3,
        long_tail=True,
        among_alike=True,
        reason="coarse edges without grain: bubbles, dust, letters, or a much compressed picture",
    ),
    Measure(
        "hard_edges",
        "foreign_object",
        lambda columns, usual: hard_edges(columns),
        deviations=4.0,
        floor=0.15,
        long_tail=True,
        among_alike=True,
        reason="edges stronger than in pictures of like colour, brightness and contrast and grain",
    ),
    Measure(
        "dark_band",
        "dark_band",
        lambda columns, usual: columns["dark_band"],
        deviations=6.25,
        floor=3.0,
        visible=40.0,
        reason="a straight line across that is darker than the rest, in grey levels: fold or pen",
    ),
    Measure(
        "crossing_band",
        "dark_band",
        lambda columns, usual: crossing_band(columns),
        deviations=5.0,
        floor=3.0,
        visible=40.0,
        long_tail=True,
        reason="a band from edge to edge darker than both sides, in grey levels: pen or fold",
    ),
    Measure(
        "straight_step",
        "straight_edge",
        lambda columns, usual: np.log(columns["straight_step"]),
        deviations=6.0,
        floor=0.15,
        visible=float(np.log(12)),
        reason="a step along a whole row or column: seam, frame or collimator",
    ),
    Measure(
        "seam_share",
        "straight_edge",
        lambda columns, usual: columns["seam_share"],
        deviations=3.5,
        floor=0.03,
        visible=0.21,
        long_tail=True,
        reason="steps along one row or column above those beside it: a seam of stitched fields",
    ),
    Measure(
        "light_object_share",
        "foreign_object",
        lambda columns, usual: columns["light_object_share"],
        deviations=6.0,
        floor=0.001,
        visible=0.015,
        long_tail=True,
        reason="hard edges beside flat light areas: letters, markers or clips",
    ),
    Measure(
        "dark_speck_share",
        "foreign_object",
        lambda columns, usual: columns["dark_speck_share"],
        deviations=10.0,
        floor=0.0004,
        visible=0.005,
        long_tail=True,
        reason="small dark specks: dust or dots of ink",
    ),
    Measure(
        "bright_border",
        "odd_layout",
        lambda columns, usual: -columns["centre_minus_border"],
        deviations=5.5,
        floor=3.0,
        visible=10.0,
        reason="a border brighter than the centre, in grey levels, unlike the set's other images",
    ),
    Measure(
        "dark_border",
        "odd_layout",
        lambda columns, usual: columns["centre_minus_border"],
        deviations=5.5,
        floor=3.0,
        visible=50.0,
        reason="a border darker than the centre, in grey levels, unlike the set's other images",
    ),
)
