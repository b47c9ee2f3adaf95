"""Self-supervised pretraining: methods, the train step, the resumable loop, a trained encoder's folder."""

from examine_jax.images.augmentation import Dihedral
from examine_jax.pretraining.encoder_folder import Encoder, load_encoder, save_encoder
from examine_jax.pretraining.loop import NonFiniteLossError, Pretrained, pretrain
from examine_jax.pretraining.mae import MAE
from examine_jax.pretraining.method import Batch, Method
from examine_jax.pretraining.optimiser import LARS, SGD, Adam, AdamW, Constant, WarmupCosine
from examine_jax.pretraining.pixels import IMAGENET, PixelScale
from examine_jax.pretraining.settings import Phase, PretrainSettings
from examine_jax.pretraining.watching import Watching

__all__ = [
    "IMAGENET",
    "LARS",
    "MAE",
    "SGD",
    "Adam",
    "AdamW",
    "Batch",
    "Constant",
    "Dihedral",
    "Encoder",
    "Method",
    "NonFiniteLossError",
    "Phase",
    "PixelScale",
    "PretrainSettings",
    "Pretrained",
    "WarmupCosine",
    "Watching",
    "load_encoder",
    "pretrain",
    "save_encoder",
]
