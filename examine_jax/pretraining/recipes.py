"""Default training settings of each architecture."""

import dataclasses
import math

from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining.presets_shared import EXAMINE
from examine_jax.pretraining.registry import method_preset
from examine_jax.training.optimiser import AdamW, WarmupCosine
from examine_jax.training.settings import PretrainSettings

_OF_MAE = {"examine_paper": EXAMINE, "vit_s8": EXAMINE, "vit_b8": EXAMINE}


def recipe_preset(architecture: str, method: str = "mae") -> str:
    """The method's preset that is trained by default: for CPUs, MAE's of the least work."""
    return "quick" if (architecture, method) == ("small", "mae") else "small"


def recipe(architecture: str, method: str = "mae") -> PretrainSettings:
    """The default training settings: those of `recipe_preset`, for MAE those of the architecture.

    Raises:
        ValueError: no such architecture or method (says which there are), or an architecture that
            the method cannot use.
    """
    if method == "mae" and architecture in _OF_MAE:
        return _OF_MAE[architecture]
    preset = recipe_preset(architecture, method)
    return method_preset(method, named_architecture(architecture), preset=preset)[1]


def with_batch_size(training: PretrainSettings, batch_size: int) -> PretrainSettings:
    """The settings for batches of another size, which are computed as a whole.

    With AdamW, the peak of `WarmupCosine` becomes larger or smaller as the square root of the batch
    size does.

    Source: Malladi et al., arXiv:2205.10287, for the square root.
    """
    if batch_size == training.batch_size:
        return training
    schedule = training.schedule
    if isinstance(training.optimiser, AdamW) and isinstance(schedule, WarmupCosine):
        # The schedule itself multiplies by batch_size / 256.
        rate = schedule.learning_rate * math.sqrt(training.batch_size / batch_size)
        schedule = dataclasses.replace(schedule, learning_rate=rate)
    return dataclasses.replace(training, batch_size=batch_size, accumulate=1, schedule=schedule)
