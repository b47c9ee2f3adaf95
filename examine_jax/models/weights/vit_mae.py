"""transformers' ViTMAE, read and written."""

import dataclasses
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.masked_autoencoder import DecoderConfig
from examine_jax.models.positions import sincos_positions
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.imported import (
    IMAGENET,
    ImportedDecoder,
    ImportedNetwork,
    StoredNetwork,
    usual_pixels,
)
from examine_jax.models.weights.positions import is_sincos
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.transformer import (
    block_parameters,
    read_transformer,
    transformer_config,
)
from examine_jax.models.weights.vit import VIT_NAMES, vit_names, with_names_on_disk


@dataclasses.dataclass(frozen=True)
class ViTMAEFamily:
    """ViTMAE, with the mean of its tokens as features, and its decoder."""

    name: str = "vit_mae"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") == "vit_mae"

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        pixels = stored.preprocessor_normalisation()
        config = transformer_config(stored.configuration, stored.where, pooling="mean")
        pixels = usual_pixels(pixels, IMAGENET, config.channels, stored.where)
        tensors = with_names_on_disk(stored.tensors)
        network = read_transformer(
            tensors, config, vit_names(tensors), image_size, pixels, fixed_positions=True
        )
        tensors.refuse_unused(r"decoder\.")
        if network.encoder.image_size != config.image_size:
            return network
        return dataclasses.replace(network, decoder=_decoder(tensors, stored, config))


def _decoder(tensors: Tensors, stored: StoredNetwork, encoder: ViTConfig) -> ImportedDecoder | None:
    """The decoder, if there is one that MaskedDecoder can hold: fixed positions, and biases."""
    configuration, where = stored.configuration, stored.where
    positions = tensors.arrays.get("decoder.decoder_pos_embed")
    if (
        positions is None
        or positions.ndim != 3
        or not is_sincos(positions[0])
        or not configuration.get("qkv_bias", True)
    ):
        return None
    try:
        config = DecoderConfig(
            width=configuration["decoder_hidden_size"],
            depth=operator.index(configuration["decoder_num_hidden_layers"]),
            heads=configuration["decoder_num_attention_heads"],
            mlp_width=configuration["decoder_intermediate_size"],
        )
        mask_ratio, norm_pix = (
            float(configuration["mask_ratio"]),
            bool(configuration["norm_pix_loss"]),
        )
    except KeyError as error:
        raise ValueError(f"{where} lacks {error}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{where}: {error}") from error
    params = on_device(decoder_parameters(tensors, encoder, config))
    return ImportedDecoder(config, params, mask_ratio, norm_pix)


def decoder_parameters(tensors: Tensors, encoder: ViTConfig, config: DecoderConfig) -> PyTree:
    """Parameters of a MaskedDecoder."""
    return {
        "embedding": tensors.dense("decoder.decoder_embed", encoder.width, config.width),
        "mask_token": tensors.take("decoder.mask_token", (1, 1, config.width)).reshape(-1),
        **{
            f"block_{i}": block_parameters(
                tensors, f"decoder.decoder_layers.{i}", VIT_NAMES, config.width, config.mlp_width
            )
            for i in range(config.depth)
        },
        "norm": tensors.norm("decoder.decoder_norm", config.width),
        "pixels": tensors.dense("decoder.decoder_pred", config.width, encoder.patch_values),
    }


def vit_mae_tensors(
    encoder: ViTConfig, decoder: DecoderConfig, params: PyTree
) -> dict[str, np.ndarray]:
    """A masked autoencoder's parameters as the tensors of a ViTMAEForPreTraining.

    Args:
        encoder, decoder: the configurations.
        params: {"encoder", "decoder"}.

    Returns:
        float32 arrays under the names of transformers' files.

    Raises:
        ValueError: the encoder has something that ViTMAE cannot hold, or lacks something that
            ViTMAE has.
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
    filters = np.asarray(ours["patch_embedding"]["kernel"]).reshape(
        size, size, encoder.channels, encoder.width
    )
    positions = (
        ours["positions"]
        if encoder.positions == "learned"
        else sincos_positions(side, encoder.width)
    )
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
    tensors["decoder.decoder_pos_embed"] = _with_class_position(
        sincos_positions(side, decoder.width)
    )
    for i in range(decoder.depth):
        block(f"decoder.decoder_layers.{i}", ours[f"block_{i}"])
    norm("decoder.decoder_norm", ours["norm"])
    dense("decoder.decoder_pred", ours["pixels"])
    return {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}


def _with_class_position(positions: np.ndarray) -> np.ndarray:
    """[1, 1 + tokens, width]: the class token's position, zero, before the others."""
    return np.concatenate([np.zeros_like(positions[:1]), positions])[None]
