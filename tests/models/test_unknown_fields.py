"""A field of a configuration that is not known is refused, whatever its value."""

import json
import pathlib
import shutil

import pytest

from examine_jax.models.weights import read_network
from examine_jax.models.weights.configuration import refuse_unknown_fields

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
# The fields of PretrainedConfig that files of transformers 4 have for every network, beside null.
VERSION_4 = {
    "_name_or_path": "",
    "_attn_implementation_autoset": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "is_decoder": False,
    "is_encoder_decoder": False,
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "length_penalty": 1.0,
    "max_length": 20,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "pruned_heads": {},
    "remove_invalid_values": False,
    "repetition_penalty": 1.0,
    "return_dict": True,
    "return_dict_in_generate": False,
    "temperature": 1.0,
    "tf_legacy_loss": False,
    "tie_encoder_decoder": False,
    "tie_word_embeddings": True,
    "top_k": 50,
    "top_p": 1.0,
    "torchscript": False,
    "typical_p": 1.0,
    "use_bfloat16": False,
}


def test_what_transformers_writes_for_every_network_changes_nothing():
    refuse_unknown_fields(VERSION_4, (), "config.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("use_bias", False),
        ("scale_by_keep", 0),
        ("attention_window", ""),
        ("extra_norms", []),
        ("use_bias", True),
        # Unset in every configuration; set, they change the network.
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("pruned_heads", {"0": [1]}),
    ],
)
def test_others_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"config.json: the field {field} \(.* is not known"):
        refuse_unknown_fields({field: value}, ("hidden_size",), "config.json")


def test_a_null_in_encoder_json_takes_a_field_away(tmp_path):
    folder = pathlib.Path(shutil.copytree(GOLDEN / "weights" / "vit", tmp_path / "vit"))
    configuration = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**configuration, "use_bias": False}))
    with pytest.raises(ValueError, match="the field use_bias"):
        read_network(folder)
    (folder / "encoder.json").write_text(json.dumps({"configuration": {"use_bias": None}}))
    assert read_network(folder).encoder == read_network(GOLDEN / "weights" / "vit").encoder
