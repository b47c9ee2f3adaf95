"""How each architecture is trained when nobody says otherwise."""

from examine_jax.models.presets import architecture as named_architecture
from examine_jax.pretraining.optimiser import WarmupCosine
from examine_jax.pretraining.settings import Phase, PretrainSettings

# `small` is for a CPU and a first look: few steps, so a larger learning rate than facebookresearch/mae's for 800 epochs.
_RECIPES = {
    "small": PretrainSettings((Phase(steps=500),), batch_size=64, schedule=WarmupCosine(learning_rate=4e-3)),
    # The EXAMINE paper, section 4.1: 200 epochs, batch 256; the learning rate is not given, facebookresearch/mae's is used.
    "examine_paper": PretrainSettings((Phase(epochs=200),), batch_size=256),
    "vit_s8": PretrainSettings((Phase(epochs=200),), batch_size=256),
    "vit_b8": PretrainSettings((Phase(epochs=200),), batch_size=256),
}


def recipe(architecture: str, method: str = "mae") -> PretrainSettings:
    """The training settings that go with an architecture's name, for a method: its preset `small` but for MAE, which has one for each.

    Raises:
        ValueError: no such architecture or method (says which there are), or an architecture that the method cannot use.
    """
    if method != "mae":
        from examine_jax.pretraining.method_presets import method_preset  # which itself uses the recipes of MAE

        return method_preset(method, named_architecture(architecture))[1]
    if architecture not in _RECIPES:
        raise ValueError(f"no architecture is named {architecture!r}; there are: {', '.join(_RECIPES)}")
    return _RECIPES[architecture]
