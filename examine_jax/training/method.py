"""The interface of a method: a frozen dataclass that defines what is learned from a batch."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped

Batch = Mapping[str, Any]
"""Arrays by column name, one row per example.

"index" [B] int32 is always present. The others are the columns of the training set, such as
"image" [B, H, W, C] uint8 (or float in [0, 1]) and "label" [B]."""

IMAGE = "image"


@runtime_checkable
class EncoderConfig(Protocol):
    """The configuration of an encoder: a hashable object that builds its network."""

    def __hash__(self) -> int: ...

    @property
    def image_size(self) -> int:
        """Height and width of the input in pixels."""

    @property
    def channels(self) -> int:
        """The number of channels of the input."""

    @property
    def features(self) -> int:
        """The number of features."""

    @property
    def dtype(self) -> str:
        """The dtype of the computation, "float32" or "bfloat16"; parameters are float32."""

    def module(self) -> Any:
        """The network: a Linen module that maps images [B, H, W, C] to features [B, features]."""


@runtime_checkable
class Trainable(Protocol):
    """What the step and the loop train: a hashable object with a loss.

    The object's fields determine its behaviour completely; they are written to pretraining.json.
    The optimiser updates `params`. It does not update `state` (batch statistics, a moving average).
    All functions are pure; all random numbers come from the key.

    The object may also have these attributes. `required_columns` and `metric_columns` return their
    values, or the defaults:

        columns: names of the columns that its loss needs. Default: ("image",).
        metric_columns: names of columns that it uses only for metrics, if they are present.
            Default: ().
        constant_state: names of entries of its state that no step changes. They come from the
            run's `start`, and checkpoints leave them out. Default: ().
    """

    def __hash__(self) -> int: ...

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """(params, state) for batches of this shape."""

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """(loss, (state, metrics)), differentiable in params. Augmentation is part of the loss."""

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        """The state after the optimiser's update, for example a moving average of the parameters.

        Args:
            step: the number of updates so far, including this one.
        """


@runtime_checkable
class Method(Trainable, Protocol):
    """A method that trains an encoder. The encoder's folder stores this object and its parameters.

    A method may also have these hooks. The functions of the same names below call them, or return
    the defaults:

        for_steps(steps): the same method, for a training of that many steps.
        to_save(state): the method and state that are written to the encoder's folder.
        pictures(params, state, images, key): the pictures on the training's page.
    """

    @property
    def encoder(self) -> EncoderConfig:
        """The configuration of the encoder that is trained."""

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """Float32 features of the images, without masking or augmentation."""


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A table of images for the training's page: one column per image, the originals on top.

    Attributes:
        name: the picture's file name, without suffix.
        title, caption, description: texts of the page; the description is for readers who cannot
            see the picture.
        rows: the method's images by row label, for example reconstructions. Each row is [K, height,
            width, channels], floats in [0, 1].
    """

    name: str
    title: str
    caption: str
    description: str
    rows: Mapping[str, Shaped[np.ndarray, "k _ _ channels"]]


def required_columns(method: Trainable) -> tuple[str, ...]:
    """Names of the columns that the method's loss needs."""
    return tuple(getattr(method, "columns", (IMAGE,)))


def metric_columns(method: Trainable) -> tuple[str, ...]:
    """Names of the columns that the method uses only for its metrics."""
    return tuple(getattr(method, "metric_columns", ()))


def constant_state(method: Trainable) -> tuple[str, ...]:
    """Names of the entries of the method's state that no step changes and no checkpoint holds."""
    return tuple(getattr(method, "constant_state", ()))


def uses_column(method: Trainable, name: str) -> bool:
    """Whether the method uses the column, for its loss or for its metrics."""
    return name in (*required_columns(method), *metric_columns(method))


def for_steps(method: Method, steps: int) -> Method:
    """The method for a training of `steps` steps; most methods do not depend on the number."""
    hook = getattr(method, "for_steps", None)
    return method if hook is None else hook(steps)


def to_save(method: Method, state: PyTree) -> tuple[Method, PyTree]:
    """The (method, state) to write to the encoder's folder; by default both are unchanged.

    Some methods need an object only in training, for example another encoder. Their hook leaves it
    out, so that the folder can be read without it. The saved method's `init` must return a state
    with the structure of the saved state.
    """
    hook = getattr(method, "to_save", None)
    return (method, state) if hook is None else hook(state)


def pictures(
    method: Method,
    params: PyTree,
    state: PyTree,
    images: Shaped[Array | np.ndarray, "k height width channels"],
    key: Key[Array, ""],
) -> tuple[Picture, ...]:
    """The method's pictures on the training's page; by default none."""
    hook = getattr(method, "pictures", None)
    return () if hook is None else tuple(hook(params, state, on_device(images), key))
