"""The masked and the plain autoencoder."""

from examine_jax.images.augmentation import mae_crop
from examine_jax.models import ViTConfig
from examine_jax.models.presets import Architecture
from examine_jax.pretraining.methods.autoencoder import Autoencoder
from examine_jax.pretraining.methods.mae import MAE
from examine_jax.pretraining.presets.sources import EXAMINE, RECONSTRUCTION_SMALL, imagenet
from examine_jax.training.method import Method
from examine_jax.training.settings import Phase, PretrainSettings


def mae_small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    return MAE.of(_transformer("mae", architecture)), RECONSTRUCTION_SMALL


def mae_paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """EXAMINE, section 4.1: 40 % masked; raw pixels and flips are inferred."""
    return MAE.of(_transformer("mae", architecture)), EXAMINE


def mae_original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """He et al., tables 8 and 1: 800 epochs, batch 4096, 75 % masked, normalised pixels as targets."""
    method = MAE.of(
        _transformer("mae", architecture),
        mask_ratio=0.75,
        norm_pix=True,
        pixels=imagenet(architecture),
        augmentation=mae_crop(architecture.encoder.image_size),
    )
    return method, PretrainSettings((Phase(epochs=800),), batch_size=4096)


def autoencoder_small(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    return Autoencoder.of(architecture), RECONSTRUCTION_SMALL


def autoencoder_paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """EXAMINE, section 4.3."""
    return Autoencoder.of(architecture), EXAMINE


def _transformer(method: str, architecture: Architecture) -> Architecture:
    if not isinstance(architecture.encoder, ViTConfig) or architecture.decoder is None:
        raise ValueError(
            f"{method} masks a vision transformer's patches, and {type(architecture.encoder).__name__} has none; "
            "choose a ViT architecture, or another method (simclr, byol, ...)"
        )
    return architecture
