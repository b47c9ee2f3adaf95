"""A trained encoder: images in, features out."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import numpy as np

from examine_jax.common.shapes import Array, Float, Key, PyTree
from examine_jax.encoders.embedding import EmbeddingSpeed, run_batches
from examine_jax.encoders.readout import Feature, Readout
from examine_jax.images.decoding.framing import Framing
from examine_jax.images.decoding.resize import ImageSize
from examine_jax.models import FlaxEncoder, ViTConfig
from examine_jax.models.poolings import POOLED, left_out, with_pooling
from examine_jax.models.vit import ComputeDtype
from examine_jax.pretraining.changed import with_network
from examine_jax.pretraining.from_encoder import digest_variables
from examine_jax.pretraining.methods.mae import MAE
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Method


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """A trained encoder: images in, features out.

    Attributes:
        method: the method that trained it; it has the network's configuration.
        params, state: all of the method's parameters (also an MAE's decoder) and state.
        training: notes on the training, as given to `save_encoder`; plain values.
        readout: the outputs that are the features; None: the method's.
        framing: how images of any shape come to the encoder's size; None: the whole image is
            squashed by Pillow's Lanczos kernel. `embed` takes images that are resized already.
    """

    method: Method
    params: PyTree
    state: PyTree
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    readout: Readout | None = None
    framing: Framing | None = None

    @property
    def image_size(self) -> int:
        return self.method.encoder.image_size

    @property
    def load_size(self) -> ImageSize:
        """The image_size for `load_images`: the encoder's, or its framing."""
        return self.image_size if self.framing is None else self.framing.at(self.image_size)

    @property
    def channels(self) -> int:
        return self.method.encoder.channels

    @property
    def pooling(self) -> str | None:
        """How a vision transformer's tokens become features, as `ViTConfig.pooling` says.

        None for other encoders.
        """
        return getattr(self.method.encoder, "pooling", None)

    @property
    def fingerprint(self) -> str:
        """Identifies the network's weights, whatever heads or settings a method has beside them."""
        stats = self.state.get("batch_stats", {}).get("encoder", {})
        return digest_variables(self.params["encoder"], stats)

    def with_pooling(self, pooling: str) -> "Encoder":
        """The same encoder with another pooling: "mean", "class_token" or "class_and_mean".

        A projection or a pooling head that the encoder's own pooling has is left out.

        Raises:
            ValueError: the encoder is no vision transformer, or has no class token.
        """
        config: Any = self.method.encoder
        if not isinstance(config, POOLED):
            raise ValueError(
                f"pooling={pooling!r}: a {type(config).__name__} has no tokens to "
                "pool; leave pooling away"
            )
        changed = with_pooling(config, pooling)
        params = self.params
        if gone := left_out(config, changed):
            kept = {name: part for name, part in params["encoder"].items() if name not in gone}
            params = {**params, "encoder": kept}
        return dataclasses.replace(self._with_config(changed), params=params)

    def with_readout(self, feature: str | None, layers: Sequence[int] = ()) -> "Encoder":
        """The same encoder with other outputs as its features; such an encoder cannot be saved.

        Args:
            feature: as in `Readout`; None: the pooling of the encoder, patch_mean for a ResNet or
                ConvNeXt.
            layers: as in `Readout`.

        Raises:
            ValueError: the encoder has no such feature or layer.
        """
        config: Any = self.method.encoder
        if feature is None:
            feature = _OWN_FEATURES.get(getattr(config, "pooling", "mean"))
            if feature is None:
                raise ValueError(
                    f"layers {list(layers)}: inner layers have no {config.pooling} pooling; say "
                    "what is made of their tokens, feature=patch_mean for instance"
                )
        readout = Readout(cast(Feature, feature), tuple(layers))
        readout.check(config)
        return dataclasses.replace(self, readout=readout)

    def with_precision(self, dtype: str) -> "Encoder":
        """The same encoder that computes in "float32" or "bfloat16"; its parameters stay.

        Raises:
            ValueError: the network decides itself.
        """
        config: Any = self.method.encoder
        if isinstance(config, FlaxEncoder):
            raise ValueError(
                f"precision={dtype}: a module of your own decides itself; leave precision away"
            )
        changed = (
            config.with_precision(cast(ComputeDtype, dtype))
            if isinstance(config, ViTConfig)
            else dataclasses.replace(config, dtype=dtype)
        )
        return self._with_config(changed)

    def _with_config(self, config: Any) -> "Encoder":
        return dataclasses.replace(self, method=with_network(self.method, config))

    def embed(
        self,
        images: np.ndarray,
        *,
        batch_size: int = 64,
        fill_memory: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
        on_speed: Callable[[EmbeddingSpeed], None] | None = None,
    ) -> Float[np.ndarray, "count *features"]:
        """Embeds images batch by batch, on all devices of this process.

        The last batch is padded with black images, so that one program serves all batches.

        Args:
            images: uint8 [N, H, W, C].
            batch_size: images at once on each device; a vision transformer and SAM take at most
                their `images_at_once`, as attention takes much memory where images are large.
            fill_memory: whether an accelerator takes larger batches, by twos, as its memory allows.
            on_progress: called as on_progress(done, count) after each batch.
            on_speed: called with the speed at the end.

        Returns:
            Float32 features [N, D]; with feature "tokens", [N, tokens, D].

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
        return run_batches(
            _embed,
            (self.method, self.readout),
            (self.params, self.state),
            images,
            batch_size=min(batch_size, getattr(self.method.encoder, "images_at_once", batch_size)),
            fill_memory=fill_memory,
            dtype=self.method.encoder.dtype,
            devices=jax.local_devices(),
            on_progress=on_progress,
            on_speed=on_speed,
        )

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


# The features that a pooling makes of an inner layer's tokens.
_OWN_FEATURES = {
    "mean": "patch_mean",
    "class_token": "class_token",
    "class_and_mean": "class_and_mean",
}


def features_of(
    method: Method, readout: Readout | None, variables: tuple[PyTree, PyTree], images: Array
) -> Array:
    """The features of uint8 images, as a function that JAX can trace.

    Args:
        method: an encoder's.
        readout: the outputs that are the features; None: the method's.
        variables: the encoder's (params, state).
        images: at the encoder's size.
    """
    params, state = variables
    if readout is None:
        return method.embed(params, state, images)
    pixels = getattr(method, "pixels", PixelScale())
    batch_stats = state.get("batch_stats", {}).get("encoder", {})
    return readout(method.encoder, params["encoder"], batch_stats, pixels(images))


_embed = functools.partial(jax.jit, static_argnums=(0, 1))(features_of)


@functools.partial(jax.jit, static_argnums=0)
def _reconstruct(method: MAE, params: PyTree, images: Array, key: Array) -> tuple[Array, Array]:
    return method.reconstruct(params, images, key)
