"""An encoder that others trained, in the shape of a method: it embeds and cannot be trained."""

import dataclasses

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.models import ViTConfig, init_network
from examine_jax.models.weights import ImportedNetwork
from examine_jax.pretraining import two_views
from examine_jax.pretraining.methods.mae import MAE
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Batch, EncoderConfig, Method


@dataclasses.dataclass(frozen=True)
class ImportedEncoder:
    """An encoder's configuration and the scale of the pixels that it was trained on."""

    encoder: EncoderConfig
    pixels: PixelScale = dataclasses.field(default_factory=PixelScale)

    def __post_init__(self) -> None:
        self.pixels.check(self.encoder.channels)

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder"} and state {"batch_stats"}, into whose shapes weights are read."""
        size = self.encoder.image_size
        images = jnp.zeros((1, size, size, self.encoder.channels), jnp.float32)
        params, stats = init_network(self.encoder.module(), key, images)
        return {"encoder": params}, {"batch_stats": {"encoder": stats} if stats else {}}

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        raise ValueError(
            "ImportedEncoder embeds and has no loss; train with a method (MAE, SimCLR, ...) instead"
        )

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        return state

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The encoder's features."""
        return two_views.embed(self.encoder, self.pixels, params, state, images)


def method_of(network: ImportedNetwork) -> tuple[Method, PyTree, PyTree]:
    """(method, params, state): an MAE if the network has a decoder, else an ImportedEncoder."""
    pixels = PixelScale(network.pixel_mean, network.pixel_deviation)
    decoder = network.decoder
    if decoder is not None and isinstance(network.encoder, ViTConfig):
        mae = MAE(
            network.encoder,
            decoder.config,
            decoder.mask_ratio,
            norm_pix=decoder.norm_pix,
            pixels=pixels,
        )
        return mae, {"encoder": network.params, "decoder": decoder.params}, {}
    stats = {"encoder": network.batch_stats} if network.batch_stats else {}
    return (
        ImportedEncoder(network.encoder, pixels),
        {"encoder": network.params},
        {"batch_stats": stats},
    )
