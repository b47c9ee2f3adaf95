"""Parts of a labelled set for training and testing: every class in every part, no group in two."""

from collections.abc import Sequence

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int, Shaped

_MISSING = ("None", "nan", "NaT", "<NA>")


def stratified_split(
    labels: Shaped[np.ndarray, "n *classes"],
    groups: Shaped[np.ndarray, " groups"] | None = None,
    *,
    shares: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int,
) -> tuple[Int[np.ndarray, " rows"], ...]:
    """Splits images into parts with these shares of every class, and keeps groups whole.

    The split is a pure function of the arguments.

    Groups are placed one by one, each into the part that most lacks its classes: large groups first
    (by powers of two), in an order from the seed. Without groups, each part's share of each class
    is exact up to one image. Equal shares give the folds of a cross-validation.

    Args:
        labels: one class per image [N], of any type; or several [N, classes], 0 and 1. Images
            without a class are split evenly too.
        groups: [N] patient, slide or the like, numbers or strings; None: every image is its own
            group.
        shares: of the parts, positive; they are divided by their sum.
        seed: of the order in which groups are placed.

    Returns:
        The row numbers of each part, ascending int64.

    Raises:
        ValueError: a class is in fewer groups than there are parts (which class, how many images);
            the number of groups differs from that of images; groups are missing, as in
            `group_codes`.
    """
    wanted = np.asarray(shares, float)
    if len(wanted) < 2 or not (wanted > 0).all():
        raise ValueError(f"shares must be at least two positive numbers, got {tuple(shares)}")
    wanted = wanted / wanted.sum()
    names, is_class = _classes(labels)
    if groups is None:
        groups = np.arange(len(labels))
    if groups.shape != (len(labels),):
        raise ValueError(f"groups {list(groups.shape)} for {len(labels)} images: give one each")
    group_names, group = group_codes(groups)
    num_groups = len(group_names)
    counts = np.zeros((num_groups, is_class.shape[1]))
    np.add.at(counts, group, is_class)
    for name, column in zip(names, counts.T):
        if np.count_nonzero(column) < len(wanted):
            raise ValueError(
                f"class {name} has {int(column.sum())} images in {np.count_nonzero(column)} "
                f"groups, and {len(wanted)} parts need "
                "at least one group each: leave the class out, merge it with another, or make "
                "fewer parts"
            )
    none = np.bincount(group, ~is_class.any(axis=1), minlength=num_groups)
    shared = np.column_stack([counts, none]) if none.any() else counts
    part = _place(shared, wanted, np.random.default_rng(seed))
    _give_each_part_each_class(counts, part, len(wanted))
    return tuple(np.flatnonzero(part[group] == p) for p in range(len(wanted)))


def check_split(
    parts: Sequence[np.ndarray],
    labels: Shaped[np.ndarray, "n *classes"],
    groups: Shaped[np.ndarray, " n"] | None = None,
) -> None:
    """Refuses a split, given by row numbers, whose parts share rows or groups, or lack a class.

    Arguments are as in `stratified_split`.

    Raises:
        ValueError: a part is empty or names a row that does not exist; a row or a group is in two
            parts; a part lacks a class.
    """
    part_of = np.full(len(labels), -1)
    for number, rows in enumerate(parts):
        if not len(rows):
            raise ValueError(f"part {number} of the split is empty")
        if rows.min() < 0 or rows.max() >= len(labels):
            wrong = rows.min() if rows.min() < 0 else rows.max()
            raise ValueError(
                f"part {number} of the split names row {wrong}, but there are {len(labels)} images"
            )
        if (part_of[rows] >= 0).any() or len(np.unique(rows)) < len(rows):
            again, times = np.unique(rows, return_counts=True)
            twice = again[(times > 1) | (part_of[again] >= 0)][0]
            raise ValueError(
                f"row {twice} is in the split twice (part {number}); each image belongs to one part"
            )
        part_of[rows] = number
    if groups is not None:
        used = part_of >= 0
        group_names, group = group_codes(groups[used])
        first, last = np.full(len(group_names), len(parts)), np.full(len(group_names), -1)
        np.minimum.at(first, group, part_of[used])
        np.maximum.at(last, group, part_of[used])
        straddling = np.flatnonzero(first != last)
        if len(straddling):
            worst = straddling[0]
            raise ValueError(
                f"group {group_names[worst]} lies in parts {first[worst]} and {last[worst]} of the "
                f"split ({len(straddling)} such groups): "
                "its images are alike, so keep each group in one part"
            )
    names, is_class = _classes(labels)
    for number, rows in enumerate(parts):
        absent = [
            str(name) for name, present in zip(names, is_class[rows].any(axis=0)) if not present
        ]
        if absent:
            raise ValueError(
                f"part {number} of the split has no image of class {', '.join(absent[:8])}: its "
                "figures would be undefined"
            )


def group_codes(
    groups: Shaped[np.ndarray, " n"],
) -> tuple[Shaped[np.ndarray, " groups"], Int[np.ndarray, " n"]]:
    """The groups in order, and the index of each image's group.

    Raises:
        ValueError: an image's group is missing (NaN, NaT, None).
    """
    missing = np.flatnonzero(_missing(groups))
    if len(missing):
        raise ValueError(
            f"images {missing[:8].tolist()} have no group ({len(missing)} in all): give each a "
            "group of its own, or leave it out"
        )
    try:
        return np.unique(groups, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"groups of several types cannot be put in order ({error}); give all as strings"
        ) from error


def _missing(groups: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    if groups.dtype.kind == "O":
        # Compared by name, because pandas' NA has no truth value.
        return np.array(
            [not isinstance(group, str) and str(group) in _MISSING for group in groups], bool
        )
    return groups != groups


def _classes(
    labels: Shaped[np.ndarray, "n *classes"],
) -> tuple[Sequence[object], Shaped[np.ndarray, "n classes"]]:
    """The classes' names, and whether each image has each class [N, classes]."""
    if labels.ndim == 1:
        names = np.unique(labels)
        return names.tolist(), labels[:, None] == names
    if labels.ndim != 2 or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"labels {list(labels.shape)}: give one class an image, or zeros and ones [images, "
            "classes]"
        )
    return range(labels.shape[1]), labels.astype(bool)


def _place(
    counts: Float[np.ndarray, "groups classes"],
    shares: Float[np.ndarray, " parts"],
    rng: np.random.Generator,
) -> Int[np.ndarray, " groups"]:
    """The part of each group. Classes come near their shares in the chi-squared distance."""
    goal = shares[:, None] * counts.sum(axis=0)  # [parts, classes]
    filled = np.zeros_like(goal)
    part = np.empty(len(counts), np.int64)
    order = rng.permutation(len(counts))
    # Small groups come last, to even out. Sizes count by powers of two only; otherwise every seed
    # would give the same split.
    weight = (
        np.log2(np.maximum(np.square(counts / goal.sum(axis=0)).sum(axis=1), np.finfo(float).tiny))
        // 2
    )
    order = order[np.argsort(-weight[order], kind="stable")]
    for g in order:
        # The change of the sum over classes of (filled - goal)^2 / goal, if the group goes to each
        # part.
        change = ((2 * (filled - goal) + counts[g]) * counts[g] / goal).sum(axis=1)
        part[g] = np.argmin(change)
        filled[part[g]] += counts[g]
    return part


def _give_each_part_each_class(
    counts: Float[np.ndarray, "groups classes"], part: np.ndarray, num_parts: int
) -> None:
    """Moves single groups, in place, until no part lacks a class; rare classes come first.

    Raises:
        ValueError: single moves do not suffice, because groups have several classes.
    """
    owners = np.zeros(
        (num_parts, counts.shape[1]), np.int64
    )  # the number of a part's groups that have the class
    np.add.at(owners, part, (counts > 0).astype(np.int64))
    for c in np.argsort(owners.sum(axis=0), kind="stable"):
        for p in np.flatnonzero(owners[:, c] == 0):
            held = (counts > 0).astype(np.int64)
            # A group may move if its part keeps another group of each of its classes.
            spare = (held[:, c] > 0) & (((owners[part] - held) > 0) | (held == 0)).all(axis=1)
            if not spare.any():
                raise ValueError(
                    f"class number {c} cannot be had in each of {num_parts} parts without tearing "
                    "groups apart: make fewer parts"
                )
            moved = np.flatnonzero(spare)[np.argmin(counts[spare].sum(axis=1))]
            owners[part[moved]] -= held[moved]
            owners[p] += held[moved]
            part[moved] = p
