"""Rows of features with labels and groups: checked, coded as numbers, and divided into folds."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.shapes import Float, Int, Shaped, UInt8
from examine_jax.labelled.splits import stratified_split
from examine_jax.labelled.tables import is_missing

_ATTEMPTS = 10  # at a split by groups, with other seeds


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows of features, and what is known about them.

    Attributes:
        features: [N, D].
        labels: [N], numbers or texts, or None.
        groups: [N], the patient or slide of each row, or None.
        names: of the rows' images, or None.
        pixels: of the rows' images, uint8 [N, H, W, C], or None.
    """

    features: Float[np.ndarray, "n d"]
    labels: Shaped[np.ndarray, " n"] | None = None
    groups: Shaped[np.ndarray, " n"] | None = None
    names: tuple[str, ...] | None = None
    pixels: UInt8[np.ndarray, "n h w c"] | None = None

    def __post_init__(self) -> None:
        for name in ("features", "labels", "groups"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, native(values))


def coded(
    rows: LabelledRows, validation: LabelledRows | None
) -> tuple[Int[np.ndarray, " n"], tuple[str, ...]]:
    """Labels as 0, 1, … and the classes' names in that order.

    Args:
        rows: the assessed set.
        validation: the validation set, or None.

    Raises:
        ValueError: labels are missing (which rows), one class only, as many classes as rows; a
            validation set of another width or with other classes; without a validation set, a class
            of one row.
    """
    if rows.labels is None:
        raise ValueError(
            "these valuers need labels: give --labels, or ask for label-free valuers alone"
        )
    texts = as_text(rows.labels, rows.names, "labels of the assessed set")
    classes = tuple(np.unique(texts).tolist())
    if len(classes) < 2:
        raise ValueError(
            f"all rows have the label {classes[0]!r}: values by a classifier need two classes or "
            "more"
        )
    if len(classes) >= len(rows.features):
        raise ValueError(
            f"there are {len(classes)} classes for {len(rows.features)} rows: is this the column "
            "of labels?"
        )
    codes = np.searchsorted(np.array(classes), texts).astype(np.int64)
    if validation is None:
        few = [classes[c] for c in np.flatnonzero(np.bincount(codes) < 2)]
        if few:
            raise ValueError(
                f"classes {', '.join(few[:8])} have one row each: without a validation set each "
                "class needs two or more"
            )
        return codes, classes
    if validation.features.shape[1] != rows.features.shape[1]:
        raise ValueError(
            f"the validation features have {validation.features.shape[1]} columns, the assessed "
            f"{rows.features.shape[1]}: use one encoder"
        )
    if validation.labels is None:
        raise ValueError("the validation set needs labels: give --validation_labels")
    theirs = np.unique(as_text(validation.labels, validation.names, "labels of the validation set"))
    for alone, where in (
        (np.setdiff1d(theirs, classes), "validation"),
        (np.setdiff1d(classes, theirs), "assessed"),
    ):
        if len(alone):
            raise ValueError(
                f"classes {', '.join(alone[:8].tolist())} are in the {where} set alone: both sets "
                "need rows of every class"
            )
    return codes, classes


def codes_of(rows: LabelledRows, classes: tuple[str, ...]) -> Int[np.ndarray, " n"]:
    """Labels as indices into `classes`, which contain them all."""
    return np.searchsorted(np.array(classes), as_text(rows.labels, rows.names, "labels")).astype(
        np.int64
    )


def as_text(labels: Any, names: Sequence[str] | None, what: str) -> Shaped[np.ndarray, " n"]:
    """Labels as text, whole numbers without a point, so that 3, 3.0 and "3.0" are one class.

    Raises:
        ValueError: labels are missing (empty, None, NaN, or the text "nan"); the message names the
            rows.
    """
    values = np.asarray(labels)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        texts = np.array([np.format_float_positional(value, trim="-") for value in values])
    else:
        missing = np.array(
            [value is None or value != value for value in values.tolist()]
        )  # NaN differs from itself
        texts = np.array([_WHOLE.sub(r"\1", str(value).strip()) for value in values.tolist()])
        missing |= np.array([is_missing(text) for text in texts.tolist()], bool)
    rows = np.flatnonzero(missing)
    if len(rows):
        shown = [names[row] if names is not None else f"row {row}" for row in rows[:8]]
        raise ValueError(
            f"{what} are missing for {', '.join(shown)} ({len(rows)} in all): give them, or leave "
            "these out"
        )
    return texts


_WHOLE = re.compile(r"^(-?\d+)\.0+$")


def check_groups(
    rows: LabelledRows, validation: LabelledRows, allow_shared_groups: bool
) -> list[str]:
    """Notes on the groups for the reader, a sentence each.

    Raises:
        ValueError: both sets have rows of one group, and that is not allowed.
    """
    if rows.groups is None and validation.groups is None:
        return []
    if rows.groups is None or validation.groups is None:
        known = "validation" if rows.groups is None else "assessed"
        return [
            f"Groups are known of the {known} set alone: if the other set has rows of the same "
            "patients or slides, values reward copies."
        ]
    ours, theirs = (as_text(part.groups, part.names, "groups") for part in (rows, validation))
    shared = np.intersect1d(ours, theirs)
    if not len(shared):
        return []
    if not allow_shared_groups:
        raise ValueError(
            f"groups {', '.join(shared[:8].tolist())} ({len(shared)} in all) are in the assessed "
            "and the validation set: values would "
            "reward copies; split by group, or pass --force"
        )
    return [
        f"{len(shared)} groups are in the assessed and the validation set: values reward copies."
    ]


def folds_of(
    labels: Int[np.ndarray, " n"], groups: Shaped[np.ndarray, " n"] | None, wanted: int, seed: int
) -> list[Int[np.ndarray, " k"]]:
    """Row numbers of each fold; every class is in each fold and in its complement.

    A class with fewer rows, or rows of fewer groups, reduces the number of folds.

    Raises:
        ValueError: there is one group only, or no two folds by group hold every class.
    """
    from sklearn.model_selection import StratifiedKFold

    folds = min(wanted, int(np.bincount(labels).min()))
    if groups is not None:
        if len(np.unique(groups)) < 2:
            raise ValueError(
                "all rows are of one group: no validation set can be held out; give "
                "--validation_features"
            )
        return _folds_by_group(labels, groups, folds, seed)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return [part for _, part in splitter.split(labels, labels)]


def _folds_by_group(
    labels: Int[np.ndarray, " n"], groups: Shaped[np.ndarray, " n"], wanted: int, seed: int
) -> list[Int[np.ndarray, " k"]]:
    """As many folds as the groups allow.

    scikit-learn's splitter comes first. It may miss a class where another split has them all.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    classes = np.unique(labels)
    most = min(len(np.unique(groups[labels == label])) for label in classes)
    for folds in range(min(wanted, most), 1, -1):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        held = [part for _, part in splitter.split(labels, labels, groups)]
        if all(len(np.unique(labels[part])) == len(classes) for part in held):
            return held
        for attempt in range(_ATTEMPTS):
            try:
                return list(
                    stratified_split(labels, groups, shares=(1.0,) * folds, seed=seed + attempt)
                )
            except ValueError:
                continue
    raise ValueError(
        "two folds by group leave one without every class: give --validation_features, leave the "
        "rarest class out, or merge it with another"
    )
