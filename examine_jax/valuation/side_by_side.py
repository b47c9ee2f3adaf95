"""Several valuers of the same rows, side by side: what is slow is kept in a folder and resumed."""

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

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.atomic_files import write_text
from examine_jax.common.fingerprints import fingerprint
from examine_jax.common.processes import check_same, first_decides, is_alone, is_first
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Float, Int
from examine_jax.labelled.labelled_rows import (
    LabelledRows,
    as_text,
    check_groups,
    coded,
    codes_of,
    folds_of,
)
from examine_jax.valuation.registry import VALUERS, valuer_entry
from examine_jax.valuation.valuation import Progress, Valuation, Valuer, check_features
from examine_jax.valuation.valuers.entry import (
    LabelledProblem,
    Sizes,
    ValidationSet,
    ValuerEntry,
    ValuerOptions,
)

DAY = 86_400.0
_OPERATIONS_PER_SECOND = 2e10  # of two cores, from below


@dataclasses.dataclass(frozen=True)
class ValueSettings(ValuerOptions):
    """Which valuers (`registry.valuer_entry`), and the settings that they are made from."""

    valuers: tuple[str, ...] = setting(
        ("examine", "loo", "tmc_shapley", "random"),
        "Valuers; your own as package.module:attribute. `--valuers=help` describes them.",
        known=VALUERS,
        metavar="NAMES",
        main=True,
    )
    folds: int = setting(
        5,
        "Without a validation set, each fold is one in turn; a row's value is the mean.",
        minimum=2,
    )
    allow_shared_groups: bool = setting(
        False, "Value also where the validation set shares groups with the assessed set."
    )
    allow_long: bool = setting(False, "Value also where the work would take more than a day.")
    seed: int = setting(0, "Of all random numbers.", minimum=0, main=True)

    def __post_init__(self) -> None:
        if not self.valuers:
            raise ValueError("no valuers are named: give one at least")
        self.entries()
        if len(set(self.valuers)) < len(self.valuers):
            raise ValueError(f"valuers are named twice: {', '.join(self.valuers)}")
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2, got {self.folds!r}")

    def entries(self) -> dict[str, ValuerEntry]:
        """The named valuers, in order. Raises: ValueError, where one is unknown."""
        return {name: valuer_entry(name) for name in self.valuers}


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureValues:
    """Values of rows by several valuers; row i of every array is row i of the features.

    Attributes:
        valuations: by valuer, in the order asked for.
        seconds: of each valuer.
        classes: in the order in which models count them; empty where no labels were used.
        warnings: notes for the reader, a sentence each.
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
    """Values every row by every valuer.

    A call that was killed resumes when it is made again with the same workdir: results of valuers
    that need labels are kept there once done, their samples also before.

    Args:
        rows: what is valued.
        workdir: an existing folder; sampling states go to its folder `state`.
        settings: which valuers, and how.
        validation: the validation set of valuers that need one; None: stratified folds of the rows
            (by group where given).
        on_progress: called with (valuer, done, total).

    Raises:
        ValueError: missing labels (which rows), one class only, as many classes as rows; a
            validation set of another width or with groups or classes that do not fit; more rows
            than a valuer takes; work of more than a day; a state of another run; several processes
            have read other rows.
        OSError: a state cannot be written.
    """
    check_features(rows.features)
    if not is_alone():
        check_same("rows to value", [_digest(one) for one in (rows, validation) if one is not None])
    entries = settings.entries()
    of_images = [name for name, entry in entries.items() if entry.needs == "images"]
    if of_images and rows.pixels is None:
        raise ValueError(f"{', '.join(of_images)} need images, not features")
    _check_most_rows(rows, entries)
    warnings = _notes_on_features(rows)
    games: list[_Game] = []
    labels: Any = None
    classes: tuple[str, ...] = ()
    if any(entry.needs_labels for entry in entries.values()):
        labels, classes = coded(rows, validation)
        games, notes = _games(rows, labels, classes, validation, settings)
        warnings += notes
        for entry in entries.values():
            if entry.needs_labels:
                warnings += entry.check(LabelledProblem(labels, classes, rows.groups))
    _check_estimate(rows, games, len(classes), entries, settings)
    key = jax.random.key(settings.seed)
    found: dict[str, Valuation] = {}
    seconds: dict[str, float] = {}
    for order, (name, entry) in enumerate(entries.items()):
        progress = _progress_of(name, on_progress)
        if entry.needs_labels:
            keep = _Keep(pathlib.Path(workdir) / "state", name)
            if entry.needs == "validation":
                found[name], seconds[name] = _over_games(
                    entry, rows.features, games, settings, key, keep, progress
                )
            else:
                found[name], seconds[name] = keep.value(
                    entry.make(settings, None), rows.features, labels, key, progress
                )
        else:
            data: Any = rows.pixels if entry.needs == "images" else rows.features
            begin = time.perf_counter()
            valuer = entry.make(settings, None)
            found[name] = valuer.value(
                data, None, jax.random.fold_in(key, order), on_progress=progress
            )
            seconds[name] = time.perf_counter() - begin
    return FeatureValues(found, seconds, classes, tuple(warnings))


def _digest(rows: LabelledRows) -> str:
    """A digest of the features, labels and groups."""
    about = (None if one is None else one.astype(str) for one in (rows.labels, rows.groups))
    return digest_arrays([rows.features, *about])


@dataclasses.dataclass(frozen=True, eq=False)
class _Game:
    """Rows that are valued against one validation set.

    Attributes:
        members: [n] their indices among all rows.
        labels: [N] of all rows.
        validation: the set.
    """

    members: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " all"]
    validation: ValidationSet


def _games(
    rows: LabelledRows,
    labels: Int[np.ndarray, " n"],
    classes: tuple[str, ...],
    validation: LabelledRows | None,
    settings: ValueSettings,
) -> tuple[list[_Game], list[str]]:
    """One game against the validation set, or one a fold; and notes for the reader."""
    everyone = np.arange(len(labels))
    if validation is not None:
        notes = check_groups(rows, validation, settings.allow_shared_groups)
        against = ValidationSet(validation.features, codes_of(validation, classes))
        return [_Game(everyone, labels, against)], notes
    groups = None if rows.groups is None else as_text(rows.groups, rows.names, "groups")
    held = folds_of(labels, groups, settings.folds, settings.seed)
    notes = []
    if len(held) < settings.folds:
        notes.append(
            f"{len(held)} folds in place of {settings.folds}: the rarest class has no more rows or "
            "groups."
        )
    games = [
        _Game(
            np.setdiff1d(everyone, part), labels, ValidationSet(rows.features[part], labels[part])
        )
        for part in held
    ]
    return games, notes


def _over_games(
    entry: ValuerEntry,
    features: Float[np.ndarray, "n d"],
    games: Sequence[_Game],
    settings: ValueSettings,
    key: Any,
    keep: "_Keep",
    progress: Progress,
) -> tuple[Valuation, float]:
    """A row's mean value over the games that it takes part in, and the seconds of all games."""
    total, square, count = np.zeros(len(features)), np.zeros(len(features)), np.zeros(len(features))
    diagnostics: dict[str, float] = {}
    sampled, seconds = False, 0.0
    for fold, game in enumerate(games):
        members = game.members

        def progress_of_fold(done: int, total: int, fold: int = fold) -> None:
            progress(fold * total + done, len(games) * total)

        one, spent = (keep if len(games) == 1 else keep.of_fold(fold)).value(
            entry.make(settings, game.validation),
            features[members],
            game.labels[members],
            jax.random.fold_in(key, fold),
            progress_of_fold,
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
    return Valuation(
        total / count, np.sqrt(square) / count if sampled else None, diagnostics
    ), seconds


@dataclasses.dataclass(frozen=True)
class _Keep:
    """Files of one valuer's samples and results: `NAME.npz` and `NAME-values.json` in a folder."""

    folder: pathlib.Path
    name: str

    def of_fold(self, fold: int) -> "_Keep":
        return _Keep(self.folder, f"{self.name}-fold{fold}")

    def value(
        self, valuer: Valuer, features: Any, labels: Any, key: Any, progress: Progress
    ) -> tuple[Valuation, float]:
        """The valuation and its seconds; read if the same run has kept them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = self.name.replace(
            ":", "."
        )  # a valuer of another package; Windows has no colons in names
        mark, file = fingerprint(valuer, features, labels, key), self.folder / f"{stem}-values.json"
        try:
            kept = first_decides(lambda: _read_record(file))
            if kept["fingerprint"] == mark:
                error = kept["standard_error"]
                valuation = Valuation(
                    np.array(kept["values"]),
                    None if error is None else np.array(error),
                    kept["diagnostics"],
                )
                return valuation, kept["seconds"]
        except (ValueError, KeyError, TypeError):
            pass  # absent or incomplete: only time is lost
        begin = time.perf_counter()
        found = valuer.value(
            features, labels, key, on_progress=progress, state=self.folder / f"{stem}.npz"
        )
        seconds = time.perf_counter() - begin
        record = {
            "fingerprint": mark,
            "values": found.values.tolist(),
            "standard_error": None
            if found.standard_error is None
            else found.standard_error.tolist(),
            "diagnostics": found.diagnostics,
            "seconds": seconds,
        }
        if is_first():
            write_text(file, json.dumps(record) + "\n")
        return found, seconds


def _read_record(file: pathlib.Path) -> Any:
    """A kept result, or None."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _progress_of(name: str, on_progress: Callable[[str, int, int], None] | None) -> Progress:
    return lambda done, total: None if on_progress is None else on_progress(name, done, total)


def _notes_on_features(rows: LabelledRows) -> list[str]:
    constant = int((rows.features == rows.features[:1]).all(axis=0).sum())
    found = []
    if constant == rows.features.shape[1]:
        found.append(
            "Every feature is constant: all rows are alike, and values tell nothing apart."
        )
    elif constant:
        found.append(
            f"{constant} of {rows.features.shape[1]} features are constant: they tell no rows "
            "apart."
        )
    alike = len(rows.features) - len(np.unique(rows.features, axis=0))
    if alike:
        found.append(
            f"{alike} rows are copies of others: leaving one of them out changes little, whatever "
            "it is worth."
        )
    return found


def _check_most_rows(rows: LabelledRows, entries: dict[str, ValuerEntry]) -> None:
    limits = {
        name: entry.most_rows for name, entry in entries.items() if entry.most_rows is not None
    }
    limited = [name for name, most in limits.items() if len(rows.features) > most]
    if limited:
        most = min(limits[name] for name in limited)
        raise ValueError(
            f"{', '.join(limited)} hold all pairs of rows and take {most:,} rows at most, got "
            f"{len(rows.features):,}: "
            "leave them out, or take fewer rows"
        )


def _check_estimate(
    rows: LabelledRows,
    games: Sequence[_Game],
    classes: int,
    entries: dict[str, ValuerEntry],
    settings: ValueSettings,
) -> None:
    count, width = rows.features.shape
    seconds = {}
    for name, entry in entries.items():
        if entry.needs == "validation":
            problems = [
                Sizes(len(game.members), width, len(game.validation.labels), classes)
                for game in games
            ]
        else:
            problems = [Sizes(count, width, 0, classes)]
        seconds[name] = (
            sum(entry.operations(sizes, settings) for sizes in problems) / _OPERATIONS_PER_SECOND
        )
    total = sum(seconds.values())
    if total > DAY and not settings.allow_long:
        longest = max(seconds, key=lambda name: seconds[name])
        raise ValueError(
            f"this would take about {math.ceil(total / DAY)} days ({longest}: "
            f"{seconds[longest] / 3600:.0f} hours): "
            "take fewer rows, --permutations or --valuers, or pass --yes"
        )
