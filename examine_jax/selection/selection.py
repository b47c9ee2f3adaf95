"""Which K images to label."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from examine_jax.common.shapes import Array, Bool, Float, Int, Key, Num, Shaped
from examine_jax.selection.arguments import (
    groups_of,
    key_of,
    labelled_of,
    matrix_of,
    some_of,
    usable_of,
)
from examine_jax.selection.budget import number_of_images
from examine_jax.selection.distances import nearest_centres, nearest_earlier
from examine_jax.selection.order import farthest_first
from examine_jax.selection.points import bad_rows, first_equals, mask_of, points_of
from examine_jax.selection.pool import Pool, Strategy, most_of
from examine_jax.selection.strategies.k_means_medoids import KMeansMedoids


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """The images to label, and what each stands for.

    Distances are between the features as the strategy preprocesses them.

    Attributes:
        indices: [K] the images to label, in order: the first k are a good choice of k.
        covers: [K] how many usable images each represents, itself included.
        nearest_chosen: [K] the nearest image that was chosen earlier, or is labelled; -1 for the
            first if none is labelled.
        nearest_distance: [K] the distance to it; infinite where there is none.
        representative: [N] the nearest chosen or labelled image of each image; of equally near
            ones a labelled one, else the first chosen. A chosen or labelled image represents
            itself. -1 for images that are not usable.
        distance: [N] the distance to the representative; NaN for images that are not usable.
        num_usable: how many images are usable.
        strategy: that chose.
        facts: what the strategy says of its work, such as sample sizes; and `duplicates`, the
            number of usable images whose features equal those of an earlier image.
    """

    indices: Int[np.ndarray, " k"]
    covers: Int[np.ndarray, " k"]
    nearest_chosen: Int[np.ndarray, " k"]
    nearest_distance: Float[np.ndarray, " k"]
    representative: Int[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]
    num_usable: int
    strategy: Strategy
    facts: Mapping[str, float]


def select(
    features: Num[Array | np.ndarray, "..."],
    budget: int | float | str | np.integer,
    *,
    usable: Shaped[Array | np.ndarray, "..."] | Sequence[bool] | None = None,
    groups: Shaped[Array | np.ndarray, "..."] | Sequence[Any] | None = None,
    per_group: int | None = None,
    labelled: Shaped[Array | np.ndarray, "..."] | Sequence[int] | None = None,
    strategy: Strategy | None = None,
    key: Key[Array, ""] | int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Selection:
    """Chooses the images to label: together they represent all usable images.

    Images with equal features count as one image. A second one is chosen only if nothing else is
    left.

    The result is a function of the arguments. It does not depend on cores, threads or devices:
    distances are whole numbers on a fine grid (see `points_of`), and ties go by index.

    Memory beyond the features: two bytes an entry, and blocks of fixed size. Features may be a
    memory map.

    Args:
        features: [N, D] of an encoder. Preprocessing is the strategy's.
        budget: how many images to choose: a whole number, a share of the usable images as a float
            above 0 and up to 1 (1.0 is all of them), or text ("200", "2%").
        usable: [N] False for images that are not chosen and not represented. None: all are usable.
        groups: [N] the patient, slide or the like of each image, numbers or texts.
        per_group: the most images of one group that are chosen or labelled; needs `groups`. None:
            any number. Every image then needs a group: None and NaN are refused.
        labelled: images that are labelled already, by index or as a mask [N]. They are not chosen
            again, and represent what they are near to: the choice goes on where they stop.
        strategy: how to choose. None: `KMeansMedoids()`, the medoids of k-means clusters of the
            standardised features: the best one in our benchmark.
        key: of random choices: a JAX key, or a number. None: 0.
        on_progress: is called now and then with (images chosen, budget).

    Returns:
        The images in order, and what each represents.

    Raises:
        ValueError: the budget is zero, negative, above 100%, above the usable images that are not
            labelled, or above what the groups allow; no image is usable; features of usable images
            are NaN or infinite (which rows); an argument has another length than the features;
            labelled images are unknown; the strategy gives rows that it must not choose.
    """
    features = matrix_of(features)
    count = len(features)
    can = usable_of(usable, count)
    known = labelled_of(labelled, count)
    strategy = KMeansMedoids() if strategy is None else strategy
    if isinstance(strategy, type):
        raise ValueError(
            f"strategy {strategy.__name__} is a class: give a value of it, {strategy.__name__}()"
        )
    if not isinstance(strategy, Strategy):
        raise ValueError(
            f"strategy {strategy!r} is no strategy: it needs `preprocessing` and `choose`, as "
            "FacilityLocation() has"
        )
    wanted = number_of_images(budget, int(can.sum()))
    open_images = can.copy()
    open_images[known] = False
    if wanted > open_images.sum():
        raise ValueError(
            f"budget {wanted} is above the {int(open_images.sum())} images that are usable and not "
            "labelled: ask for fewer"
        )
    group, left = groups_of(groups, per_group, count, known)
    allowed = most_of(group[open_images], left)
    if wanted > allowed:
        raise ValueError(
            f"budget {wanted} is above the {allowed} images that are left with at most {per_group} "
            "a group: ask for fewer, or allow more a group"
        )
    rows = np.flatnonzero(can | mask_of(known, count))
    bad = bad_rows(features, rows)
    if len(bad):
        raise ValueError(
            f"features of rows {some_of(bad)} are not finite: leave these images out by `usable`, "
            "or look at how they were embedded"
        )
    points = points_of(features, rows, strategy.preprocessing)
    pool, distinct = _pool(points, rows, features, known, open_images, group, left)
    if on_progress is not None:
        pool = dataclasses.replace(pool, on_progress=on_progress)
    random_key = key_of(key)
    ask = min(wanted, pool.most())
    choice = strategy.choose(pool, ask, random_key)
    _check(choice.rows, pool, ask, strategy)
    picks = choice.rows
    if len(picks) < ask:
        picks = np.concatenate([picks, farthest_first(pool.after(picks), ask - len(picks))])
    chosen = rows[distinct[picks]]
    if len(chosen) < wanted:
        chosen = _with_duplicates(chosen, wanted, open_images, group, left)
    facts = {**choice.facts, "duplicates": float(len(rows) - len(pool))}
    return _represented(chosen, known, rows, points, can, strategy, facts)


def _pool(
    points: Any,
    rows: Int[np.ndarray, " pool"],
    features: np.ndarray,
    known: Int[np.ndarray, " labelled"],
    open_images: Bool[np.ndarray, " n"],
    group: Int[np.ndarray, " n"],
    left: Int[np.ndarray, " groups"],
) -> tuple[Pool, Int[np.ndarray, " distinct"]]:
    """The pool of different images, and where each is among the points.

    Of equal images, a labelled one stands for all, or else the first.
    """
    is_labelled = mask_of(known, len(features))[rows]
    first = first_equals(points)
    labelled_kind = np.zeros(len(rows), bool)
    np.logical_or.at(labelled_kind, first, is_labelled)
    distinct = np.flatnonzero(first == np.arange(len(rows)))
    # An unusable, labelled image may be the first of a kind: another is then the one to choose.
    can_choose = open_images[rows[distinct]] & ~labelled_kind[distinct]
    if len(distinct) < len(rows):
        points = points.take(distinct)
    own = rows[distinct]
    pool = Pool(
        points,
        np.flatnonzero(labelled_kind[distinct]),
        can_choose,
        group[own],
        left,
        features,
        own,
    )
    return pool, distinct


def _with_duplicates(
    chosen: Int[np.ndarray, " some"],
    wanted: int,
    open_images: Bool[np.ndarray, " n"],
    group: Int[np.ndarray, " n"],
    left: Int[np.ndarray, " groups"],
) -> Int[np.ndarray, " wanted"]:
    """The choice filled up by images that equal a chosen or labelled one, by index."""
    still = left - np.bincount(group[chosen], minlength=len(left))
    rest: list[int] = []
    can = open_images & ~mask_of(chosen, len(open_images))
    for image in np.flatnonzero(can):
        if len(chosen) + len(rest) == wanted:
            break
        if still[group[image]] > 0:
            still[group[image]] -= 1
            rest.append(int(image))
    return np.concatenate([chosen, np.array(rest, np.int64)])


def _check(rows: Any, pool: Pool, budget: int, strategy: Strategy) -> None:
    """Refuses what a strategy of another package must not choose."""
    name = type(strategy).__name__
    if not isinstance(rows, np.ndarray) or rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ValueError(f"strategy {name} gives no vector of row numbers")
    outside = rows[(rows < 0) | (rows >= len(pool))]
    if len(outside) or not pool.open[rows].all():
        raise ValueError(f"strategy {name} chooses rows that are not open")
    if len(np.unique(rows)) < len(rows) or len(rows) > budget:
        raise ValueError(f"strategy {name} chooses a row twice, or more than {budget} rows")
    if (np.bincount(pool.groups[rows], minlength=len(pool.left)) > pool.left).any():
        raise ValueError(f"strategy {name} chooses more rows of a group than are left")


def _represented(
    chosen: Int[np.ndarray, " k"],
    known: Int[np.ndarray, " labelled"],
    rows: Int[np.ndarray, " pool"],
    points: Any,
    can: Bool[np.ndarray, " n"],
    strategy: Strategy,
    facts: Mapping[str, float],
) -> Selection:
    """What each chosen image represents."""
    count = len(can)
    place = np.full(count, -1, np.int64)
    place[rows] = np.arange(len(rows))
    representatives = np.concatenate([known, chosen])
    own = points.take(place[representatives])
    nearest, squares = nearest_centres(points, own)
    representative = np.full(count, -1, np.int64)
    representative[rows] = representatives[nearest]
    representative[representatives] = representatives
    distance = np.full(count, np.nan)
    distance[rows] = np.sqrt(squares.astype(np.float64)) * points.unit
    earlier = nearest_earlier(own, len(known))
    apart = points.rows[place[chosen]].astype(np.int64) - own.rows[earlier]
    near = np.sqrt(np.square(apart).sum(axis=1)) * points.unit
    represented = representative[can]
    position = np.full(count, -1, np.int64)
    position[chosen] = np.arange(len(chosen))
    covered = position[represented]
    return Selection(
        indices=chosen,
        covers=np.bincount(covered[covered >= 0], minlength=len(chosen)),
        nearest_chosen=np.where(earlier >= 0, representatives[earlier], -1),
        nearest_distance=np.where(earlier >= 0, near, np.inf),
        representative=representative,
        distance=distance,
        num_usable=int(can.sum()),
        strategy=strategy,
        facts=facts,
    )
