"""How each architecture is trained when nobody says otherwise."""

from examine_jax.models.presets import architecture as named_architecture
from examine_jax.pretraining.method_presets import method_preset
from examine_jax.pretraining.presets.sources import EXAMINE, RECONSTRUCTION_SMALL
from examine_jax.training.settings import PretrainSettings

_OF_MAE = {"small": RECONSTRUCTION_SMALL, "examine_paper": EXAMINE, "vit_s8": EXAMINE, "vit_b8": EXAMINE}


def recipe(architecture: str, method: str = "mae") -> PretrainSettings:
    """The training settings that go with an architecture's name, for a method: its preset `small` but for MAE, which has one for each.

    Raises:
        ValueError: no such architecture or method (says which there are), or an architecture that the method cannot use.
    """
    if method != "mae":
        return method_preset(method, named_architecture(architecture))[1]
    if architecture not in _OF_MAE:
        raise ValueError(f"no architecture is named {architecture!r}; there are: {', '.join(_OF_MAE)}")
    return _OF_MAE[architecture]
