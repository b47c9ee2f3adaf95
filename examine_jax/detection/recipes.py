"""How the detectors of `presets.py` are trained: optimiser, schedule, batch, repeated images."""

import dataclasses

from examine_jax.detection.repeat_factors import RepeatFactors
from examine_jax.training.optimiser import (
    SGD,
    AdamW,
    Optimiser,
    Schedule,
    WarmupCosine,
    WarmupMilestones,
)
from examine_jax.training.settings import Phase, PretrainSettings


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a detector is trained, for any number of steps.

    Attributes:
        epochs: passes over the training images, repetitions included, if no steps are given.
        batch_size: images a step.
        optimiser: the optimiser.
        learning_rate: the largest rate.
        warmup_steps: steps in which the rate rises; at most a fifth of all.
        milestones: shares of the steps after which the rate falls to a tenth; None: it falls as a
            cosine.
        repeat: how images with rare classes are repeated; None: no image is.
    """

    epochs: int
    batch_size: int
    optimiser: Optimiser
    learning_rate: float
    warmup_steps: int
    milestones: tuple[float, ...] | None
    repeat: RepeatFactors | None

    def schedule(self, batch_size: int, steps: int) -> Schedule:
        """The learning rate of a training of so many steps."""
        warmup = min(self.warmup_steps, steps // 5)
        if self.milestones is not None:
            return WarmupMilestones(self.learning_rate, warmup, self.milestones)
        # WarmupCosine's rate is that of a batch of 256.
        return WarmupCosine(self.learning_rate * 256 / batch_size, warmup / steps)

    def settings(
        self,
        images_per_epoch: int,
        *,
        steps: int | None = None,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> PretrainSettings:
        """The settings of a training.

        Args:
            images_per_epoch: training images, repetitions included.
            steps: of the training; None: `epochs`. The schedule is scaled to it.
            batch_size: None: the recipe's, or all images if there are fewer.
            seed: of the initial parameters, the order of the images, samples and augmentation.
        """
        batch_size = batch_size or min(self.batch_size, images_per_epoch)
        if steps is None:
            steps = Phase(epochs=self.epochs).count(max(1, images_per_epoch // batch_size))
        return PretrainSettings(
            (Phase(steps=steps),),
            batch_size=batch_size,
            optimiser=self.optimiser,
            schedule=self.schedule(batch_size, steps),
            seed=seed,
        )


SMALL = Recipe(
    epochs=20,
    batch_size=4,
    optimiser=AdamW(b2=0.999, weight_decay=1e-2, clip_norm=10.0),
    learning_rate=1e-3,
    warmup_steps=100,
    milestones=None,
    repeat=None,
)
"""Minutes on a CPU for some hundred images."""

PAPER = Recipe(
    epochs=15,
    batch_size=8,
    optimiser=SGD(momentum=0.9, weight_decay=1e-4, clip_norm=35.0),
    learning_rate=1e-3,
    warmup_steps=500,
    milestones=(8 / 15, 11 / 15),
    repeat=RepeatFactors(0.4),
)
"""The paper's fine-tuning with the rates of its code, a warm-up and clipped gradients.

Source: Bencevic et al., arXiv:2206.00344. The text gives the learning rate of a COCO checkpoint;
15 epochs, batch 8 and the milestones are those of the released code.
"""

RELEASED_CODE = dataclasses.replace(
    PAPER,
    optimiser=SGD(momentum=0.9, weight_decay=1e-4),
    warmup_steps=0,
    repeat=RepeatFactors(0.4, whole=True),
)
"""As the released code: no warm-up, no clipping, repeat factors rounded up."""

RECIPES: dict[str, Recipe] = {"small": SMALL, "paper": PAPER, "released_code": RELEASED_CODE}
"""By the name of the preset."""
