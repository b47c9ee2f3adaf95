"""Makes low_rank.npz: PEFT's LoRA on the timm network in encoders_vit/plain, and timm's layers.

Run in an environment of its own: pip install torch==2.14.0 torchvision timm==1.0.31 peft==0.21.2
safetensors; python make_low_rank.py

low_rank.npz holds, for each adapted layer, A [rank, inputs] and B [outputs, rank] of PEFT, the
images, and the features with the adapter, as float64 computes them. layer_decay.json holds the
share of the learning rate that timm gives each parameter of some networks.
"""

import json
import pathlib

import numpy as np
import timm
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from timm.optim import param_groups_layer_decay

HERE = pathlib.Path(__file__).parent
RANK, SCALE, DECAY = 3, 5.0, 0.5
LAYERS = r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.fc[12])"
NETWORKS = {
    "vit": ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}),
    "vit_registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 28, "depth": 2}),
    "vit_pooled_norm": ("vit_base_patch16_gap_224", {"img_size": 32, "depth": 2}),
    "vit_embedding_norm": ("vit_base_patch16_clip_224", {"img_size": 32, "depth": 2}),
    "resnet": ("resnet18", {}),
    "convnext": ("convnext_atto", {}),
    "swin": ("swin_tiny_patch4_window7_224", {}),
    "densenet": ("densenet121", {}),
    "efficientnet": ("tf_efficientnet_lite0", {}),
}


def adapted() -> dict[str, np.ndarray]:
    folder = HERE / "encoders_vit" / "plain"
    configuration = json.loads((folder / "config.json").read_text())
    network = timm.create_model(configuration["architecture"], **configuration["model_args"])
    network.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    torch.manual_seed(0)
    config = LoraConfig(r=RANK, lora_alpha=SCALE, target_modules=LAYERS, init_lora_weights=False)
    network = get_peft_model(network, config).double().eval()
    found = {
        name.split("model.", 2)[-1].replace(".default", ""): value.detach().numpy()
        for name, value in network.named_parameters()
        if "lora_" in name
    }
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    # The folder's own normalisation.
    own = configuration["pretrained_cfg"]
    mean, deviation = (
        torch.tensor(own[name], dtype=torch.float64).reshape(1, 3, 1, 1) for name in ("mean", "std")
    )
    with torch.no_grad():
        features = network((scaled - mean) / deviation).numpy()
    return {
        **{name: value.astype(np.float32) for name, value in found.items()},
        "images": images,
        "features": features,
        "scale": np.array(SCALE),
    }


def shares() -> dict[str, dict[str, float]]:
    found = {}
    for name, (variant, arguments) in NETWORKS.items():
        network = timm.create_model(variant, **arguments)
        names = {id(value): own for own, value in network.named_parameters()}
        groups = param_groups_layer_decay(network, layer_decay=DECAY)
        found[name] = {
            names[id(value)]: group["lr_scale"] for group in groups for value in group["params"]
        }
    return found


if __name__ == "__main__":
    np.savez_compressed(HERE / "low_rank.npz", **adapted())
    (HERE / "layer_decay.json").write_text(json.dumps(shares()) + "\n")
