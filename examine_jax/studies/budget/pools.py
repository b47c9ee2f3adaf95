"""The pool from which images are chosen, clean and with artefacts; the held-out images; budgets."""

import dataclasses
from typing import Literal

import numpy as np

from examine_jax.common.shapes import Int, UInt8
from examine_jax.images.artefacts import SUITED, corrupt_with_artefacts
from examine_jax.labelled.sets import LabelledImages
from examine_jax.labelled.splits import check_split, stratified_split
from examine_jax.studies.budget.settings import BudgetSettings

Condition = Literal["clean", "artefacts"]


@dataclasses.dataclass(frozen=True, eq=False)
class BudgetSplit:
    """Row numbers of a seed's pool and of its held-out images."""

    pool: Int[np.ndarray, " p"]
    test: Int[np.ndarray, " t"]


def conditions(settings: BudgetSettings) -> tuple[Condition, ...]:
    """Returns the halves of the study."""
    return ("clean", "artefacts") if settings.artefact_share > 0 else ("clean",)


def divide(images: LabelledImages, settings: BudgetSettings, seed: int) -> BudgetSplit:
    """Splits the images for one seed: every class in both parts, groups whole.

    Raises:
        ValueError: a class has too few images or groups; a budget is above the pool.
    """
    classes = np.array(images.classes)[images.labels]
    shares = (1 - settings.test_share, settings.test_share)
    parts = stratified_split(classes, images.groups, shares=shares, seed=seed)
    check_split(parts, classes, images.groups)
    largest = budgets(len(parts[0]), len(images.classes), settings)[-1]
    if largest > len(parts[0]):
        raise ValueError(
            f"a budget of {largest} labels is above the pool's {len(parts[0])} images: give more "
            "images, or fewer labels a class"
        )
    return BudgetSplit(*parts)


def budgets(pool: int, num_classes: int, settings: BudgetSettings) -> tuple[int, ...]:
    """Returns the numbers of labels, one for each share; two shares may have the same number."""
    least = settings.least_per_class * num_classes
    return tuple(max(round(share * pool), least) for share in settings.budgets)


def spoilt(
    pixels: UInt8[np.ndarray, "p h w c"], settings: BudgetSettings, seed: int
) -> tuple[UInt8[np.ndarray, "p h w c"], Int[np.ndarray, " p"]]:
    """Returns the pool with artefacts, and the number of each image's kind, -1 for clean ones."""
    return corrupt_with_artefacts(
        pixels, SUITED[settings.artefacts], settings.artefact_share, settings.strength, seed
    )
