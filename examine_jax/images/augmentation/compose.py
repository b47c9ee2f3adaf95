"""Augmentations in sequence, and two views of each image."""

import dataclasses
from typing import Protocol, runtime_checkable

import jax

from examine_jax.common.shapes import Array, Float, Key, Shaped
from examine_jax.images.augmentation.crop import unit_floats


@runtime_checkable
class Augmentation(Protocol):
    """A hashable value that changes each image of a batch by its own draw."""

    def __hash__(self) -> int: ...

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> Shaped[Array, "batch rows columns channels"]: ...


@dataclasses.dataclass(frozen=True)
class Compose:
    """Augmentations in sequence, each with its own key. An empty one converts bytes to floats.

    Attributes:
        steps: the augmentations.
    """

    steps: tuple[Augmentation, ...]

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns channels"]:
        """Floats in [0, 1] or bytes in, float32 in [0, 1] out."""
        images = unit_floats(images)
        for index, step in enumerate(self.steps):
            images = step(jax.random.fold_in(key, index), images)
        return images


@dataclasses.dataclass(frozen=True)
class TwoViews:
    """Two differently augmented views of each image, for methods that compare them.

    Attributes:
        first, second: the augmentation of each view. Equal ones compile once.
    """

    first: Augmentation
    second: Augmentation

    def __call__(
        self, key: Key[Array, ""], images: Shaped[Array, "batch height width channels"]
    ) -> tuple[
        Float[Array, "batch rows columns channels"], Float[Array, "batch rows columns channels"]
    ]:
        """Floats in [0, 1] or bytes in, two views in float32 in [0, 1] out."""
        keys = jax.random.split(key)
        images = unit_floats(images)
        if self.first == self.second:
            views = jax.vmap(self.first, in_axes=(0, None))(keys, images)
            return views[0], views[1]
        return self.first(keys[0], images), self.second(keys[1], images)
