"""Vision transformers between transformers' tensor names and the parameters here."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.masked_autoencoder import DecoderConfig
from examine_jax.models.positions import sincos_positions
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.tensors import Tensors


class BlockNames(NamedTuple):
    """What a block's parts are called within it."""

    norm_1: str
    norm_2: str
    expand: str
    contract: str


VIT_NAMES = BlockNames("layernorm_before", "layernorm_after", "intermediate.dense", "output.dense")
DINOV2_NAMES = BlockNames("norm1", "norm2", "mlp.fc1", "mlp.fc2")
DINOV2_SWIGLU_NAMES = BlockNames("norm1", "norm2", "mlp.weights_in", "mlp.weights_out")

# transformers 5 names ViT's and ViTMAE's tensors otherwise in memory than in the files of its save_pretrained and of the hub.
_IN_MEMORY = (
    (r"^(vit\.|)layers\.", r"\1encoder.layer."),
    (r"^decoder\.decoder_encoder\.layer\.", "decoder.decoder_layers."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)


def with_names_on_disk(tensors: Tensors) -> Tensors:
    """The same tensors of a ViT or ViTMAE under the names that transformers 4 gives them, whichever of its versions named them."""

    def rename(name: str) -> str:
        for pattern, replacement in _IN_MEMORY:
            name = re.sub(pattern, replacement, name)
        return name

    return Tensors({rename(name): array for name, array in tensors.arrays.items()}, tensors.where)


def encoder_parameters(tensors: Tensors, config: ViTConfig, names: BlockNames, prefix: str) -> PyTree:
    """Parameters of a VisionTransformer with a class token and a final norm, without positions."""
    filters = tensors.take(
        f"{prefix}embeddings.patch_embeddings.projection.weight",
        (config.width, config.channels, config.patch_size, config.patch_size),
    )
    return {
        "patch_embedding": {
            # Rows run over (p, q, channel) here.
            "kernel": filters.transpose(2, 3, 1, 0).reshape(-1, config.width),
            "bias": tensors.take(f"{prefix}embeddings.patch_embeddings.projection.bias", (config.width,)),
        },
        "class_token": tensors.take(f"{prefix}embeddings.cls_token", (1, 1, config.width)).reshape(-1),
        **{f"block_{i}": _block(tensors, config, names, f"{prefix}encoder.layer.{i}") for i in range(config.depth)},
        "norm": tensors.norm(f"{prefix}layernorm", config.width),
    }


def decoder_parameters(tensors: Tensors, encoder: ViTConfig, config: DecoderConfig) -> PyTree:
    """Parameters of a MaskedDecoder."""
    return {
        "embedding": tensors.dense("decoder.decoder_embed", encoder.width, config.width),
        "mask_token": tensors.take("decoder.mask_token", (1, 1, config.width)).reshape(-1),
        **{
            f"block_{i}": _block(tensors, config, VIT_NAMES, f"decoder.decoder_layers.{i}") for i in range(config.depth)
        },
        "norm": tensors.norm("decoder.decoder_norm", config.width),
        "pixels": tensors.dense("decoder.decoder_pred", config.width, encoder.patch_values),
    }


def from_vit_mae(tensors: Mapping[str, np.ndarray], encoder: ViTConfig, decoder: DecoderConfig) -> PyTree:
    """Parameters {"encoder", "decoder"} of a MaskedAutoencoder from a ViTMAEForPreTraining's tensors, by either version's names.

    The positions are not read: both sides compute the same.

    Raises:
        ValueError: a tensor is missing or of another shape; says which.
    """
    named = with_names_on_disk(Tensors(tensors, "the ViTMAE"))
    params = {
        "encoder": encoder_parameters(named, encoder, VIT_NAMES, "vit."),
        "decoder": decoder_parameters(named, encoder, decoder),
    }
    return jax.tree.map(jnp.asarray, params)


def _block(tensors: Tensors, config: ViTConfig | DecoderConfig, names: BlockNames, name: str) -> PyTree:
    width, mlp_width = config.width, config.mlp_width
    bias, gated, scaled = True, False, False
    if isinstance(config, ViTConfig):
        bias, gated, scaled = config.qkv_bias, config.mlp == "swiglu", config.layer_scale is not None
    parts = [
        tensors.dense(f"{name}.attention.attention.{part}", width, width, bias) for part in ("query", "key", "value")
    ]
    block = {
        "norm_1": tensors.norm(f"{name}.{names.norm_1}", width),
        "attention": {
            "qkv": {key: np.concatenate([part[key] for part in parts], axis=-1) for key in parts[0]},
            "projection": tensors.dense(f"{name}.attention.output.dense", width, width),
        },
        "norm_2": tensors.norm(f"{name}.{names.norm_2}", width),
        "expand": tensors.dense(f"{name}.{names.expand}", width, (2 if gated else 1) * mlp_width),
        "contract": tensors.dense(f"{name}.{names.contract}", mlp_width, width),
    }
    if scaled:
        block |= {f"scale_{i}": tensors.take(f"{name}.layer_scale{i}.lambda1", (width,)) for i in (1, 2)}
    return block


def vit_mae_tensors(encoder: ViTConfig, decoder: DecoderConfig, params: PyTree) -> dict[str, np.ndarray]:
    """A masked autoencoder's parameters as a ViTMAEForPreTraining's tensors, float32, under the names of transformers' files.

    Raises:
        ValueError: ViTMAE has no place for something this encoder has, or asks for something it lacks; says what.
    """
    for obstacle, present in (
        ("no class token", not encoder.class_token),
        ("no layer norm at its end", not encoder.final_norm),
        ("layer scale", encoder.layer_scale is not None),
        ("a SwiGLU", encoder.mlp != "gelu"),
        ("no bias on queries, keys and values while its decoder has one", not encoder.qkv_bias),
    ):
        if present:
            raise ValueError(f"transformers' ViTMAE has no such encoder: this one has {obstacle}")
    tensors: dict[str, np.ndarray] = {}

    def dense(name: str, part: PyTree) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = part["kernel"].T, part["bias"]

    def norm(name: str, part: PyTree) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = part["scale"], part["bias"]

    def block(name: str, part: PyTree) -> None:
        kernels = np.split(np.asarray(part["attention"]["qkv"]["kernel"]), 3, axis=-1)
        biases = np.split(np.asarray(part["attention"]["qkv"]["bias"]), 3)
        for which, kernel, bias in zip(("query", "key", "value"), kernels, biases):
            dense(f"{name}.attention.attention.{which}", {"kernel": kernel, "bias": bias})
        dense(f"{name}.attention.output.dense", part["attention"]["projection"])
        norm(f"{name}.{VIT_NAMES.norm_1}", part["norm_1"])
        norm(f"{name}.{VIT_NAMES.norm_2}", part["norm_2"])
        dense(f"{name}.{VIT_NAMES.expand}", part["expand"])
        dense(f"{name}.{VIT_NAMES.contract}", part["contract"])

    ours, theirs = params["encoder"], "vit.embeddings"
    side, size = encoder.image_size // encoder.patch_size, encoder.patch_size
    filters = np.asarray(ours["patch_embedding"]["kernel"]).reshape(size, size, encoder.channels, encoder.width)
    positions = ours["positions"] if encoder.positions == "learned" else sincos_positions(side, encoder.width)
    tensors[f"{theirs}.patch_embeddings.projection.weight"] = filters.transpose(3, 2, 0, 1)
    tensors[f"{theirs}.patch_embeddings.projection.bias"] = ours["patch_embedding"]["bias"]
    tensors[f"{theirs}.cls_token"] = np.reshape(ours["class_token"], (1, 1, -1))
    tensors[f"{theirs}.position_embeddings"] = _with_class_position(positions)
    for i in range(encoder.depth):
        block(f"vit.encoder.layer.{i}", ours[f"block_{i}"])
    norm("vit.layernorm", ours["norm"])

    ours = params["decoder"]
    dense("decoder.decoder_embed", ours["embedding"])
    tensors["decoder.mask_token"] = np.reshape(ours["mask_token"], (1, 1, -1))
    tensors["decoder.decoder_pos_embed"] = _with_class_position(sincos_positions(side, decoder.width))
    for i in range(decoder.depth):
        block(f"decoder.decoder_layers.{i}", ours[f"block_{i}"])
    norm("decoder.decoder_norm", ours["norm"])
    dense("decoder.decoder_pred", ours["pixels"])
    return {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}


def _with_class_position(positions: np.ndarray) -> np.ndarray:
    """[1, 1 + tokens, width]: the class token's position, zero, before the others."""
    return np.concatenate([np.zeros_like(positions[:1]), positions])[None]
