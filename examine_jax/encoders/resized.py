"""A trained encoder at another image size, and the shapes by which networks are compared."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.encoders.encoder import Encoder
from examine_jax.models import ViTConfig, sincos_positions
from examine_jax.models.forward import init_network
from examine_jax.models.weights import resample_positions
from examine_jax.models.weights.encoder_json import LARGEST_IMAGE
from examine_jax.pretraining.changed import with_network

_HOW = ("dtype", "remat")  # fields that say how a network is computed, not what it is


def at_size(encoder: Encoder, image_size: int, name: str) -> Encoder:
    """An encoder of ours at another image size: a transformer's positions are resampled.

    It sees of an image what it saw: a shorter side before a crop changes with the size.

    Raises:
        ValueError: a tensor of the network depends on the image size in another way.
    """
    config: Any = encoder.method.encoder
    if not 1 <= image_size <= LARGEST_IMAGE:
        raise ValueError(
            f"{name} at {image_size} pixels: it must be a whole number from 1 to {LARGEST_IMAGE}"
        )
    try:
        changed = dataclasses.replace(config, image_size=image_size)
        framing = None if encoder.framing is None else encoder.framing.at(image_size)
    except ValueError as error:
        raise ValueError(f"{name} at {image_size} pixels: {error}") from error
    params = dict(encoder.params["encoder"])
    if isinstance(config, ViTConfig) and config.positions in ("sincos", "learned"):
        side, new = (one.image_size // one.patch_size for one in (config, changed))
        positions = (
            np.asarray(params["positions"])
            if config.positions == "learned"
            else sincos_positions(side, config.width)
        )
        params["positions"] = jnp.asarray(resample_positions(positions, new, antialias=True))
        changed = dataclasses.replace(changed, positions="learned")
    found, wanted = shapes_by_name((params, {})), shapes_by_name((network_shapes(changed)[0], {}))
    for tensor, shape in wanted.items():
        if found.get(tensor) != shape:
            raise ValueError(
                f"{name}: the tensor {tensor} is {shown_shape(found.get(tensor))} and belongs to "
                f"images of {config.image_size} pixels; leave image_size away"
            )
    method = with_network(encoder.method, changed)
    params = {**encoder.params, "encoder": params}
    return dataclasses.replace(encoder, method=method, params=params, framing=framing)


def same_weights(first: Any, other: Any) -> bool:
    """Whether two configurations are of one network, which `dtype` and `remat` leave as it is."""
    if type(first) is not type(other) or not dataclasses.is_dataclass(first):
        return bool(first == other)
    names = [field.name for field in dataclasses.fields(first) if field.name in _HOW]
    same = dataclasses.replace(other, **{name: getattr(first, name) for name in names})
    return bool(same == first)


@functools.lru_cache(maxsize=8)
def network_shapes(config: Any) -> tuple[PyTree, PyTree]:
    """(params, batch_stats) of a network, as shapes."""
    shape = (1, config.image_size, config.image_size, config.channels)
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(
        functools.partial(init_network, config.module()), jax.random.key(0), images
    )


def shapes_by_name(tree: tuple[PyTree, PyTree]) -> dict[str, tuple[int, ...]]:
    """The shapes of (params, batch_stats) by their names without these two."""
    return {
        jax.tree_util.keystr(path[1:], simple=True, separator="."): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def shown_shape(shape: tuple[int, ...] | None) -> str:
    """For messages."""
    return "not there" if shape is None else str(list(shape))
