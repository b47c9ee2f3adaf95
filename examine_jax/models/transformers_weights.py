"""Weights of transformers' ViTMAE as parameters of the masked autoencoder here."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax._shapes import PyTree


def from_vit_mae(tensors: Mapping[str, np.ndarray]) -> PyTree:
    """Parameters {"encoder", "decoder"} of a MaskedAutoencoder from the state_dict() of a ViTMAEForPreTraining (transformers 5;
    not yet the names that its save_pretrained writes).

    The positions are not read: both sides compute the same.

    Raises:
        ValueError: a tensor is missing; says which.
    """

    def tensor(name: str) -> np.ndarray:
        if name not in tensors:
            raise ValueError(f"no ViTMAE: the tensor {name} is missing")
        return np.asarray(tensors[name])

    def dense(name: str) -> PyTree:
        return {"kernel": tensor(f"{name}.weight").T, "bias": tensor(f"{name}.bias")}

    def norm(name: str) -> PyTree:
        return {"scale": tensor(f"{name}.weight"), "bias": tensor(f"{name}.bias")}

    def block(name: str) -> PyTree:
        parts = [dense(f"{name}.attention.{part}_proj") for part in "qkv"]
        fused = {key: np.concatenate([part[key] for part in parts], axis=-1) for key in ("kernel", "bias")}
        return {
            "norm_1": norm(f"{name}.layernorm_before"),
            "attention": {"qkv": fused, "projection": dense(f"{name}.attention.o_proj")},
            "norm_2": norm(f"{name}.layernorm_after"),
            "expand": dense(f"{name}.mlp.fc1"),
            "contract": dense(f"{name}.mlp.fc2"),
        }

    def blocks(prefix: str) -> PyTree:
        count = len({name[len(prefix) + 1 :].split(".")[0] for name in tensors if name.startswith(prefix + ".")})
        return {f"block_{i}": block(f"{prefix}.{i}") for i in range(count)}

    filters = tensor(
        "vit.embeddings.patch_embeddings.projection.weight"
    )  # [width, channels, p, q]; here rows run over (p, q, channel)
    encoder = {
        "patch_embedding": {
            "kernel": filters.transpose(2, 3, 1, 0).reshape(-1, len(filters)),
            "bias": tensor("vit.embeddings.patch_embeddings.projection.bias"),
        },
        "class_token": tensor("vit.embeddings.cls_token").reshape(-1),
        **blocks("vit.layers"),
        "norm": norm("vit.layernorm"),
    }
    decoder = {
        "embedding": dense("decoder.decoder_embed"),
        "mask_token": tensor("decoder.mask_token").reshape(-1),
        **blocks("decoder.decoder_layers"),
        "norm": norm("decoder.decoder_norm"),
        "pixels": dense("decoder.decoder_pred"),
    }
    return jax.tree.map(jnp.asarray, {"encoder": encoder, "decoder": decoder})
