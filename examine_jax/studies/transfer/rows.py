"""The results as rows over seeds, and what they say of an encoder against another."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from examine_jax.studies.common.verdict import learned
from examine_jax.studies.transfer.results import COLOURS, RANDOM, SELF, TransferResult, random_of

METRICS = {"balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}
"""The figures of the tables, and their names on the page."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One use of an encoder at one share of the labels.

    Attributes:
        encoder, use, share: as of `TransferResult`.
        seeds: in order.
        labels: how many, one a seed.
        balanced_accuracy, auroc: one a seed.
        balanced_accuracy_ends, auroc_ends: (low, high) of the interval over the held-out images,
            one pair a seed.
    """

    encoder: str
    use: str
    share: float
    seeds: tuple[int, ...]
    labels: tuple[int, ...]
    balanced_accuracy: tuple[float, ...]
    auroc: tuple[float, ...]
    balanced_accuracy_ends: tuple[tuple[float, float], ...]
    auroc_ends: tuple[tuple[float, float], ...]

    @property
    def name(self) -> str:
        """The row's name on the page."""
        return in_words(self.encoder, self.use)

    def values(self, metric: str) -> tuple[float, ...]:
        """Returns a metric, one value a seed."""
        found: tuple[float, ...] = getattr(self, metric)
        return found

    def ends(self, metric: str) -> tuple[float, float]:
        """Returns the ends of a metric's interval, averaged over the seeds."""
        low, high = np.mean(getattr(self, f"{metric}_ends"), axis=0)
        return float(low), float(high)


def in_words(encoder: str, use: str) -> str:
    """Returns the name of a use of an encoder."""
    if encoder == COLOURS:
        return encoder
    if encoder == RANDOM and use == "fine_tuned":
        return "supervised from scratch"
    return f"{encoder} ({use_in_words(use)})"


def use_in_words(use: str) -> str:
    """Returns the words for a use, such as "adapted, fine-tuned"."""
    return use.replace("adapted_", "adapted, ").replace("fine_tuned", "fine-tuned")


def is_control(row: Row) -> bool:
    """Whether a row is of no trained encoder."""
    return row.encoder == COLOURS or (row.encoder.startswith(RANDOM) and row.use == "frozen")


def rows_of(results: Sequence[TransferResult]) -> tuple[Row, ...]:
    """Returns a row for each encoder, use and share, in the results' order."""
    ended = [one for one in results if one.diverged is None]
    made = []
    for key in dict.fromkeys((one.encoder, one.use, one.share) for one in ended):
        own = [one for one in ended if (one.encoder, one.use, one.share) == key]
        accuracy = [one.balanced_accuracy for one in own if one.balanced_accuracy is not None]
        auroc = [one.auroc for one in own if one.auroc is not None]
        made.append(
            Row(
                *key,
                tuple(one.seed for one in own),
                tuple(one.labels for one in own),
                tuple(one.value for one in accuracy),
                tuple(one.value for one in auroc),
                tuple((one.low, one.high) for one in accuracy),
                tuple((one.low, one.high) for one in auroc),
            )
        )
    return tuple(made)


def find(rows: Sequence[Row], encoder: str, use: str, share: float) -> Row | None:
    """Returns a row, or None if there is none."""
    for row in rows:
        if (row.encoder, row.use, row.share) == (encoder, use, share):
            return row
    return None


def gains(row: Row, other: Row, metric: str = "balanced_accuracy") -> list[float]:
    """Returns a row's metric less another's, seed by seed, for the seeds that both have."""
    seeds = [seed for seed in row.seeds if seed in other.seeds]
    return [
        row.values(metric)[row.seeds.index(seed)] - other.values(metric)[other.seeds.index(seed)]
        for seed in seeds
    ]


def gain_text(values: Sequence[float]) -> str:
    """Returns the mean difference and in how many seeds it is above 0: "+0.031 (2 of 3)"."""
    if not values:
        return ""
    return f"{np.mean(values):+.3f} ({sum(value > 0 for value in values)} of {len(values)})"


def comparison(values: Sequence[float]) -> str:
    """Returns differences and what they say: "+0.031 (2 of 3), no clear difference"."""
    return f"{gain_text(values)}, {compared(values)}" if values else ""


def compared(values: Sequence[float]) -> str:
    """Returns what differences say: "better" or "worse" by more than two standard errors."""
    if len(values) < 2:
        return "not judged: one seed"
    nothing = [0.0] * len(values)
    if learned(values, nothing):
        return "better"
    return "worse" if learned(nothing, values) else "no clear difference"


def verdict(row: Row, rows: Sequence[Row]) -> str:
    """Returns "learned", "not learned", or why there is no verdict.

    A row is judged by the balanced accuracy, seed by seed, against a probe on its own network at
    the random initialisation, with the same labels (`common.verdict.learned`).
    """
    if is_control(row):
        return "control"
    encoder = RANDOM if row.encoder in (RANDOM, SELF) else random_of(row.encoder)
    control = find(rows, encoder, "frozen", row.share) or find(rows, RANDOM, "frozen", row.share)
    if control is None:
        return "not judged: no random initialisation"
    both = [seed for seed in row.seeds if seed in control.seeds]
    judged = learned(
        [row.balanced_accuracy[row.seeds.index(seed)] for seed in both],
        [control.balanced_accuracy[control.seeds.index(seed)] for seed in both],
    )
    if judged is None:
        return "not judged: one seed"
    return "learned" if judged else "not learned"
