"""Default training settings of each architecture."""

import dataclasses

from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining.presets_shared import EXAMINE, RECONSTRUCTION_SMALL
from examine_jax.pretraining.registry import method_preset
from examine_jax.training.settings import PretrainSettings

_OF_MAE = {
    # For CPUs: a quarter of the batch stays in a core's cache, so that a step takes a sixth to a
    # fifth less time. The loss is a mean over images, so the gradient is the whole batch's.
    "small": dataclasses.replace(RECONSTRUCTION_SMALL, accumulate=4),
    "examine_paper": EXAMINE,
    "vit_s8": EXAMINE,
    "vit_b8": EXAMINE,
}


def recipe(architecture: str, method: str = "mae") -> PretrainSettings:
    """The default training settings: a method's preset `small`, for MAE those of the architecture.

    Raises:
        ValueError: no such architecture or method (says which there are), or an architecture that
            the method cannot use.
    """
    if method == "mae" and architecture in _OF_MAE:
        return _OF_MAE[architecture]
    return method_preset(method, named_architecture(architecture))[1]


def with_batch_size(training: PretrainSettings, batch_size: int) -> PretrainSettings:
    """The settings for batches of another size, which are then computed as a whole."""
    if batch_size == training.batch_size:
        return training
    return dataclasses.replace(training, batch_size=batch_size, accumulate=1)
