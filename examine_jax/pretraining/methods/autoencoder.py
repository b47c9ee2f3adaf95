"""A plain autoencoder on the masked one's networks: the EXAMINE paper's "AE" (section 4.3)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.compilation_cache import QUICKLY
from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.images.augmentation import Augmentation, Dihedral
from examine_jax.models import DecoderConfig, ViTConfig, apply, patchify, unpatchify
from examine_jax.models.architectures import Architecture
from examine_jax.models.dense_autoencoder import DenseAutoencoder
from examine_jax.pretraining.named_method import NamedMethod
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.pretraining.presets_shared import (
    EXAMINE,
    RECONSTRUCTION_SMALL,
    plain_transformer,
)
from examine_jax.pretraining.two_views import check_images
from examine_jax.training.method import Batch, Method, Picture
from examine_jax.training.settings import PretrainSettings


@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """Learns to reconstruct every patch of an image, none of them hidden.

    The paper only names an autoencoder; this one differs from its masked autoencoder in the mask
    alone. Tokens may be wider than patches, so nothing forces the encoder to compress: in that
    sense the paper calls it naive.

    Attributes:
        encoder, decoder: the two networks, both transformers.
        pixels: how pixel values in [0, 1] are scaled before the network sees them; the loss is in
            these units.
        augmentation: of training images; its outputs have the encoder's image size.
    """

    encoder: ViTConfig
    decoder: DecoderConfig
    pixels: PixelScale = dataclasses.field(default_factory=PixelScale)
    augmentation: Augmentation = dataclasses.field(default_factory=Dihedral)

    def __post_init__(self) -> None:
        self.pixels.check(self.encoder.channels)

    @classmethod
    def of(cls, architecture: Architecture, **changes: Any) -> "Autoencoder":
        """The autoencoder of an architecture.

        Raises:
            ValueError: the architecture has no decoder, as convolutional ones; or as
                `plain_transformer`.
        """
        chosen: Any = plain_transformer("autoencoder", architecture)
        return cls(chosen.encoder, chosen.decoder, **changes)

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder", "decoder"} and an empty state."""
        size = self.encoder.image_size
        images = jnp.zeros((1, size, size, self.encoder.channels), jnp.float32)
        return self._network.init(key, images)["params"], {}

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """Mean squared error over all pixels of the augmented images."""
        return self.dense_loss(params, self.augmentation(key, batch["image"])), (state, {})

    def dense_loss(
        self, params: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, ""]:
        """The loss of images without augmentation."""
        check_images(self.encoder, images, "the images are")
        target = self.pixels(images)
        predicted = apply(self._network, params, target)
        return jnp.mean(jnp.square(predicted - patchify(target, self.encoder.patch_size)))

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        return state

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The encoder's tokens, pooled as `encoder.pooling` says."""
        check_images(self.encoder, images, "the images are")
        return apply(self.encoder.module(), params["encoder"], self.pixels(images))

    def reconstruct(
        self, params: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        """The network's reconstructions, in [0, 1]."""
        check_images(self.encoder, images, "the images are")
        predicted = apply(self._network, params, self.pixels(images))
        painted = unpatchify(predicted, self.encoder.patch_size, self.encoder.channels)
        return jnp.clip(self.pixels.inverse(painted), 0, 1)

    def pictures(
        self,
        params: PyTree,
        state: PyTree,
        images: Shaped[Array, "k height width channels"],
        key: Key[Array, ""],
    ) -> tuple[Picture, ...]:
        """Images and their reconstructions."""
        painted = np.asarray(jax.jit(self.reconstruct, compiler_options=QUICKLY)(params, images))
        return (
            Picture(
                "reconstructions",
                "Reconstructions",
                "Above the original, below what came out of the autoencoder.",
                "Images and reconstructions",
                {"reconstruction": painted},
            ),
        )

    @property
    def _network(self) -> DenseAutoencoder:
        return DenseAutoencoder(self.encoder, self.decoder)


def _small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    return Autoencoder.of(architecture), RECONSTRUCTION_SMALL


def _paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """EXAMINE, section 4.3."""
    return Autoencoder.of(architecture), EXAMINE


NAMED = (NamedMethod("autoencoder", {"small": _small, "paper": _paper}, (Autoencoder,)),)
