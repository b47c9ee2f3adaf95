"""How much of a set lies near its chosen images, against images drawn at random."""

import dataclasses

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int, Num
from examine_jax.features.preprocessing import Preprocessing, preprocess

_ROWS_AT_ONCE = 256
_MOST_COUNTS = 60
_ROUNDING = 1e-5  # relative: of distances that are equal but for rounding


@dataclasses.dataclass(frozen=True, eq=False)
class CoverageCurve:
    """The share of the usable images that lie within a distance of a chosen or labelled image.

    Attributes:
        counts: [C] ascending from 1: after so many chosen images.
        share: [C] of the usable images.
        random: [draws, C] the same for images drawn at random.
        radius: the distance: half of the images that are neither drawn nor labelled lie within it
            of one that is, in the median draw. 0: no image is left over, or half of them are copies
            of drawn ones.
    """

    counts: Int[np.ndarray, " c"]
    share: Float[np.ndarray, " c"]
    random: Float[np.ndarray, "draws c"]
    radius: float


def coverage_curve(
    features: Num[np.ndarray, "n d"],
    chosen: Int[np.ndarray, " k"],
    preprocessing: Preprocessing,
    *,
    usable: Bool[np.ndarray, " n"] | None = None,
    labelled: Int[np.ndarray, " labelled"] | None = None,
    draws: int = 5,
    rows: int = 2000,
    seed: int = 0,
) -> CoverageCurve:
    """The coverage of the first k chosen images, for each k.

    Args:
        features: [N, D].
        chosen: the chosen images in order.
        preprocessing: of the features before distances are taken, as in `selection.select`.
        usable: [N] the images that are to be covered, and from which the random ones are drawn.
        labelled: indices of images that are labelled already; they cover too.
        draws: the number of random orders.
        rows: at most so many usable images are looked at, evenly spread over the set.
        seed: of the random orders.

    Returns:
        The curve.

    Raises:
        ValueError: no image is chosen.
    """
    if not len(chosen):
        raise ValueError("coverage_curve needs at least one chosen image")
    labelled = np.empty(0, np.int64) if labelled is None else labelled
    can = np.ones(len(features), bool) if usable is None else usable
    pool = np.union1d(np.flatnonzero(can), np.union1d(labelled, chosen))
    place = np.full(len(features), -1)
    place[pool] = np.arange(len(pool))
    points = preprocess(np.asarray(features)[pool].astype(np.float64), preprocessing)
    points -= points.mean(axis=0)
    covered = np.flatnonzero(can)
    covered = covered[
        np.linspace(0, len(covered) - 1, min(rows, len(covered))).round().astype(np.int64)
    ]
    own = points[place[covered]]
    start = np.full(len(own), np.inf)
    if len(labelled):
        start = _nearest_so_far(own, points[place[labelled]])[:, -1]

    open_images = np.setdiff1d(np.flatnonzero(can), labelled)
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(open_images)[: len(chosen)] for _ in range(draws)]
    found = [
        np.minimum(_nearest_so_far(own, points[place[order]]), start[:, None])
        for order in (chosen, *orders)
    ]
    halves = []
    for order, one in zip(orders, found[1:], strict=True):
        others = ~np.isin(covered, np.union1d(order, labelled))
        if others.any():
            halves.append(np.median(one[others, -1]))
    radius = float(np.median(halves)) if halves else 0.0
    counts = np.unique(np.geomspace(1, len(chosen), _MOST_COUNTS).round().astype(np.int64))
    shares = np.stack(
        [(one[:, counts - 1] <= radius * (1 + _ROUNDING)).mean(axis=0) for one in found]
    )
    return CoverageCurve(counts, shares[0], shares[1:], radius)


def _nearest_so_far(
    points: Float[np.ndarray, "n d"], chosen: Float[np.ndarray, "k d"]
) -> Float[np.ndarray, "n k"]:
    """[i, k] the distance of point i to the nearest of the first k + 1 chosen ones.

    That of equal points is exactly 0, as it is not after rounding.
    """
    nearest = np.empty((len(points), len(chosen)), np.float32)
    first: dict[bytes, int] = {}
    for place, one in enumerate(chosen + 0.0):  # -0.0 becomes 0.0
        first.setdefault(one.tobytes(), place)
    lengths = np.square(chosen).sum(axis=1)
    for start in range(0, len(points), _ROWS_AT_ONCE):
        part = points[start : start + _ROWS_AT_ONCE]
        squares = np.square(part).sum(axis=1)[:, None] + lengths - 2 * part @ chosen.T
        nearest[start : start + len(part)] = np.sqrt(
            np.maximum(np.minimum.accumulate(squares, axis=1), 0)
        )
        for row, point in enumerate(part + 0.0, start):
            place = first.get(point.tobytes(), len(chosen))
            nearest[row, place:] = 0
    return nearest
