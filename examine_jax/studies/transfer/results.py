"""What one use of one encoder is worth, at one share of the labels, for one seed."""

import dataclasses

from examine_jax.evaluation.bootstrap import Interval

SELF, RANDOM, COLOURS = "self-supervised from scratch", "random initialisation", "colour statistics"
"""The encoders that are in every study."""
SOURCE = "source"
"""The encoder that the study trains on the source."""


def random_of(name: str) -> str:
    """Returns the name of the network of an encoder at its random initialisation."""
    return f"{RANDOM} of {name}"


@dataclasses.dataclass(frozen=True)
class TransferResult:
    """Results of one use of an encoder.

    Attributes:
        seed: of the split.
        encoder: its name; of one that was never trained, `RANDOM` or `random_of`.
        use: one of `USES`.
        share: of the pool that has labels.
        labels: how many these are.
        balanced_accuracy, auroc: of the held-out images, with the interval over these; None if the
            training diverged. The AUROC is the mean over classes, one against the rest.
        diverged: why the training stopped; else None.
    """

    seed: int
    encoder: str
    use: str
    share: float
    labels: int
    balanced_accuracy: Interval | None
    auroc: Interval | None
    diverged: str | None = None


@dataclasses.dataclass(frozen=True)
class TrainingRecord:
    """One training without labels.

    Attributes:
        seed: of the training; None for the source's, which serves all seeds.
        encoder: whose it is.
        images, steps, seconds, cpu_seconds: of the training.
    """

    seed: int | None
    encoder: str
    images: int
    steps: int
    seconds: float
    cpu_seconds: float
