"""Networks for images of other than three channels need a word on how pixels are normalised."""

import json
import pathlib
import shutil

import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models.weights import read_network
from tests.support.convolutional_encoders import tensors, write

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def _of_one_channel(folder: pathlib.Path) -> None:
    """Rewrites a folder as that of a network for grey images, without a word on pixels."""
    (folder / "preprocessor_config.json").unlink(missing_ok=True)
    configuration = json.loads((folder / "config.json").read_text())
    for part in (configuration, configuration.get("vision_config", {})):
        if "num_channels" in part:
            part["num_channels"] = 1
    if "vision_config" in configuration:
        configuration["vision_config"]["num_channels"] = 1
    (folder / "config.json").write_text(json.dumps(configuration))
    file = folder / "model.safetensors"
    arrays = load_file(file)
    (name,) = (n for n, a in arrays.items() if a.ndim == 4 and a.shape[1] == 3 and a.shape[2] > 1)
    arrays[name] = arrays[name][:, :1].copy()
    for name in ("decoder.decoder_pred.weight", "decoder.decoder_pred.bias"):  # ViTMAE's pixels
        if name in arrays:
            arrays[name] = arrays[name][::3].copy()
    save_file(arrays, file)


@pytest.mark.parametrize(
    "network",
    [
        "encoders_beit_eva/hf_beit",
        "encoders_clip_convnext/clip",
        "encoders_clip_convnext/siglip",
        "encoders_swin_sam/sam",
        "encoders_swin_sam/swin",
        "encoders_vit/hf_dinov3",
        "encoders_vit/hf_vit_tanh",
        "weights/dinov2",
        "weights/resnet_basic",
        "weights/vit_mae",
        "efficientnet",
    ],
)
def test_pixels_are_refused_until_they_are_said(tmp_path, network):
    if "/" in network:
        folder = pathlib.Path(shutil.copytree(GOLDEN / network, tmp_path / "encoder"))
    else:
        folder = write(tmp_path, network)
    _of_one_channel(folder)
    with pytest.raises(ValueError, match="of 1 channels, and nothing says how") as caught:
        read_network(folder)
    assert str(folder) in str(caught.value)
    assert "encoder.json" in str(caught.value)
    (folder / "encoder.json").write_text(json.dumps({"mean": 0.25, "deviation": 0.5}))
    found = read_network(folder)
    assert (found.pixel_mean, found.pixel_deviation) == ((0.25,), (0.5,))


def test_three_channels_have_their_processor_s_usual_numbers():
    found = read_network(GOLDEN / "encoders_vit" / "hf_vit_tanh")
    assert (found.pixel_mean, found.pixel_deviation) == ((0.5,), (0.5,))


def test_a_swin_of_one_channel_alone_is_refused():
    with pytest.raises(ValueError, match="a Swin for images of 1 channels"):
        read_network(GOLDEN / "encoders_swin_sam" / "timm_swin_windows" / "model.safetensors")


def test_a_resnet_of_timm_without_its_pixels_is_refused_as_timm_s_others(tmp_path):
    folder = write(tmp_path, "resnext")
    configuration = json.loads((folder / "config.json").read_text())
    del configuration["pretrained_cfg"]
    (folder / "config.json").write_text(json.dumps(configuration))
    with pytest.raises(ValueError, match=r"config.json: pretrained_cfg has no mean and std"):
        read_network(folder)
    assert "conv1.weight" in tensors("resnext")  # torchvision's names
    alone = read_network(folder / "model.safetensors")  # as version 0.1.0 reads torchvision's
    assert alone.pixel_mean == (0.485, 0.456, 0.406)
