"""Fields of a folder's configuration that hold another kind of value are named, with the file."""

import json
import pathlib
import shutil

import pytest

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
