"""CONCH's vision tower gives the features of timm's and torch's modules put together, or an error.

golden/make_encoders_conch.py made the folder and the features.
"""

import numpy as np
import pytest

from examine_jax.encoders import load_encoder, save_encoder
from examine_jax.models import CrossAttentionPooling, ViTConfig
from examine_jax.models.weights import read_network
from examine_jax.models.weights.vit_to_timm import vit_to_timm
from tests.support.golden_encoders import (
    GOLDEN,
    arrays,
    copied,
    library_error,
    with_configuration,
    with_tensors,
)

SAVED = GOLDEN / "encoders_conch" / "conch"


@pytest.mark.parametrize("size", [24, 32])
def test_features_equal_its_authors(size):
    network = read_network(SAVED, image_size=size)
    assert network.encoder.features == 12
    assert library_error(network, arrays("encoders_conch"), "conch", size) <= 1e-5


def test_it_is_saved_and_read_again_and_its_class_token_is_of_the_tower(tmp_path):
    encoder = load_encoder(SAVED)
    save_encoder(tmp_path / "ours", encoder.method, encoder.params, encoder.state)
    again = load_encoder(tmp_path / "ours")
    assert again.method == encoder.method
    assert again.method.encoder.parts.attention_pooling == CrossAttentionPooling(12, 3)
    other = again.with_pooling("class_token")
    assert other.method.encoder.features == 16
    assert "attention_pooling" not in other.params["encoder"]


def test_other_libraries_have_no_such_pooling():
    network = read_network(SAVED)
    assert isinstance(network.encoder, ViTConfig)
    with pytest.raises(ValueError, match="pooling"):
        vit_to_timm(network.encoder, network.params, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visual.ln_contrast.bias": None}, "lacks the tensor visual.ln_contrast.bias"),
        ({"visual.attn_pool_contrast.attn.v_proj_weight": np.zeros((12, 12))}, r"v_proj_weight is"),
        ({"visual.attn_pool_contrast.query": np.zeros((2, 12))}, "2 queries pool an image"),
        ({"visual.head.proj.weight": np.zeros((3, 3))}, "does not use: visual.head.proj.weight"),
    ],
)
def test_other_tensors_are_refused(tmp_path, change, message):
    def changed(tensors):
        for name, array in change.items():
            tensors.pop(name, None)
            if array is not None:
                tensors[name] = array.astype(np.float32)

    folder = copied(SAVED, tmp_path)
    with_tensors(folder, changed)
    with pytest.raises(ValueError, match=message):
        read_network(folder)


def test_heads_that_do_not_divide_the_pooling_are_refused(tmp_path):
    folder = copied(SAVED, tmp_path)
    with_configuration(folder, attn_pooler_heads=5)
    with pytest.raises(ValueError, match=r"config.json.*heads 5 must divide width 12"):
        read_network(folder)
