"""Another feature of a trained vision transformer than the one that its configuration pools."""

import dataclasses
from typing import cast

from examine_jax.models.vit import Pooling, ViTConfig


def with_pooling(config: ViTConfig, pooling: str) -> ViTConfig:
    """The configuration with another pooling.

    A projection and a pooling head belong to the pooling that they were trained with: they are left
    out where it changes.

    Raises:
        ValueError: the pooling is unknown, or the network lacks what it needs.
    """
    if pooling == config.pooling:
        return config
    extras = config.extras
    if extras is not None and pooling != "attention":
        extras = dataclasses.replace(extras, projection=None, attention_pooling=None)
    return dataclasses.replace(config, pooling=cast(Pooling, pooling), extras=extras)


def left_out(old: ViTConfig, new: ViTConfig) -> tuple[str, ...]:
    """The names of the parameters that `old` has and `new`, of `with_pooling`, lacks."""
    return tuple(
        name
        for name in ("projection", "attention_pooling")
        if getattr(old.parts, name) is not None and getattr(new.parts, name) is None
    )
