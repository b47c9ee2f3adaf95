"""Self-supervised pretraining: the methods, their presets and their losses."""

from examine_jax.images.augmentation import Dihedral
from examine_jax.pretraining.methods.autoencoder import Autoencoder
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.methods.dcl import DCL
from examine_jax.pretraining.methods.mae import MAE
from examine_jax.pretraining.methods.simclr import SimCLR
from examine_jax.pretraining.methods.simsiam import SimSiam
from examine_jax.pretraining.methods.vicreg import VICReg
from examine_jax.pretraining.moving_average import MovingAverage
from examine_jax.pretraining.pixels import IMAGENET, PixelScale
from examine_jax.pretraining.registry import method_names, method_preset, preset_names
from examine_jax.training.loop import NonFiniteLossError
from examine_jax.training.loop import Trained as Pretrained
from examine_jax.training.loop import train as pretrain
from examine_jax.training.method import Batch, Method
from examine_jax.training.optimiser import LARS, SGD, Adam, AdamW, Constant, WarmupCosine
from examine_jax.training.settings import Phase, PretrainSettings

__all__ = [
    "BYOL",
    "DCL",
    "IMAGENET",
    "LARS",
    "MAE",
    "SGD",
    "Adam",
    "AdamW",
    "Autoencoder",
    "Batch",
    "Constant",
    "Dihedral",
    "Method",
    "MovingAverage",
    "NonFiniteLossError",
    "Phase",
    "PixelScale",
    "PretrainSettings",
    "Pretrained",
    "SimCLR",
    "SimSiam",
    "VICReg",
    "WarmupCosine",
    "method_names",
    "method_preset",
    "preset_names",
    "pretrain",
]
