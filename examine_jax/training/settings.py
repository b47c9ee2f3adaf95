"""The settings of a training run."""

import dataclasses
from typing import Literal

import optax

from examine_jax.training.optimiser import AdamW, LearningRate, Optimiser, Schedule, WarmupCosine


@dataclasses.dataclass(frozen=True)
class Phase:
    """Training on one set of images, for a number of steps or of epochs of that set."""

    steps: int | None = None
    epochs: int | float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("Phase: give either steps or epochs")
        if (self.steps if self.steps is not None else self.epochs) <= 0:  # type: ignore[operator]
            raise ValueError(
                "Phase: steps and epochs must be positive, got "
                f"{self.steps if self.steps is not None else self.epochs}"
            )

    def count(self, steps_per_epoch: int) -> int:
        """The number of steps."""
        return (
            self.steps
            if self.steps is not None
            else max(1, round((self.epochs or 0) * steps_per_epoch))
        )


@dataclasses.dataclass(frozen=True)
class PretrainSettings:
    """How a method is trained.

    Attributes:
        phases: one or more phases, in order, each on its own images. EXAMINE's paper trains on
            clean images first and on the mixed set afterwards.
        batch_size: images a step; at most the number of images of every phase.
        optimiser: the optimiser.
        schedule: the learning rate by step.
        phase_schedule: "continued": one schedule over all phases; "restarted": each phase warms up
            and decays by itself.
        accumulate: the number of micro-batches of a batch. They are computed in turn and their
            gradients averaged, so that only batch_size / accumulate images need memory at a time.
            Losses that compare images, and batch norms, see one micro-batch at a time.
        seed: of the initial parameters, the order of the images, masks and augmentation.
    """

    phases: tuple[Phase, ...]
    batch_size: int = 256
    optimiser: Optimiser = dataclasses.field(default_factory=AdamW)
    schedule: Schedule = dataclasses.field(default_factory=WarmupCosine)
    phase_schedule: Literal["continued", "restarted"] = "continued"
    accumulate: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.phases:
            raise ValueError("PretrainSettings: phases is empty; give at least one Phase")
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise ValueError(
                f"PretrainSettings: a batch of {self.batch_size} cannot be cut into "
                f"{self.accumulate} equal micro-batches; "
                "choose accumulate among the divisors of batch_size"
            )
        if self.phase_schedule not in ("continued", "restarted"):
            raise ValueError(
                "PretrainSettings: phase_schedule must be 'continued' or 'restarted', got "
                f"{self.phase_schedule!r}"
            )

    def learning_rate(self, steps: tuple[int, ...]) -> LearningRate:
        """The learning rate of a run whose phases take `steps` steps each."""
        if self.phase_schedule == "continued":
            return self.schedule.build(self.batch_size, sum(steps))
        parts = [self.schedule.build(self.batch_size, count) for count in steps]
        boundaries = [sum(steps[: i + 1]) for i in range(len(steps) - 1)]
        return LearningRate(optax.join_schedules(parts, boundaries), parts[0].peak)
