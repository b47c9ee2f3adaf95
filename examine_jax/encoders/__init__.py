"""Trained encoders: train, save, load (ours and those of other libraries), embed images."""

from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.imported import ImportedEncoder
from examine_jax.encoders.load import load_encoder
from examine_jax.encoders.save import export_vit_mae, save_encoder

__all__ = ["Encoder", "ImportedEncoder", "export_vit_mae", "load_encoder", "save_encoder"]
