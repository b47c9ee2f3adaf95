"""Fields of a folder's configuration that hold another kind of value are named, with the file."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models.weights import read_network

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(
    ("network", "field", "value", "message"),
    [
        ("encoders_swin_sam/swin", "window_size", [4, 4], r"window_size is \[4, 4\]"),
        ("encoders_swin_sam/swin", "window_size", {"a": 1}, "window_size is"),
        ("encoders_vit/hf_dinov3", "num_register_tokens", float("inf"), "is inf; it must be"),
        ("encoders_vit/hf_dinov3", "num_register_tokens", 2.5, "is 2.5; it must be"),
        ("encoders_vit/plain", "model_args", {"img_size": 7}, "7 is not a multiple of patch_size"),
    ],
)
def test_it_is_refused_by_name(tmp_path, network, field, value, message):
    folder = pathlib.Path(shutil.copytree(GOLDEN / network, tmp_path / "encoder"))
    configuration = json.loads((folder / "config.json").read_text())
    if isinstance(configuration.get(field), dict):
        value = {**configuration[field], **value}
    (folder / "config.json").write_text(json.dumps({**configuration, field: value}))
    with pytest.raises(ValueError, match=message) as caught:
        read_network(folder)
    assert str(folder) in str(caught.value)


def test_a_size_that_patches_do_not_divide_names_the_file():
    with pytest.raises(ValueError, match=r"hf_registers.*70 is not a multiple"):
        read_network(GOLDEN / "encoders_vit" / "hf_registers", image_size=70)


@pytest.fixture
def beit(tmp_path):
    folder = GOLDEN / "encoders_beit_eva" / "hf_beit_masked"
    return pathlib.Path(shutil.copytree(folder, tmp_path / "encoder"))


def test_a_null_in_a_preprocessor_is_its_default(beit):
    # transformers 5: what is null keeps the class's value, which is to rescale and to normalise.
    settings = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    settings |= {"do_rescale": None, "do_normalize": None}
    (beit / "preprocessor_config.json").write_text(json.dumps(settings))
    network = read_network(beit)
    assert (network.pixel_mean, network.pixel_deviation) == ((0.5,) * 3, (0.25,) * 3)


def test_a_byte_order_mark_and_settings_of_training_change_nothing(beit):
    settings = json.loads((beit / "config.json").read_text())
    settings |= {"gradient_checkpointing": True, "attn_implementation": "sdpa"}
    expected = read_network(beit).encoder
    (beit / "config.json").write_text(json.dumps(settings), encoding="utf-8-sig")
    assert read_network(beit).encoder == expected


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_finite_numbers_are_named(beit, value):
    tensors = load_file(beit / "model.safetensors")
    name = next(name for name in tensors if name.endswith("layernorm_before.weight"))
    tensors[name][0] = value
    save_file(tensors, beit / "model.safetensors")
    with pytest.raises(ValueError, match=r"layer\.0\.layernorm_before\.weight holds values"):
        read_network(beit)


def test_a_prefix_that_nobody_said_is_asked_for(tmp_path):
    folder = GOLDEN / "encoders_beit_eva" / "facebook_dinov2"
    folder = pathlib.Path(shutil.copytree(folder, tmp_path / "encoder"))
    tensors = load_file(folder / "model.safetensors")
    save_file({f"teacher.{k}": v for k, v in tensors.items()}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"\(such as teacher\..*do not tell it: .*prefix"):
        read_network(folder)
