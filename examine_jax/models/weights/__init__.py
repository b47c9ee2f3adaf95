"""Weights that others trained, from local files; and our weights in others' layouts."""

from examine_jax.models.weights.configuration import read_json
from examine_jax.models.weights.imported import ImportedDecoder, ImportedNetwork
from examine_jax.models.weights.pickles import PICKLES
from examine_jax.models.weights.positions import resample_positions
from examine_jax.models.weights.read import read_network
from examine_jax.models.weights.refusals import refuse_empty_folder
from examine_jax.models.weights.vit_mae import vit_mae_tensors

# Suffixes of files that may hold a network's weights.
WEIGHT_FILES = (".safetensors", *PICKLES)

__all__ = [
    "WEIGHT_FILES",
    "ImportedDecoder",
    "ImportedNetwork",
    "read_json",
    "read_network",
    "refuse_empty_folder",
    "resample_positions",
    "vit_mae_tensors",
]
