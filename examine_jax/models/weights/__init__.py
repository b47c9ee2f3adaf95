"""Weights that others trained, from local files; and trained ones in others' layouts."""

from examine_jax.models.weights.network import ImportedDecoder, ImportedNetwork, read_json, read_network
from examine_jax.models.weights.positions import resample_positions
from examine_jax.models.weights.vit import from_vit_mae, vit_mae_tensors

__all__ = [
    "ImportedDecoder",
    "ImportedNetwork",
    "from_vit_mae",
    "read_json",
    "read_network",
    "resample_positions",
    "vit_mae_tensors",
]
