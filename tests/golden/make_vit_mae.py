"""Makes vit_mae.npz: float64 losses, latent and gradients of a tiny ViTMAE of transformers.

Run in an environment of its own: pip install torch==2.13.0 transformers==5.23.0 numpy; python
make_vit_mae.py
"""

import pathlib

import numpy as np
import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining
from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

torch.manual_seed(0)
config = ViTMAEConfig(
    image_size=24,
    patch_size=6,
    num_channels=3,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    decoder_hidden_size=16,
    decoder_num_hidden_layers=2,
    decoder_num_attention_heads=2,
    decoder_intermediate_size=24,
    mask_ratio=0.4,
    layer_norm_eps=1e-6,
    norm_pix_loss=True,
)
model = ViTMAEForPreTraining(config).double().train()
with torch.no_grad():
    for name, parameter in model.named_parameters():
        if "position" in name or "pos_embed" in name:
            # A fresh model may hold zeros here, which would hide a mistake: transformers' own
            # function fills them.
            width = parameter.shape[-1]
            positions = build_2d_sinusoidal_position_embedding(
                4, 4, embed_dim=width, cls_token=True, dtype=torch.float64
            )
            # As the model's own _init_weights does: the column's half before the row's.
            parameter.copy_(
                torch.cat([positions[:, width // 2 :], positions[:, : width // 2]], dim=1)[None]
            )
        elif (
            name.endswith("layernorm.weight")
            or ("layernorm_" in name and name.endswith("weight"))
            or "norm.weight" in name
        ):
            parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
        else:
            parameter.copy_(0.2 * torch.randn_like(parameter))
        if not ("position" in name or "pos_embed" in name):
            parameter.copy_(parameter.float().double())  # exactly what float32 holds

generator = np.random.default_rng(0)
images = generator.integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
noise = generator.uniform(size=(3, 16))
pixels = torch.as_tensor(images / 255.0).permute(0, 3, 1, 2)

arrays = {"images": images, "noise": noise}
for norm_pix in (False, True):
    model.config.norm_pix_loss = norm_pix
    model.zero_grad()
    output = model(pixel_values=pixels, noise=torch.as_tensor(noise))
    output.loss.backward()
    arrays[f"loss.norm_pix={norm_pix}"] = output.loss.detach().numpy()
latent = model.vit(pixel_values=pixels, noise=torch.as_tensor(noise)).last_hidden_state
arrays["latent"] = latent.detach().numpy()
for name, parameter in model.named_parameters():
    arrays[f"weight.{name}"] = parameter.detach().numpy().astype(np.float32)
    if parameter.requires_grad and parameter.grad is not None:
        arrays[f"gradient.{name}"] = parameter.grad.numpy().astype(
            np.float32
        )  # of the loss with norm_pix
        assert (
            np.abs(parameter.grad.numpy()).max() > 0
            or name.endswith("key.bias")
            or "k_proj.bias" in name
        ), name
np.savez_compressed(pathlib.Path(__file__).with_name("vit_mae.npz"), **arrays)
print({name: array.shape for name, array in arrays.items()})
