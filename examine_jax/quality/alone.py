"""Which images have no usual image of their kind: relative thresholds say little of these."""

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from examine_jax.common.shapes import Bool, Float, Int
from examine_jax.quality.descriptors.colour import GREY
from examine_jax.quality.measures import Columns
from examine_jax.quality.populations import COLOURED, centre_and_deviation

# An image is alone if fewer other images than this are of its kind.
_FEWEST = 5
# Sides up to this factor apart are of one size.
_FACTOR = 1.5
# A tint or contrast is far if it is so many deviations away, and if one would see it.
_DEVIATIONS, _VISIBLE, _VISIBLE_CONTRAST = 6.0, 0.1, 0.5
# Of a kind that is so small a share of the usual images, these do not say what is usual.
_SMALL_SHARE = 0.15
_BY_TEXTURE = frozenset({"blank", "blurred", "noisy"})


@dataclasses.dataclass(frozen=True, eq=False)
class Alone:
    """In what respect images are alone.

    Attributes:
        grey: grey, while the usual images have colour.
        strange: of a size as fewer than 5 usual images are, or grey or in colour as under 15% are.
        unlike: of a tint, or of so low a coarse contrast, as fewer than 5 usual images are.
    """

    grey: Bool[np.ndarray, " n"]
    strange: Bool[np.ndarray, " n"]
    unlike: Bool[np.ndarray, " n"]

    def relative(self, finding: str) -> Bool[np.ndarray, " n"]:
        """Where a finding that is not certain makes no image unusable.

        Another size or no colour leaves nothing to compare with. Another tint or contrast comes
        with another texture, so with another sharpness; but ink and wrong exposure change them.
        """
        return self.strange | self.unlike if finding in _BY_TEXTURE else self.strange


def alone_of_its_kind(columns: Columns, usual: Int[np.ndarray, " m"]) -> Alone:
    """Looks at size, grey or colour, tint and coarse contrast, which blur and noise leave.

    Args:
        columns: of descriptions, N images.
        usual: the images that say what is usual.
    """
    count = len(columns["height"])
    own = np.zeros(count, np.int64)
    own[usual] = 1
    grey = columns["saturation_p95"] <= GREY
    num_grey = int(grey[usual].sum())
    # Noise gives a grey picture colours, but no tint: such a picture is like either kind.
    tinted = np.maximum(np.abs(columns["red_green"]), np.abs(columns["yellow_blue"])) > COLOURED
    num_other = len(usual) - num_grey
    like = np.where(grey, num_grey, np.where(tinted, num_other, max(num_grey, num_other))) - own
    sides = np.log(np.stack([columns["height"], columns["width"]], axis=1))
    least = max(float(_FEWEST), _SMALL_SHARE * len(usual))
    strange = (like < least) | (_num_within(sides, usual, np.log(_FACTOR)) - own < _FEWEST)
    tint = np.stack([columns["red_green"], columns["yellow_blue"]], axis=1)
    tint = tint / (columns["brightness"][:, None] + 8)
    far = np.zeros(count, bool)
    for column in tint.T:
        centre, deviation = centre_and_deviation(column[usual], 0.01)
        reach = max(_DEVIATIONS * deviation, _VISIBLE)
        other = np.abs(column - centre) > reach
        far |= other & (_num_within(column[:, None], usual, _VISIBLE / 2) - own < _FEWEST)
    contrast = np.log(columns["contrast_blurred"] + 2)
    centre, deviation = centre_and_deviation(contrast[usual], 0.1)
    faint = centre - contrast > max(_DEVIATIONS * deviation, _VISIBLE_CONTRAST)
    far |= faint & (_num_within(contrast[:, None], usual, _VISIBLE_CONTRAST / 2) - own < _FEWEST)
    few = len(usual) <= _FEWEST
    strange, far = strange & (not few), far & (not few)
    return Alone(grey & (num_grey < len(usual) / 2), strange, far)


def _num_within(
    place: Float[np.ndarray, "n p"], usual: Int[np.ndarray, " m"], reach: float
) -> Int[np.ndarray, " n"]:
    """How many usual images are so near in every coordinate, counted up to 5 or more."""
    # Equal places as one: a tree of many equal points is slow.
    different, counts = np.unique(place[usual], axis=0, return_counts=True)
    near, which = cKDTree(different).query(place, k=range(1, _FEWEST + 2), p=np.inf)
    # Where there are fewer, the index is one too high, and the distance infinite.
    return (np.append(counts, 0)[which] * (near <= reach)).sum(axis=1)
