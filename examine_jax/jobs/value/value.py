"""The valuation job: features and labels in, a table with a value a row and valuer out."""

import dataclasses
import json
import math
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax.common.atomic_files import write_text
from examine_jax.common.fingerprints import fingerprint
from examine_jax.common.shapes import Float, Int
from examine_jax.labelled.labelled_rows import LabelledRows, as_text, check_groups, coded, codes_of, folds_of
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
from examine_jax.valuation.valuers.coverage import MOST_ROWS

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
    """Value every row by every valuer. A killed call, made again with the same workdir, goes on where it was: what needs labels is kept
    when it is done, samples also before.

    Args:
        rows: what is valued.
        workdir: an existing folder; sampling states go to its folder `state`.
        settings: how.
        validation: V of the supervised valuers; None: stratified folds of the rows (by group where given).
        on_progress: told (valuer, done, of how many).

    Raises:
        ValueError: labels missing (of which rows), one class only, as many classes as rows; a validation set of another width or with
            groups or classes that do not fit; more rows than a valuer takes; work of more than a day; a state of another run.
        OSError: a state cannot be written.
    """
    check_features(rows.features)
    supervised = [name for name in settings.valuers if name in SUPERVISED]
    of_pixels = [name for name in settings.valuers if name in IMAGE_QUALITIES]
    if of_pixels and rows.pixels is None:
        raise ValueError(f"{', '.join(of_pixels)} need images, not features")
    _check_most_rows(rows, settings)
    warnings = _warnings(rows)
    games: list[_Game] = []
    labels: Any = None
    classes: tuple[str, ...] = ()
    if supervised:
        labels, classes = coded(rows, validation)
        games, told_of_sets = _games(rows, labels, classes, validation, settings)
        warnings += told_of_sets
        alone = [classes[code] for code in np.flatnonzero(np.bincount(labels) == 1)]
        if "data_oob" in supervised and alone:
            raise ValueError(
                f"classes {', '.join(alone[:8])} have one row each: data_oob cannot value it, as a model without it does not know the class"
            )
        if "data_oob" in supervised and rows.groups is not None:
            warnings.append(
                "data_oob draws its bags row by row: a model may know a row's patient or slide from its other rows, which flatters it."
            )
    _check_estimate(rows, games, len(classes), settings)
    key = jax.random.key(settings.seed)
    found: dict[str, Valuation] = {}
    seconds: dict[str, float] = {}
    for order, name in enumerate(settings.valuers):
        told = _told(name, on_progress)
        if name in IMAGE_QUALITIES:
            assert rows.pixels is not None
            begin = time.perf_counter()
            found[name] = Valuation(IMAGE_QUALITIES[name](rows.pixels))
            seconds[name] = time.perf_counter() - begin
        elif name in LABEL_FREE:
            begin = time.perf_counter()
            found[name] = LABEL_FREE[name]().value(
                rows.features, None, jax.random.fold_in(key, order), on_progress=told
            )
            seconds[name] = time.perf_counter() - begin
        elif name == "data_oob":
            valuer = DataOOB(settings.model, settings.bags)
            found[name], seconds[name] = _kept(valuer, rows.features, labels, key, _state(workdir, name), told)
        else:
            found[name], seconds[name] = _over_games(name, rows.features, games, settings, key, workdir, told)
    return FeatureValues(found, seconds, classes, tuple(warnings))


@dataclasses.dataclass(frozen=True, eq=False)
class _Game:
    """Rows and the set that says what they are worth: their numbers [n], all rows' labels [N], and V's features and labels."""

    members: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " all"]
    validation: Float[np.ndarray, "m d"]
    validation_labels: Int[np.ndarray, " m"]


def _games(
    rows: LabelledRows,
    labels: Int[np.ndarray, " n"],
    classes: tuple[str, ...],
    validation: LabelledRows | None,
    settings: ValueSettings,
) -> tuple[list[_Game], list[str]]:
    """One against the validation set, or one a fold; and what the reader should know of them."""
    everyone = np.arange(len(labels))
    if validation is not None:
        warnings = check_groups(rows, validation, settings.force)
        return [_Game(everyone, labels, validation.features, codes_of(validation, classes))], warnings
    groups = None if rows.groups is None else as_text(rows.groups, rows.names, "groups")
    held = folds_of(labels, groups, settings.folds, settings.seed)
    warnings = []
    if len(held) < settings.folds:
        warnings.append(f"{len(held)} folds in place of {settings.folds}: the rarest class has no more rows or groups.")
    games = [_Game(np.setdiff1d(everyone, part), labels, rows.features[part], labels[part]) for part in held]
    return games, warnings


def estimated_seconds(
    valuer: str, rows: int, width: int, validation: int, classes: int, settings: ValueSettings
) -> float:
    """A rough figure from above, for one game on two cores: tens of shared products a fit, and its scoring; none for what takes moments."""
    unknowns, columns = min(rows, width + 1), 1 if classes < 3 else classes
    # One curvature of all classes together (softmax), or one of each.
    factor = (unknowns * columns) ** 3 if settings.model.objective == "lbfgs" else columns * unknowns**3
    a_fit = columns * (400.0 * rows * unknowns + 2.0 * validation * unknowns) + factor / 8
    newton = 8 * (columns * rows * unknowns**2 + factor / 3)
    work = {
        "k_centre": 20.0 * rows**2 * width,
        "knn_distance": 4.0 * rows**2 * width,
        "typicality": 4.0 * rows**2 * width,
        "loo": rows * a_fit,
        "tmc_shapley": settings.permutations * rows * a_fit,
        "beta_shapley": settings.permutations * rows * a_fit,
        "banzhaf": settings.sets * (newton + 2.0 * validation * width * columns),
        "data_oob": settings.bags * (newton + 2.0 * rows * width * columns),
        "knn_shapley": float(validation) * rows * (2 * width + 200),
    }.get(valuer, 0.0)
    return work / 2e10


def _over_games(
    name: str, features: Any, games: Sequence[_Game], settings: ValueSettings, key: Any, workdir: Any, told: Progress
) -> tuple[Valuation, float]:
    """The mean over the games that a row takes part in, and the seconds that they took."""
    total, square, count = np.zeros(len(features)), np.zeros(len(features)), np.zeros(len(features))
    diagnostics: dict[str, float] = {}
    sampled, seconds = False, 0.0
    for fold, game in enumerate(games):
        members = game.members
        valuer = _supervised(name, game.validation, game.validation_labels, settings)

        def told_here(done: int, of: int, fold: int = fold) -> None:
            told(fold * of + done, len(games) * of)

        state = _state(workdir, name if len(games) == 1 else f"{name}-fold{fold}")
        one, spent = _kept(
            valuer, features[members], game.labels[members], jax.random.fold_in(key, fold), state, told_here
        )
        seconds += spent
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
    return Valuation(total / count, np.sqrt(square) / count if sampled else None, diagnostics), seconds


def _kept(
    valuer: Valuer, features: Any, labels: Any, key: Any, state: pathlib.Path, told: Progress
) -> tuple[Valuation, float]:
    """The valuation and its seconds, kept beside the sampling state once it is done; of another run it is done anew."""
    mark, file = fingerprint(valuer, features, labels, key), state.with_name(f"{state.stem}-values.json")
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
        if there["fingerprint"] == mark:
            error = there["standard_error"]
            valuation = Valuation(
                np.array(there["values"]), None if error is None else np.array(error), there["diagnostics"]
            )
            return valuation, there["seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or not whole: nothing is lost but time
    begin = time.perf_counter()
    found = valuer.value(features, labels, key, on_progress=told, state=state)
    seconds = time.perf_counter() - begin
    record = {
        "fingerprint": mark,
        "values": found.values.tolist(),
        "standard_error": None if found.standard_error is None else found.standard_error.tolist(),
        "diagnostics": found.diagnostics,
        "seconds": seconds,
    }
    write_text(file, json.dumps(record) + "\n")
    return found, seconds


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


def _check_most_rows(rows: LabelledRows, settings: ValueSettings) -> None:
    limited = [name for name in settings.valuers if name in _OF_ALL_PAIRS]
    if limited and len(rows.features) > MOST_ROWS:
        raise ValueError(
            f"{', '.join(limited)} hold all pairs of rows and take {MOST_ROWS:,} rows at most, got {len(rows.features):,}: "
            "leave them out, or take fewer rows"
        )


_OF_ALL_PAIRS = ("prob_cover", "facility_location")


def _check_estimate(rows: LabelledRows, games: Sequence[_Game], classes: int, settings: ValueSettings) -> None:
    count, width = rows.features.shape
    spans = {}
    for name in settings.valuers:
        by_fold = name in SUPERVISED and name != "data_oob"
        sizes = [(len(game.members), len(game.validation)) for game in games] if by_fold else [(count, 0)]
        spans[name] = sum(estimated_seconds(name, many, width, against, classes, settings) for many, against in sizes)
    total = sum(spans.values())
    if total > DAY and not settings.yes:
        longest = max(spans, key=lambda name: spans[name])
        raise ValueError(
            f"this would take about {math.ceil(total / DAY)} days ({longest}: {spans[longest] / 3600:.0f} hours): take fewer rows, "
            "--permutations or --valuers, or pass --yes"
        )
