"""Self-supervised pretraining: methods, the train step, the resumable loop, a trained encoder's folder."""

from examine_jax.images.augmentation import Dihedral
from examine_jax.pretraining.autoencoder import Autoencoder
from examine_jax.pretraining.byol import BYOL
from examine_jax.pretraining.dcl import DCL
from examine_jax.pretraining.encoder import Encoder
from examine_jax.pretraining.encoder_files import load_encoder
from examine_jax.pretraining.encoder_folder import export_vit_mae, save_encoder
from examine_jax.pretraining.imported import ImportedEncoder
from examine_jax.pretraining.loop import NonFiniteLossError, Pretrained, pretrain
from examine_jax.pretraining.mae import MAE
from examine_jax.pretraining.method import Batch, Method
from examine_jax.pretraining.method_presets import method_names, method_preset, preset_names
from examine_jax.pretraining.moving_average import MovingAverage
from examine_jax.pretraining.optimiser import LARS, SGD, Adam, AdamW, Constant, WarmupCosine
from examine_jax.pretraining.pixels import IMAGENET, PixelScale
from examine_jax.pretraining.settings import Phase, PretrainSettings
from examine_jax.pretraining.simclr import SimCLR
from examine_jax.pretraining.simsiam import SimSiam
from examine_jax.pretraining.vicreg import VICReg
from examine_jax.pretraining.watching import Watching

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
    "Encoder",
    "ImportedEncoder",
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
    "Watching",
    "export_vit_mae",
    "load_encoder",
    "method_names",
    "method_preset",
    "preset_names",
    "pretrain",
    "save_encoder",
]
