"""A method with another network, or with another scale of pixels."""

import dataclasses
from typing import Any

from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import EncoderConfig, Method


def with_pixels(method: Method, pixels: PixelScale) -> Method:
    """A method with another scale of pixels; a method that holds another one changes that one."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(method):  # type: ignore[arg-type]
        value = getattr(method, field.name)
        if field.name == "pixels":
            changes["pixels"] = pixels
        elif isinstance(value, Method) and dataclasses.is_dataclass(value):
            changes[field.name] = with_pixels(value, pixels)
    return dataclasses.replace(method, **changes) if changes else method  # type: ignore[type-var]


def with_network(method: Method, config: EncoderConfig) -> Method:
    """A method whose encoder has another configuration; or the method that it holds."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(method):  # type: ignore[arg-type]
        value = getattr(method, field.name)
        if field.name == "encoder":
            changes["encoder"] = config
        elif isinstance(value, Method) and dataclasses.is_dataclass(value):
            changes[field.name] = with_network(value, config)
    return dataclasses.replace(method, **changes)  # type: ignore[type-var]
