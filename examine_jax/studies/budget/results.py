"""What one way of choosing is worth, in one condition, with one encoder, for one seed."""

import dataclasses

from examine_jax.studies.budget.pools import Condition


@dataclasses.dataclass(frozen=True)
class BudgetResult:
    """Results of one way of choosing.

    Attributes:
        seed: of the split.
        condition: whether the pool has artefacts.
        encoder: its name.
        way: the way's name.
        budgets: numbers of labels.
        balanced_accuracy: on the held-out images, one a budget.
        wasted: labels spent on images that teach nothing, one a budget.
        seconds: of choosing, for all budgets.
    """

    seed: int
    condition: Condition
    encoder: str
    way: str
    budgets: tuple[int, ...]
    balanced_accuracy: tuple[float, ...]
    wasted: tuple[int, ...]
    seconds: float


@dataclasses.dataclass(frozen=True)
class UsabilityResult:
    """What usability finds in one pool.

    Attributes:
        seed, condition, encoder: as of `BudgetResult`.
        clean_flagged: the share of clean images that are found unusable.
        flagged: by kind of artefact, the share of its images that are found unusable.
    """

    seed: int
    condition: Condition
    encoder: str
    clean_flagged: float
    flagged: dict[str, float]
