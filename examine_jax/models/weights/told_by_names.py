"""Networks that the names of their tensors tell, in a folder that says no network."""

from collections.abc import Mapping
from typing import Any, Protocol

from examine_jax.models.weights.facebook_dinov2 import FacebookDINOv2Family
from examine_jax.models.weights.facebook_dinov3 import FacebookDINOv3Family
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_beit import TimmBEiTFamily


class ToldByNames(Protocol):
    """A family whose files tell what they are."""

    def configuration_of(self, tensors: Tensors) -> dict[str, Any] | None:
        """What config.json would say; None: the file is of another family."""
        ...


# A new one is added here.
_FAMILIES: tuple[ToldByNames, ...] = (
    FacebookDINOv3Family(),
    FacebookDINOv2Family(),
    TimmBEiTFamily(),
)


def says_no_network(configuration: Mapping[str, Any]) -> bool:
    """Whether a configuration has none of the fields that families recognise theirs by."""
    return not any(configuration.get(name) for name in ("architecture", "model_type", "model_cfg"))


def configuration_of(tensors: Tensors) -> dict[str, Any] | None:
    """The configuration that tensors tell; None: they tell none."""
    found = (family.configuration_of(tensors) for family in _FAMILIES)
    return next((configuration for configuration in found if configuration is not None), None)
