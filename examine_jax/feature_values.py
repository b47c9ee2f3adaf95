"""The valuation job: features and labels in, a table with a value a row and valuer out."""

import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax._shapes import Float, Int, Shaped, UInt8
from examine_jax.valuation import (
    IMAGE_QUALITIES,
    Banzhaf,
    BetaShapley,
    DataOOB,
    Examine,
    FacilityLocation,
    KCentre,
    KNNDistance,
    KNNShapley,
    LeaveOneOut,
    Leverage,
    LogisticRegression,
    Mahalanobis,
    ProbCover,
    PrototypeDistance,
    Random,
    TMCShapley,
    Typicality,
    Utility,
    Valuation,
    Valuer,
)
from examine_jax.valuation.metrics import MetricName
from examine_jax.valuation.valuation import Progress, check_features

LABEL_FREE: dict[str, Callable[[], Valuer]] = {
    "examine": Examine,
    "random": Random,
    "leverage": Leverage,
    "knn_distance": KNNDistance,
    "mahalanobis": Mahalanobis,
    "typicality": Typicality,
    "prototype_distance": PrototypeDistance,
    "k_centre": KCentre,
    "prob_cover": ProbCover,
    "facility_location": FacilityLocation,
}
# These need labels, and all but the last a validation set.
SUPERVISED = ("loo", "tmc_shapley", "beta_shapley", "banzhaf", "knn_shapley", "data_oob")
DAY = 86_400.0


@dataclasses.dataclass(frozen=True)
class ValueSettings:
    """Which valuers, and what they depend on.

    Attributes:
        valuers: names out of LABEL_FREE, SUPERVISED and (for images) IMAGE_QUALITIES.
        model: fitted to sets of rows.
        metric: what a fitted model is worth.
        permutations: of tmc_shapley and beta_shapley, at most.
        truncate: cut permutations short and stop early, as DataShapley does.
        sets: of banzhaf; bags: of data_oob; neighbours: of knn_shapley.
        folds: where there is no validation set: each fold in turn is one for the rows of the others, and a row's value is the mean.
        force: go on where the validation set shares groups with the assessed one.
        yes: go on where the work is estimated to take more than a day.
        seed: of everything random.
    """

    valuers: tuple[str, ...] = ("examine", "loo", "tmc_shapley", "random")
    model: LogisticRegression = dataclasses.field(default_factory=LogisticRegression)
    metric: MetricName = "accuracy"
    permutations: int = 1000
    truncate: bool = True
    sets: int = 1000
    bags: int = 200
    neighbours: int = 5
    folds: int = 5
    force: bool = False
    yes: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        known = (*LABEL_FREE, *SUPERVISED, *IMAGE_QUALITIES)
        unknown = [name for name in self.valuers if name not in known]
        if unknown or not self.valuers:
            raise ValueError(f"valuers {', '.join(unknown) or '(none)'}: there are {', '.join(known)}")
        if len(set(self.valuers)) < len(self.valuers):
            raise ValueError(f"valuers are named twice: {', '.join(self.valuers)}")
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2, got {self.folds!r}")


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows of features with what is known of them.

    Attributes:
        features: [N, D].
        labels: [N], numbers or texts, or None.
        groups: [N], rows of one patient or slide, or None.
        names: of the images, or None.
        pixels: uint8 [N, H, W, C], or None.
    """

    features: Float[np.ndarray, "n d"]
    labels: Shaped[np.ndarray, " n"] | None = None
    groups: Shaped[np.ndarray, " n"] | None = None
    names: tuple[str, ...] | None = None
    pixels: UInt8[np.ndarray, "n h w c"] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureValues:
    """What was found; row i of every array is row i of the features.

    Attributes:
        valuations: by valuer, in the order asked for.
        seconds: of each valuer.
        classes: in the order in which models count them; empty where no labels were used.
        warnings: what the reader should know, a sentence each.
    """

    valuations: dict[str, Valuation]
    seconds: dict[str, float]
    classes: tuple[str, ...]
    warnings: tuple[str, ...]


def value_features(
    rows: LabelledRows,
    workdir: str | os.PathLike[str],
    settings: ValueSettings = ValueSettings(),
    *,
    validation: LabelledRows | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> FeatureValues:
    """Value every row by every valuer. A killed call, made again with the same workdir, goes on where it was.

    Args:
        rows: what is valued.
        workdir: an existing folder; sampling states go to its folder `state`.
        settings: how.
        validation: V of the supervised valuers; None: stratified folds of the rows (by group where given).
        on_progress: told (valuer, done, of how many).

    Raises:
        ValueError: labels missing (of which rows), one class only, as many classes as rows; a validation set of another width or with
            groups or classes that do not fit; work of more than a day; a state of another run.
        OSError: a state cannot be written.
    """
    check_features(rows.features)
    supervised = [name for name in settings.valuers if name in SUPERVISED]
    of_pixels = [name for name in settings.valuers if name in IMAGE_QUALITIES]
    if of_pixels and rows.pixels is None:
        raise ValueError(f"{', '.join(of_pixels)} need images, not features")
    warnings = _warnings(rows)
    games: list[tuple[Any, Any, Any, Any]] = []
    classes: tuple[str, ...] = ()
    if supervised:
        labels, classes = _encoded(rows, validation)
        if validation is not None:
            _check_groups(rows, validation, settings.force)
            there = _codes(validation, classes)
            games = [(np.arange(len(labels)), labels, validation.features, there)]
        else:
            games = [
                (np.setdiff1d(np.arange(len(labels)), held), labels, rows.features[held], labels[held])
                for held in _folds(
                    labels, None if rows.groups is None else _texts(rows.groups, rows.names, "groups"), settings
                )
            ]
        _check_estimate(rows, games, supervised, settings)
    key = jax.random.key(settings.seed)
    found: dict[str, Valuation] = {}
    seconds: dict[str, float] = {}
    for order, name in enumerate(settings.valuers):
        begin = time.perf_counter()
        told = _told(name, on_progress)
        if name in IMAGE_QUALITIES:
            assert rows.pixels is not None
            found[name] = Valuation(IMAGE_QUALITIES[name](rows.pixels))
        elif name in LABEL_FREE:
            found[name] = LABEL_FREE[name]().value(
                rows.features, None, jax.random.fold_in(key, order), on_progress=told
            )
        elif name == "data_oob":
            state = _state(workdir, name)
            found[name] = DataOOB(settings.model, settings.bags).value(
                rows.features, labels, key, on_progress=told, state=state
            )
        else:
            found[name] = _over_games(name, rows.features, games, settings, key, workdir, told)
        seconds[name] = time.perf_counter() - begin
    return FeatureValues(found, seconds, classes, tuple(warnings))


def estimated_seconds(valuer: str, rows: int, width: int, validation: int, settings: ValueSettings) -> float:
    """A rough figure from above, for one game on two cores: tens of shared products a fit, and its scoring."""
    unknowns = min(rows, width + 1)
    a_fit = 400.0 * rows * unknowns + unknowns**3 / 8 + 2.0 * validation * unknowns
    newton = 8 * (rows * unknowns**2 + unknowns**3 / 3)
    work = {
        "loo": rows * a_fit,
        "tmc_shapley": settings.permutations * rows * a_fit,
        "beta_shapley": settings.permutations * rows * a_fit,
        "banzhaf": settings.sets * (newton + 2.0 * validation * width),
        "data_oob": settings.bags * (newton + 2.0 * rows * width),
        "knn_shapley": float(validation) * rows * (2 * width + 200),
    }[valuer]
    return work / 2e10


def _over_games(
    name: str, features: Any, games: Any, settings: ValueSettings, key: Any, workdir: Any, told: Progress
) -> Valuation:
    """The mean over the games that a row takes part in."""
    total, square, count = np.zeros(len(features)), np.zeros(len(features)), np.zeros(len(features))
    diagnostics: dict[str, float] = {}
    sampled = False
    for fold, (members, labels, validation, validation_labels) in enumerate(games):
        valuer = _supervised(name, validation, validation_labels, settings)

        def told_here(done: int, of: int, fold: int = fold) -> None:
            told(fold * of + done, len(games) * of)

        state = _state(workdir, name if len(games) == 1 else f"{name}-fold{fold}")
        one = valuer.value(
            features[members], labels[members], jax.random.fold_in(key, fold), on_progress=told_here, state=state
        )
        total[members] += one.values
        count[members] += 1
        if one.standard_error is not None:
            sampled = True
            square[members] += one.standard_error**2
        for what, number in one.diagnostics.items():
            diagnostics[what] = diagnostics.get(what, 0.0) + number
    for what in ("full_worth", "empty_worth"):
        if what in diagnostics:
            diagnostics[what] /= len(games)
    return Valuation(total / count, np.sqrt(square) / count if sampled else None, diagnostics)


def _supervised(name: str, features: Any, labels: Any, settings: ValueSettings) -> Valuer:
    if name == "knn_shapley":
        return KNNShapley(features, labels, settings.neighbours)
    utility = Utility(features, labels, settings.model, settings.metric)
    if name == "loo":
        return LeaveOneOut(utility)
    if name == "banzhaf":
        return Banzhaf(utility, settings.sets)
    if name == "beta_shapley":
        valuer = BetaShapley(utility, permutations=settings.permutations)
        return valuer if settings.truncate else dataclasses.replace(valuer, stopping=None)
    shapley = TMCShapley(utility, permutations=settings.permutations)
    return shapley if settings.truncate else dataclasses.replace(shapley, truncation=None, stopping=None)


def _state(workdir: Any, name: str) -> pathlib.Path:
    folder = pathlib.Path(workdir) / "state"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.npz"


def _told(name: str, on_progress: Callable[[str, int, int], None] | None) -> Progress:
    return lambda done, of: None if on_progress is None else on_progress(name, done, of)


def _warnings(rows: LabelledRows) -> list[str]:
    constant = int((rows.features == rows.features[:1]).all(axis=0).sum())
    found = []
    if constant == rows.features.shape[1]:
        found.append("Every feature is constant: all rows are alike, and values tell nothing apart.")
    elif constant:
        found.append(f"{constant} of {rows.features.shape[1]} features are constant: they tell no rows apart.")
    alike = len(rows.features) - len(np.unique(rows.features, axis=0))
    if alike:
        found.append(
            f"{alike} rows are copies of others: leaving one of them out changes little, whatever it is worth."
        )
    return found


def _encoded(rows: LabelledRows, validation: LabelledRows | None) -> tuple[Any, tuple[str, ...]]:
    """Labels as 0, 1, … and the classes' names in that order."""
    if rows.labels is None:
        raise ValueError(f"{', '.join(SUPERVISED)} need labels: give --labels, or ask for label-free valuers alone")
    classes = tuple(np.unique(_texts(rows.labels, rows.names, "labels of the assessed set")).tolist())
    if len(classes) < 2:
        raise ValueError(f"all rows have the label {classes[0]!r}: values by a classifier need two classes or more")
    if len(classes) >= len(rows.features):
        raise ValueError(
            f"there are {len(classes)} classes for {len(rows.features)} rows: is this the column of labels?"
        )
    codes = _codes(rows, classes)
    if validation is None:
        few = [classes[c] for c in np.flatnonzero(np.bincount(codes) < 2)]
        if few:
            raise ValueError(
                f"classes {', '.join(few[:8])} have one row each: without a validation set each class needs two or more"
            )
    elif validation.features.shape[1] != rows.features.shape[1]:
        raise ValueError(
            f"the validation features have {validation.features.shape[1]} columns, the assessed {rows.features.shape[1]}: use one encoder"
        )
    return codes, classes


def _codes(rows: LabelledRows, classes: tuple[str, ...]) -> Int[np.ndarray, " n"]:
    if rows.labels is None:
        raise ValueError("the validation set needs labels: give --validation_labels")
    texts = _texts(rows.labels, rows.names, "labels")
    strange = np.setdiff1d(texts, classes)
    if len(strange):
        raise ValueError(f"classes {', '.join(strange[:8].tolist())} are in the validation set alone")
    return np.searchsorted(np.array(classes), texts).astype(np.int64)


def _texts(labels: Any, names: Sequence[str] | None, what: str) -> Any:
    """Labels as text (whole numbers without a point); missing ones are named."""
    values = np.asarray(labels)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        texts = np.array([f"{value:g}" for value in values])
    else:
        texts = np.char.strip(values.astype(np.str_))
        missing = texts == ""
    rows = np.flatnonzero(missing)
    if len(rows):
        shown = [names[row] if names is not None else f"row {row}" for row in rows[:8]]
        raise ValueError(
            f"{what} are missing for {', '.join(shown)} ({len(rows)} in all): give them, or leave these out"
        )
    return texts


def _check_groups(rows: LabelledRows, validation: LabelledRows, force: bool) -> None:
    if rows.groups is None or validation.groups is None:
        return
    ours, theirs = (_texts(part.groups, part.names, "groups") for part in (rows, validation))
    shared = np.intersect1d(ours, theirs)
    if len(shared) and not force:
        raise ValueError(
            f"groups {', '.join(shared[:8].tolist())} ({len(shared)} in all) are in the assessed and the validation set: values would "
            "reward copies; split by group, or pass --force"
        )


def _folds(labels: Any, groups: Any, settings: ValueSettings) -> list[Any]:
    """Row numbers of each fold, every class in each fold and in its complement."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    folds = min(settings.folds, int(np.bincount(labels).min()))
    if groups is not None:
        folds = min(folds, len(np.unique(groups)))
        if folds < 2:
            raise ValueError("all rows are of one group: no validation set can be held out; give --validation_features")
        splitter: Any = StratifiedGroupKFold(folds, shuffle=True, random_state=settings.seed)
    else:
        splitter = StratifiedKFold(folds, shuffle=True, random_state=settings.seed)
    held = [part for _, part in splitter.split(labels, labels, groups)]
    everyone = set(np.unique(labels).tolist())
    for part in held:
        if set(labels[part].tolist()) != everyone or set(np.delete(labels, part).tolist()) != everyone:
            raise ValueError(
                f"{folds} folds by group leave a fold without every class: use fewer --folds, or give --validation_features"
            )
    return held


def _check_estimate(rows: LabelledRows, games: Any, supervised: Sequence[str], settings: ValueSettings) -> None:
    width = rows.features.shape[1]
    spans = {
        name: sum(
            estimated_seconds(name, len(members), width, len(validation), settings)
            for members, _, validation, _ in games
        )
        for name in supervised
    }
    total = sum(spans.values())
    if total > DAY and not settings.yes:
        longest = max(spans, key=lambda name: spans[name])
        raise ValueError(
            f"this would take about {math.ceil(total / DAY)} days ({longest}: {spans[longest] / 3600:.0f} hours): take fewer rows, "
            "--permutations or --valuers, or pass --yes"
        )
