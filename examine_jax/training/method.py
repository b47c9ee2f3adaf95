"""What a pretraining method is: a frozen dataclass with these five functions."""

from typing import Any, Protocol, runtime_checkable

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped

Batch = dict[str, Any]
"""Arrays by name: "image" [B, H, W, C] uint8 (or float in [0, 1]), "index" [B] int32, and where present "label" [B]."""


@runtime_checkable
class Method(Protocol):
    """One way to learn an encoder. A new method is one new file with such a class; the step, the loop and the folder know no more.

    Methods are hashable values: their fields are all that sets one apart, and are what is written to config.json. One that holds what
    changes no parameter may have a property `identity`, the same method without it, by which a run is known. One that reads files may
    have a property `files`, a hashable value that changes when they do.
    `params` are what the optimiser updates; `state` is what it does not (batch statistics, a moving-average target).
    Everything is a pure function; randomness comes from the key alone.
    """

    def __hash__(self) -> int: ...

    @property
    def encoder(self) -> Any:
        """The encoder's configuration: image_size, channels, features and module()."""

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """(params, state) for batches of this shape."""

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """(loss, (state, metrics)); differentiated in params. Augments inside, from the key."""

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        """The state after the optimiser's update: where moving averages follow the parameters."""

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """Features of images as they come, neither masked nor augmented; float32."""
