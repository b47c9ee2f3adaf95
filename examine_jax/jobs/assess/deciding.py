"""The decision of the main job: which images are usable, and which of these to label."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int, Shaped
from examine_jax.images import ImageSet
from examine_jax.jobs.assess.pilot import PilotLabels, check_judgeable, read_pilot
from examine_jax.jobs.assess.settings import DecisionSettings
from examine_jax.jobs.headers import names_in_table
from examine_jax.jobs.select import read_listed
from examine_jax.labelled.header_groups import groups_of_images
from examine_jax.labelled.tables import read_column
from examine_jax.quality import Findings, describe, find_by_kind
from examine_jax.selection import Random, Selection, select
from examine_jax.selection.arguments import groups_of
from examine_jax.selection.pool import most_of

_SUGGESTED = 16
# The tables and arrays that a run writes into its workdir.
WRITTEN = (
    "features.npy",
    "noise_levels.csv",
    "noise_separation.csv",
    "scores.csv",
    "skipped.csv",
    "to_label.csv",
    "to_label_pictures.csv",
)


class UnmetBudget(ValueError):
    """A budget above the usable images, although not above all of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """What the user's tables say of the images.

    Attributes:
        groups: [N], each image's patient, slide or the like, as text; None: not known.
        labelled: indices of the images that are labelled already.
        pilot: the labels of some of them, by which the choice is judged; None: there is no pilot.
        notes: what the user should know of the groups, one line each.
    """

    groups: Shaped[np.ndarray, " n"] | None
    labelled: Int[np.ndarray, " labelled"]
    pilot: PilotLabels | None = None
    notes: tuple[str, ...] = ()


def check_not_written(
    workdir: pathlib.Path,
    decision: DecisionSettings,
    features: str | os.PathLike[str] | None = None,
) -> None:
    """Refuses to read a file that the run replaces or removes.

    Raises:
        ValueError: such a file is given, as to_label.csv of the first round for the second one.
    """
    written = {os.path.realpath(workdir / name): name for name in WRITTEN}
    given = {
        "features": features,
        **{name: getattr(decision, name) for name in ("labelled", "groups", "pilot")},
    }
    for flag, path in given.items():
        if path is not None and os.path.realpath(path) in written:
            raise ValueError(
                f"--{flag}={os.fspath(path)} would be overwritten by this run's own "
                f"{written[os.path.realpath(path)]}: name another workdir, or copy the file first"
            )


def read_known(
    decision: DecisionSettings,
    count: int,
    names: Sequence[str] | None,
    *,
    seed: int = 0,
    stored_names: Sequence[str] | None = None,
    column: Callable[[str], Sequence[str] | None] = lambda _: None,
    group_names: Sequence[str] | None = None,
) -> Known:
    """Reads the tables of labelled images, of groups and of the pilot.

    If the table of labelled images has a column of labels, rows without a label are ignored.

    Args:
        decision: names the tables.
        count: the number of images.
        names: of the images; None: the tables have a column `index`.
        seed: of the pilot's folds.
        stored_names: of the images' files, where `names` hide what they hold. A table names images
            in either way.
        column: "patient", "study" or "series" -> it, of each image; None: it is not known.
        group_names: the images' names that tell groups; None: `names`.

    Raises:
        ValueError: an unknown image, an image without a group, no such column, or a pilot that
            cannot be judged.
        OSError: a file cannot be read.
    """
    groups, notes = None, tuple[str, ...]()

    def named(path: str | os.PathLike[str]) -> Sequence[str] | None:
        return names_in_table(path, decision.image_column, stored_names or names, names)

    if decision.group_by is not None:
        groups, notes = groups_of_images(decision.group_by, group_names or names, column)
    if decision.groups is not None:
        groups = read_column(
            decision.groups,
            count,
            decision.group_column,
            named(decision.groups),
            decision.image_column,
            column_flag="group_column",
        ).astype(str)
        missing = np.flatnonzero(groups == "")
        if len(missing):
            example = f"row {missing[0]}" if names is None else repr(names[missing[0]])
            raise ValueError(
                f"{os.fspath(decision.groups)} has no group for {len(missing)} of {count} images, "
                f"such as {example}: add them"
            )
    columns = {"image_column": decision.image_column, "label_column": decision.label_column}
    pilot = None
    if decision.pilot is not None:
        pilot = read_pilot(decision.pilot, count, named(decision.pilot), **columns)
        check_judgeable(decision.pilot, pilot, groups, seed)
    labelled = np.empty(0, np.int64) if pilot is None else pilot.indices
    if decision.labelled is not None:
        labelled = read_listed(decision.labelled, count, named(decision.labelled), **columns)
    return Known(groups, labelled, pilot, notes)


def check_budget(decision: DecisionSettings, count: int, known: Known) -> None:
    """Refuses a budget that cannot be met even if every image is usable.

    Raises:
        ValueError: as `select`.
    """
    if decision.budget is not None:
        select(
            np.arange(count, dtype=np.float32)[:, None],
            decision.budget,
            groups=known.groups,
            per_group=decision.per_group,
            labelled=known.labelled,
            strategy=Random(preprocessing="none"),
        )


def find_unusable(
    images: ImageSet,
    features: Float[np.ndarray, "n d"],
    reference: Float[np.ndarray, "m k"] | None,
    *,
    changed: bool,
    modalities: Sequence[str] = (),
    reference_modalities: Sequence[str] = (),
) -> Findings:
    """What is found in the images.

    Args:
        images: the assessed images.
        features: of the encoder.
        reference: descriptions of clean reference images, or None.
        changed: whether the pixels were changed after they were described.
        modalities: of the images. Each is judged among the images of its own.
        reference_modalities: of the reference images.
    """
    descriptions = images.descriptions
    if changed or descriptions is None:
        descriptions = np.stack([describe(pixels) for pixels in images.pixels])
    return find_by_kind(
        descriptions,
        modalities or ("",) * len(images),
        pixels=images.pixels,
        features=features,
        reference=reference,
        reference_kinds=reference_modalities or None,
    )


def choose(
    features: Float[np.ndarray, "n d"],
    decision: DecisionSettings,
    known: Known,
    findings: Findings | None,
    seed: int,
) -> Selection | None:
    """The images to label: as many as the budget, or a few as a suggestion.

    Of near copies, one may be chosen.

    Returns:
        The selection. None: there is no budget, and no image can be chosen.

    Raises:
        UnmetBudget: the budget is above the usable images.
        ValueError: as `select`.
    """
    usable = None if findings is None else findings.usable & (findings.duplicates_of < 0)
    if decision.budget is not None:
        try:
            return _selected(features, decision.budget, decision, known, usable, seed)
        except ValueError as error:
            out = 0 if usable is None else int((~usable).sum())
            if not out:
                raise
            raise UnmetBudget(
                f"{error} ({out} of {len(features)} images are no use or copies)"
            ) from error
    open_images = np.ones(len(features), bool) if usable is None else usable.copy()
    open_images[known.labelled] = False
    group, left = groups_of(known.groups, decision.per_group, len(features), known.labelled)
    most = min(_SUGGESTED, most_of(group[open_images], left))
    return _selected(features, str(most), decision, known, usable, seed) if most else None


def _selected(
    features: Float[np.ndarray, "n d"],
    budget: str,
    decision: DecisionSettings,
    known: Known,
    usable: Bool[np.ndarray, " n"] | None,
    seed: int,
) -> Selection:
    return select(
        features,
        budget,
        usable=usable,
        groups=known.groups,
        per_group=decision.per_group,
        labelled=known.labelled,
        strategy=decision.strategy,
        key=seed,
    )
