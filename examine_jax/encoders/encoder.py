"""A trained encoder: images in, features out."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.pretraining.methods.mae import MAE
from examine_jax.training.method import Method


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """A trained encoder: images in, features out.

    Attributes:
        method: the method that trained it; it has the network's configuration.
        params, state: all of the method's parameters (also an MAE's decoder) and state.
        training: notes on the training, as given to `save_encoder`; plain values.
    """

    method: Method
    params: PyTree
    state: PyTree
    training: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def image_size(self) -> int:
        return self.method.encoder.image_size

    @property
    def channels(self) -> int:
        return self.method.encoder.channels

    @property
    def pooling(self) -> str | None:
        """How a vision transformer's tokens become features: "mean" or "class_token".

        None for other encoders.
        """
        return getattr(self.method.encoder, "pooling", None)

    def with_pooling(self, pooling: str) -> "Encoder":
        """The same encoder with another pooling: "mean" or "class_token".

        Raises:
            ValueError: the encoder is no vision transformer, or has no class token.
        """
        if self.pooling is None:
            raise ValueError(
                f"pooling={pooling!r}: a {type(self.method.encoder).__name__} has no tokens to "
                "pool; leave pooling away"
            )
        encoder: Any = self.method.encoder
        encoder = dataclasses.replace(encoder, pooling=pooling)
        return dataclasses.replace(self, method=dataclasses.replace(self.method, encoder=encoder))  # type: ignore[type-var]

    def embed(
        self,
        images: np.ndarray,
        *,
        batch_size: int = 64,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Float[np.ndarray, "count features"]:
        """Embeds images batch by batch.

        The last batch is padded with black images, so that one program serves all batches.

        Args:
            images: uint8 [N, H, W, C].
            batch_size: images a batch.
            on_progress: called as on_progress(done, count) after each batch.

        Returns:
            Float32 features.

        Raises:
            ValueError: the images have another size, number of channels or type than the encoder's.
        """
        expected = (self.image_size, self.image_size, self.channels)
        if images.ndim != 4 or images.dtype != np.uint8 or images.shape[1:] != expected:
            raise ValueError(
                f"the encoder takes uint8 images {list(expected)} (height, width, channels), got "
                f"{images.dtype} {list(images.shape[1:])}; "
                "resize them first"
            )
        if batch_size < 1:
            raise ValueError(f"embed: batch_size must be at least 1, got {batch_size}")
        features = np.zeros((len(images), self.method.encoder.features), np.float32)
        for start in range(0, len(images), batch_size):
            part = images[start : start + batch_size]
            batch = np.zeros((batch_size, *expected), np.uint8)
            batch[: len(part)] = part
            features[start : start + len(part)] = np.asarray(
                _embed(self.method, self.params, self.state, batch)
            )[: len(part)]
            if on_progress is not None:
                on_progress(start + len(part), len(images))
        return features

    def reconstruct(
        self, images: np.ndarray, key: Key[Array, ""]
    ) -> tuple[
        Float[np.ndarray, "count height width channels"],
        Float[np.ndarray, "count height width channels"],
    ]:
        """(images with hidden patches, reconstructed images) of a masked autoencoder, in [0, 1].

        All images are one batch, so give few.
        """
        if not isinstance(self.method, MAE):
            raise ValueError(f"reconstruct: a {type(self.method).__name__} encoder has no decoder")
        masked, painted = _reconstruct(self.method, self.params, images, key)
        return np.asarray(masked), np.asarray(painted)


@functools.partial(jax.jit, static_argnums=0)
def _embed(
    method: Method,
    params: PyTree,
    state: PyTree,
    images: Shaped[Array, "batch height width channels"],
) -> Array:
    return method.embed(params, state, images)


@functools.partial(jax.jit, static_argnums=0)
def _reconstruct(method: MAE, params: PyTree, images: Array, key: Array) -> tuple[Array, Array]:
    return method.reconstruct(params, images, key)
