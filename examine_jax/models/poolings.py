"""Another feature of a trained transformer than the one that its configuration pools."""

import dataclasses
from typing import Any, cast

from examine_jax.models.sam import SAMConfig
from examine_jax.models.vit import Pooling, ViTConfig

# Networks whose tokens can be pooled in more than one way.
POOLED = (ViTConfig, SAMConfig)


def with_pooling(config: Any, pooling: str) -> Any:
    """The configuration with another pooling.

    A projection, a pooling head and SAM's neck belong to the pooling that they were trained with:
    they are left out where it changes.

    Args:
        config: one of POOLED.
        pooling: as the configuration's field.

    Raises:
        ValueError: the pooling is unknown, or the network lacks what it needs.
    """
    if pooling == config.pooling:
        return config
    if isinstance(config, SAMConfig):
        if pooling != "mean":
            raise ValueError(
                f"pooling {pooling!r}: SAM's image encoder has neither a class token nor an "
                "attention pooling; there are the mean of the neck's map and that of the patches"
            )
        return dataclasses.replace(config, pooling="mean")
    extras = config.extras
    if extras is not None and pooling != "attention":
        extras = dataclasses.replace(
            extras, projection=None, projection_bias=False, attention_pooling=None
        )
    return dataclasses.replace(config, pooling=cast(Pooling, pooling), extras=extras)


def left_out(old: Any, new: Any) -> tuple[str, ...]:
    """The names of the parameters that `old` has and `new`, of `with_pooling`, lacks."""
    if isinstance(old, SAMConfig):
        return ("neck",) if old.pooling == "neck" and new.pooling != "neck" else ()
    return tuple(
        name
        for name in ("projection", "attention_pooling")
        if getattr(old.parts, name) is not None and getattr(new.parts, name) is None
    )
