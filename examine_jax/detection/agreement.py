"""How far readers agree on boxes: by pair of readers and class."""

import dataclasses
import itertools

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.detection.metrics.matching import overlaps
from examine_jax.labelled.boxes import BoxSet

ALL_CLASSES = "all classes"


@dataclasses.dataclass(frozen=True)
class PairAgreement:
    """Agreement of two readers on one class, over the images that both looked at.

    Boxes are matched one to one in each image so that the sum of their IoU is largest; pairs at or
    below the limit are no match.

    Attributes:
        reader_a, reader_b: their names.
        class_name: the class, or "all classes", where boxes match within their class.
        images: the images that both looked at.
        boxes_a, boxes_b: the boxes of each on these.
        matched: the matched pairs.
        matched_iou, matched_iou_sd: their mean IoU and its standard deviation; NaN without a pair.
        matched_iou_low, matched_iou_high: the interval of the mean, by bootstrap of images.
        unmatched_share: of all boxes of both readers; NaN without a box.
        unmatched_low, unmatched_high: its interval.
        pairs, pairs_iou, pairs_iou_sd: all pairs of a box of each reader in an image, without
            matching. This is the first row of the paper's Table II.
        pairs_above, pairs_above_iou, pairs_above_iou_sd: those of these above the limit, as in the
            second row. Other rules give other numbers, so that the two rows do not compare.
    """

    reader_a: str
    reader_b: str
    class_name: str
    images: int
    boxes_a: int
    boxes_b: int
    matched: int
    matched_iou: float
    matched_iou_sd: float
    matched_iou_low: float
    matched_iou_high: float
    unmatched_share: float
    unmatched_low: float
    unmatched_high: float
    pairs: int
    pairs_iou: float
    pairs_iou_sd: float
    pairs_above: int
    pairs_above_iou: float
    pairs_above_iou_sd: float


AGREEMENT_HEADER = tuple(field.name for field in dataclasses.fields(PairAgreement))


def reader_agreement(
    boxes: BoxSet, *, iou: float = 0.2, num_draws: int = 1000, seed: int = 0
) -> tuple[PairAgreement, ...]:
    """Agreement for every pair of readers who share images: over all classes, then by class.

    Args:
        boxes: of several readers. Where it is not known who looked at what, a reader looked at the
            images on which he or she drew.
        iou: a pair of boxes matches if its IoU is above this.
        num_draws: of the bootstrap of images.
        seed: determines the draws.

    Raises:
        ValueError: the readers are not known, or there is only one.
    """
    if boxes.reader is None or len(boxes.readers) < 2:
        raise ValueError(
            "agreement needs the boxes of two readers or more: is there a column rad_id or reader?"
        )
    looked = np.zeros((len(boxes.readers), len(boxes.images)), bool)
    looked[boxes.reader, boxes.image] = True
    if boxes.readings is not None:
        looked[boxes.readings[:, 1], boxes.readings[:, 0]] = True
    cells = _rows_by_cell(boxes)
    found: list[PairAgreement] = []
    for number, (a, b) in enumerate(itertools.combinations(range(len(boxes.readers)), 2)):
        images = np.flatnonzero(looked[a] & looked[b])
        if len(images):
            rng = np.random.default_rng([seed, number])
            found += _pair(boxes, cells, a, b, images, iou, num_draws, rng)
    return tuple(found)


Cells = dict[tuple[int, int, int], Int[np.ndarray, " rows"]]


def _rows_by_cell(boxes: BoxSet) -> Cells:
    """{(image, class, reader): the rows of its boxes}."""
    assert boxes.reader is not None
    cells: dict[tuple[int, int, int], list[int]] = {}
    for row, cell in enumerate(
        zip(boxes.image.tolist(), boxes.label.tolist(), boxes.reader.tolist())
    ):
        cells.setdefault(cell, []).append(row)
    return {cell: np.array(rows) for cell, rows in cells.items()}


def _pair(
    boxes: BoxSet,
    cells: Cells,
    a: int,
    b: int,
    images: Int[np.ndarray, " images"],
    limit: float,
    num_draws: int,
    rng: np.random.Generator,
) -> list[PairAgreement]:
    """The rows of one pair of readers."""
    from scipy.optimize import linear_sum_assignment

    classes = len(boxes.classes)
    # By image and class: boxes of a, boxes of b, matched pairs, the sum of their IoU.
    sums = np.zeros((len(images), classes, 4))
    matched: list[list[float]] = [[] for _ in range(classes)]
    pairs: list[list[float]] = [[] for _ in range(classes)]
    none = np.zeros(0, np.int64)
    for place, image in enumerate(images.tolist()):
        for label in range(classes):
            own = cells.get((image, label, a), none)
            other = cells.get((image, label, b), none)
            sums[place, label, :2] = len(own), len(other)
            if not len(own) or not len(other):
                continue
            overlap = overlaps(boxes.corners[own], boxes.corners[other])
            pairs[label] += overlap.ravel().tolist()
            # Pairs that are no match count nothing, so that they displace no match.
            allowed = np.where(overlap > limit, overlap, 0.0)
            chosen = allowed[linear_sum_assignment(allowed, maximize=True)]
            chosen = chosen[chosen > 0]
            matched[label] += chosen.tolist()
            sums[place, label, 2:] = len(chosen), chosen.sum()
    rows = []
    for label in (None, *range(classes)):
        own_sums = sums.sum(axis=1) if label is None else sums[:, label]
        if label is not None and not own_sums[:, :2].any():
            continue
        name = ALL_CLASSES if label is None else boxes.classes[label]
        parts = slice(None) if label is None else slice(label, label + 1)
        values = list(itertools.chain(*matched[parts]))
        all_pairs = np.array(list(itertools.chain(*pairs[parts])))
        above = all_pairs[all_pairs > limit]
        boxes_a, boxes_b, count, _ = own_sums.sum(axis=0)
        iou_interval, share_interval = _intervals(own_sums, num_draws, rng)
        rows.append(
            PairAgreement(
                boxes.readers[a],
                boxes.readers[b],
                name,
                len(images),
                int(boxes_a),
                int(boxes_b),
                len(values),
                *_mean_and_sd(np.array(values)),
                *iou_interval,
                1 - 2 * float(count) / float(boxes_a + boxes_b) if boxes_a + boxes_b else np.nan,
                *share_interval,
                len(all_pairs),
                *_mean_and_sd(all_pairs),
                len(above),
                *_mean_and_sd(above),
            )
        )
    return rows


def _mean_and_sd(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    if not len(values):
        return float("nan"), float("nan")
    return float(values.mean()), float(values.std())


def _intervals(
    sums: Float[np.ndarray, "images 4"], num_draws: int, rng: np.random.Generator
) -> tuple[tuple[float, float], tuple[float, float]]:
    """95% percentile intervals of the matched IoU and of the unmatched share."""
    some = sums[sums.any(axis=1)]
    if not len(some):
        return (float("nan"),) * 2, (float("nan"),) * 2
    # Images without a box change no sum, so that only their number counts.
    share = np.full(len(some) + 1, 1 / len(sums))
    share[-1] = max(0.0, 1 - len(some) / len(sums))
    weights = rng.multinomial(len(sums), share, size=num_draws)[:, :-1]
    boxes_a, boxes_b, count, overlap = (weights @ some).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return _ends(overlap / count), _ends(1 - 2 * count / (boxes_a + boxes_b))


def _ends(draws: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)
