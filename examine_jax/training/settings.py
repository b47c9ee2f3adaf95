"""The settings of a training run."""

import dataclasses
from typing import Literal

import optax

from examine_jax.training.layer_decay import with_layer_decay
from examine_jax.training.optimiser import AdamW, LearningRate, Optimiser, Schedule, WarmupCosine


@dataclasses.dataclass(frozen=True)
class Phase:
    """Training on one set of images, for a number of steps or a number of epochs of that set."""

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
        """The number of steps of the phase."""
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
            clean images first, and then on clean and noisy images.
        batch_size: images per step; at most the number of images in the smallest phase.
        optimiser: the optimiser.
        schedule: the learning rate as a function of the step.
        phase_schedule: "continued": one schedule over all phases; "restarted": each phase warms up
            and decays by itself.
        accumulate: the number of micro-batches per batch. They are computed one after another, and
            their gradients are averaged. So only batch_size / accumulate images need memory at a
            time. Losses that compare images, and batch norms, use one micro-batch at a time.
        seed: determines the initial parameters, the order of the images, masks and augmentation.
        layer_decay: each layer of the encoder has this factor times the learning rate of the layer
            after it; heads have the whole rate. None: all have one rate.
    """

    phases: tuple[Phase, ...]
    batch_size: int = 256
    optimiser: Optimiser = dataclasses.field(default_factory=AdamW)
    schedule: Schedule = dataclasses.field(default_factory=WarmupCosine)
    phase_schedule: Literal["continued", "restarted"] = "continued"
    accumulate: int = 1
    seed: int = 0
    layer_decay: float | None = None

    def __post_init__(self) -> None:
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ValueError(
                "PretrainSettings: layer_decay must be above 0 and at most 1, got "
                f"{self.layer_decay}"
            )
        if not self.phases:
            raise ValueError("PretrainSettings: phases is empty; give at least one Phase")
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise ValueError(
                f"PretrainSettings: a batch of {self.batch_size} cannot be divided into "
                f"{self.accumulate} equal micro-batches; accumulate must divide batch_size"
            )
        if self.phase_schedule not in ("continued", "restarted"):
            raise ValueError(
                "PretrainSettings: phase_schedule must be 'continued' or 'restarted', got "
                f"{self.phase_schedule!r}"
            )

    def optimiser_of(self, learning_rate: LearningRate) -> optax.GradientTransformation:
        """The optimiser at this learning rate, with each layer's own share of it."""
        return with_layer_decay(self.optimiser.build(learning_rate), self.layer_decay)

    def learning_rate(self, steps: tuple[int, ...]) -> LearningRate:
        """The learning rate of a run; `steps` holds the number of steps of each phase."""
        if self.phase_schedule == "continued":
            return self.schedule.build(self.batch_size, sum(steps))
        parts = [self.schedule.build(self.batch_size, count) for count in steps]
        boundaries = [sum(steps[: i + 1]) for i in range(len(steps) - 1)]
        return LearningRate(optax.join_schedules(parts, boundaries), parts[0].peak)
