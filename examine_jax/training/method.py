"""The shape of a method: a frozen dataclass that says what is learned from a batch."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped

Batch = Mapping[str, Any]
"""Arrays by column name, one row an example.

"index" [B] int32 always, "image" [B, H, W, C] uint8 (or float in [0, 1]),
whatever other columns the training set has ("label" [B], boxes, ...)."""

IMAGE = "image"


@runtime_checkable
class EncoderConfig(Protocol):
    """The configuration of an encoder: a hashable value that makes its network."""

    def __hash__(self) -> int: ...

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""

    @property
    def channels(self) -> int:
        """Channels of the input."""

    @property
    def features(self) -> int:
        """Width of the output."""

    @property
    def dtype(self) -> str:
        """Type of the computation, "float32" or "bfloat16"; parameters are float32."""

    def module(self) -> Any:
        """The network: a Linen module that maps images [B, H, W, C] to features [B, features]."""


@runtime_checkable
class Trainable(Protocol):
    """What the step and the loop train: a hashable value with a loss.

    Its fields are all that sets one value apart; they are written to pretraining.json. `params` are
    what the optimiser updates; `state` is what it does not (batch statistics, a moving average).
    All functions are pure; randomness comes from the key alone.

    It may also have these attributes; the functions below give the defaults:

        columns: names of the columns that its loss needs. Default: ("image",).
        metric_columns: names of columns that it uses only for metrics, where they are present.
    """

    def __hash__(self) -> int: ...

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """(params, state) for batches of this shape."""

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """(loss, (state, metrics)), differentiated in params. It augments inside, from the key."""

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        """The state after the optimiser's update, for example a moving average of the parameters.

        Args:
            step: the number of updates done, this one included.
        """


@runtime_checkable
class Method(Trainable, Protocol):
    """One way to train an encoder. The encoder's folder needs nothing else.

    A method may also have these hooks; the functions below give the defaults:

        for_steps(steps): the same method for a training of that many steps.
        to_save(state): the method and state that are written to the encoder's folder.
        pictures(params, state, images, key): what the training's page shows.
    """

    @property
    def encoder(self) -> EncoderConfig:
        """The configuration of the encoder that is trained."""

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """Float32 features of images, neither masked nor augmented."""


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """Rows of images for the training's page: one column an image, the original above.

    Attributes:
        name: the picture's file name, without suffix.
        title, caption, description: texts of the page; the description is for readers who cannot
            see the picture.
        rows: what the method makes of the images, by the rows' labels; each [K, height, width,
            channels], floats in [0, 1].
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
    """Names of columns that change only the method's metrics."""
    return tuple(getattr(method, "metric_columns", ()))


def uses_column(method: Trainable, name: str) -> bool:
    """Whether the method reads that column, for its loss or its metrics."""
    return name in (*required_columns(method), *metric_columns(method))


def for_steps(method: Method, steps: int) -> Method:
    """The method for a training of `steps` steps; most methods do not depend on it."""
    hook = getattr(method, "for_steps", None)
    return method if hook is None else hook(steps)


def to_save(method: Method, state: PyTree) -> tuple[Method, PyTree]:
    """The (method, state) to write to the encoder's folder: by default both as they are.

    A method that needs something in training alone (another encoder) leaves it out here, so that
    the folder can be read where that something is missing. The saved method's `init` makes a state
    of the saved state's structure.
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
    """What the training's page shows of the method; by default nothing."""
    hook = getattr(method, "pictures", None)
    return () if hook is None else tuple(hook(params, state, jnp.asarray(images), key))
