"""Masked autoencoding (He et al., Masked Autoencoders, arXiv:2111.06377)."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.compilation_cache import QUICKLY
from examine_jax.common.shapes import Array, Float, Int, Key, PyTree, Shaped
from examine_jax.images.augmentation import Augmentation, Dihedral, mae_crop
from examine_jax.models import (
    DecoderConfig,
    MaskedAutoencoder,
    ViTConfig,
    apply,
    patchify,
    unpatchify,
)
from examine_jax.models.architectures import Architecture
from examine_jax.pretraining.named_method import NamedMethod
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.pretraining.presets_shared import (
    EXAMINE,
    RECONSTRUCTION_QUICK,
    RECONSTRUCTION_SMALL,
    SMALL_PIXELS,
    imagenet,
    plain_transformer,
)
from examine_jax.training.method import Batch, Method, Picture
from examine_jax.training.settings import Phase, PretrainSettings


@dataclasses.dataclass(frozen=True)
class MAE:
    """Hides patches of an image and learns to reconstruct them from the others.

    Attributes:
        encoder, decoder: the two networks; the encoder sees only the visible patches.
        mask_ratio: the share of hidden patches.
        mask_rounding: "keep": int(L * (1 - ratio)) patches stay (facebookresearch/mae); "drop":
            int(L * ratio) go (vit-pytorch).
        norm_pix: scales each target patch to mean 0 and variance 1 (facebookresearch/mae's
            norm_pix_loss).
        pixels: how pixel values in [0, 1] are scaled before the network sees them.
        augmentation: of training images; its outputs have the encoder's image size.
    """

    encoder: ViTConfig
    decoder: DecoderConfig
    mask_ratio: float = 0.4
    mask_rounding: Literal["keep", "drop"] = "keep"
    norm_pix: bool = False
    pixels: PixelScale = dataclasses.field(default_factory=PixelScale)
    augmentation: Augmentation = dataclasses.field(default_factory=Dihedral)

    def __post_init__(self) -> None:
        if self.mask_rounding not in ("keep", "drop"):
            raise ValueError(
                f"MAE: mask_rounding must be 'keep' or 'drop', got {self.mask_rounding!r}"
            )
        if not 0 < self.mask_ratio < 1 or not 0 < self.num_visible < self.encoder.num_patches:
            raise ValueError(
                f"MAE: mask_ratio {self.mask_ratio} of {self.encoder.num_patches} patches leaves "
                "none visible or none hidden; "
                "it must lie between 0 and 1"
            )
        self.pixels.check(self.encoder.channels)

    @classmethod
    def of(cls, architecture: Architecture, **changes: object) -> "MAE":
        return cls(architecture.encoder, architecture.decoder, **changes)  # type: ignore[arg-type]

    @property
    def num_visible(self) -> int:
        """The number of patches that the encoder sees in training."""
        count = self.encoder.num_patches
        return (
            int(count * (1 - self.mask_ratio))
            if self.mask_rounding == "keep"
            else count - int(count * self.mask_ratio)
        )

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder", "decoder"} and an empty state."""
        if isinstance(
            self.augmentation, Dihedral
        ):  # turns and flips need squares; their own message is less clear
            self._check(batch["image"])
        self._check(jax.eval_shape(self.augmentation, key, batch["image"]))
        config = self.encoder
        visible = jnp.zeros((1, self.num_visible, config.patch_values), jnp.float32)
        order = jnp.zeros((1, config.num_patches), jnp.int32)
        return self._network.init(key, visible, order)["params"], {}

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """Mean squared error over the hidden patches of augmented images, with a random mask."""
        mask_key, augmentation_key = jax.random.split(key)
        images = self.augmentation(augmentation_key, batch["image"])
        self._check(images)
        noise = jax.random.uniform(mask_key, (len(images), self.encoder.num_patches))
        return self.masked_loss(params, images, noise), (state, {})

    def masked_loss(
        self,
        params: PyTree,
        images: Shaped[Array, "batch height width channels"],
        noise: Float[Array, "batch tokens"],
    ) -> Float[Array, ""]:
        """The loss where the patches of smallest noise stay visible, as in facebookresearch/mae."""
        order = jnp.argsort(noise, axis=1)
        target, predicted = self._predict(params, images, order)
        # The mean over hidden patches: sum(loss * mask) / sum(mask), as every image hides the same
        # number.
        return jnp.mean(jnp.square(predicted - self._normalised(target)[0]))

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        return state

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The encoder's tokens, none masked, pooled as `encoder.pooling` says."""
        self._check(images)
        return apply(self.encoder.module(), params["encoder"], self.pixels(images))

    def tokens(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch outputs features"]:
        """The encoder's last tokens, none masked; the class token, if there is one, comes first."""
        self._check(images)
        return apply(self.encoder.module(), params["encoder"], self.pixels(images), method="tokens")

    def reconstruct(
        self,
        params: PyTree,
        images: Shaped[Array, "batch height width channels"],
        key: Key[Array, ""],
    ) -> tuple[
        Float[Array, "batch height width channels"], Float[Array, "batch height width channels"]
    ]:
        """(images with grey hidden patches, images with reconstructed hidden patches), in [0, 1].

        With norm_pix the network predicts normalised patches; they get the true patches' mean and
        deviation back.
        """
        self._check(images)
        config = self.encoder
        order = jnp.argsort(jax.random.uniform(key, (len(images), config.num_patches)), axis=1)
        target, predicted = self._predict(params, images, order)
        _, mean, deviation = self._normalised(target)
        predicted = predicted * deviation + mean
        patches = patchify(self.pixels(images), config.patch_size)
        rows, hidden = jnp.arange(len(images))[:, None], order[:, self.num_visible :]

        def to_images(values: Array) -> Array:
            return jnp.clip(
                self.pixels.inverse(
                    unpatchify(
                        patches.at[rows, hidden].set(values), config.patch_size, config.channels
                    )
                ),
                0,
                1,
            )

        grey = self.pixels(
            jnp.full((config.patch_size, config.patch_size, config.channels), 0.5)
        ).reshape(-1)
        return to_images(grey), to_images(predicted)

    def pictures(
        self,
        params: PyTree,
        state: PyTree,
        images: Shaped[Array, "k height width channels"],
        key: Key[Array, ""],
    ) -> tuple[Picture, ...]:
        """Reconstructions of images with hidden patches."""
        reconstruct = jax.jit(self.reconstruct, compiler_options=QUICKLY)
        masked, painted = map(np.asarray, reconstruct(params, images, key))
        return (
            Picture(
                "reconstructions",
                "Reconstructions",
                "The image, the patches that the encoder sees, and its reconstruction.",
                "Images and reconstructions",
                {"masked": masked, "reconstruction": painted},
            ),
        )

    @property
    def _network(self) -> MaskedAutoencoder:
        return MaskedAutoencoder(self.encoder, self.decoder)

    def _predict(
        self,
        params: PyTree,
        images: Shaped[Array, "batch height width channels"],
        order: Int[Array, "batch tokens"],
    ) -> tuple[Float[Array, "batch masked values"], Float[Array, "batch masked values"]]:
        # Patches are cut and sorted as bytes, and only then turned into floats.
        patches = patchify(images, self.encoder.patch_size)
        patches = jnp.take_along_axis(patches, order[:, :, None], axis=1)
        patches = self.pixels.of_patches(patches, self.encoder.channels)
        visible, target = patches[:, : self.num_visible], patches[:, self.num_visible :]
        return target, apply(self._network, params, visible, order)

    def _normalised(
        self, target: Float[Array, "batch masked values"]
    ) -> tuple[Array, Array | float, Array | float]:
        if not self.norm_pix:
            return target, 0.0, 1.0
        mean = target.mean(axis=-1, keepdims=True)
        deviation = jnp.sqrt(
            target.var(axis=-1, keepdims=True, ddof=1) + 1e-6
        )  # unbiased, as torch.var is
        return (target - mean) / deviation, mean, deviation

    def _check(self, images: Any) -> None:
        expected = (self.encoder.image_size, self.encoder.image_size, self.encoder.channels)
        if images.shape[1:] != expected:
            raise ValueError(
                f"images are {images.shape[1:]} (height, width, channels), the encoder takes "
                f"{expected}; resize them first"
            )


def _small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    return MAE.of(plain_transformer("mae", architecture)), RECONSTRUCTION_SMALL


def _quick(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """A third of the images of `small`, in scaled pixels: half of the CPU time."""
    return MAE.of(plain_transformer("mae", architecture), pixels=SMALL_PIXELS), RECONSTRUCTION_QUICK


def _paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """EXAMINE, section 4.1: 40 % masked. Raw pixels and flips are our inference."""
    return MAE.of(plain_transformer("mae", architecture)), EXAMINE


def _original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """He et al., tables 8 and 1: 800 epochs, batch 4096, 75 % masked, normalised targets."""
    method = MAE.of(
        plain_transformer("mae", architecture),
        mask_ratio=0.75,
        norm_pix=True,
        pixels=imagenet(architecture),
        augmentation=mae_crop(architecture.encoder.image_size),
    )
    return method, PretrainSettings((Phase(epochs=800),), batch_size=4096)


NAMED = (
    NamedMethod(
        "mae",
        {"small": _small, "quick": _quick, "paper": _paper, "original": _original},
        (MAE,),
    ),
)
