"""Parameters of a MaskedAutoencoder from the tensors of transformers' ViTMAE."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.transformer import encoder_parameters
from examine_jax.models.weights.vit import vit_names, with_names_on_disk
from examine_jax.models.weights.vit_mae import decoder_parameters


def from_vit_mae(
    tensors: Mapping[str, np.ndarray], encoder: ViTConfig, decoder: DecoderConfig
) -> PyTree:
    """Parameters {"encoder", "decoder"} without positions: both sides compute the same."""
    named = with_names_on_disk(Tensors(tensors, "the ViTMAE"))
    params = {
        "encoder": encoder_parameters(named, encoder, vit_names(named)),
        "decoder": decoder_parameters(named, encoder, decoder),
    }
    return jax.tree.map(jnp.asarray, params)
