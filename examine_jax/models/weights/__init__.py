"""Weights that others trained, from local files; and our weights in others' layouts."""

from examine_jax.models.weights.configuration import read_json
from examine_jax.models.weights.imported import ImportedDecoder, ImportedNetwork
from examine_jax.models.weights.positions import resample_positions
from examine_jax.models.weights.read import read_network
from examine_jax.models.weights.vit_mae import vit_mae_tensors

__all__ = [
    "ImportedDecoder",
    "ImportedNetwork",
    "read_json",
    "read_network",
    "resample_positions",
    "vit_mae_tensors",
]
