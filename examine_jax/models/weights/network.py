"""Networks that others trained, from a local file or folder."""

import dataclasses
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.masked_autoencoder import DecoderConfig
from examine_jax.models.positions import sincos_positions
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights import resnet, vit
from examine_jax.models.weights.positions import resample_positions
from examine_jax.models.weights.tensors import Tensors, read_tensors, refuse_pickle

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALVES = ((0.5,), (0.5,))
_RAW = ((0.0,), (1.0,))
_Scale = tuple[tuple[float, ...], tuple[float, ...]]
_MODEL_TYPES = ("vit_mae", "vit", "dinov2", "resnet")
_LARGEST_CONFIGURATION = 1 << 22  # bytes


@dataclasses.dataclass(frozen=True, eq=False)
class ImportedDecoder:
    """What a ViTMAE has behind its encoder."""

    config: DecoderConfig
    params: PyTree
    mask_ratio: float
    norm_pix: bool


@dataclasses.dataclass(frozen=True, eq=False)
class ImportedNetwork:
    """A network with its weights.

    Attributes:
        encoder: what it is; params, batch_stats: of its module, float32.
        pixel_mean, pixel_deviation: what pixels in [0, 1] are normalised with, one for all channels or one each.
        decoder: of a ViTMAE whose decoder's positions are the fixed ones. None: there is none.
    """

    encoder: ViTConfig | ResNetConfig
    params: PyTree
    batch_stats: PyTree
    pixel_mean: tuple[float, ...]
    pixel_deviation: tuple[float, ...]
    decoder: ImportedDecoder | None = None


def read_network(path: pathlib.Path, *, image_size: int | None = None) -> ImportedNetwork:
    """Reads what others' libraries wrote: nothing is downloaded and nothing unpickled.

    path: a folder with config.json and model.safetensors, as transformers' save_pretrained (ViTMAE, ViT, DINOv2, ResNet) or timm (ResNet)
    writes it, or a .safetensors file with the state dict of a torchvision or timm ResNet. A folder's preprocessor_config.json says how
    pixels are normalised; without it ViTs take (x - 0.5) / 0.5, all others ImageNet's mean and deviation, and images of other than
    three channels stay in [0, 1].

    image_size: None: the one the network was trained at (224 for a bare ResNet). At another, a ViT's positions are resampled (bicubic, as
    transformers does it) and so become learned ones.

    Raises:
        ValueError: it is of another kind, a pickle (with the conversion to run), or lacks a tensor or has one of another shape; says which.
    """
    if path.is_dir():
        return _read_folder(path, image_size)
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    tensors = read_tensors(path)
    return _resnet(tensors, image_size, None)


def _read_folder(folder: pathlib.Path, image_size: int | None) -> ImportedNetwork:
    configuration = read_json(folder / "config.json")
    kind = configuration.get("model_type")
    is_timm = kind is None and "resnet" in str(configuration.get("architecture"))
    if kind not in _MODEL_TYPES and not is_timm:
        raise ValueError(
            f"{folder / 'config.json'}: model_type is {kind!r}; what can be read: {', '.join(_MODEL_TYPES)}, timm's ResNets"
        )
    file = folder / "model.safetensors"
    if not file.is_file():
        for name in ("pytorch_model.bin", "pytorch_model.pt"):
            if (folder / name).is_file():
                refuse_pickle(folder / name)
        sharded = (folder / "model.safetensors.index.json").is_file()
        raise ValueError(
            f"{folder} has no model.safetensors"
            + (
                "; it is in several files: save it in one, save_pretrained(..., max_shard_size='99GB')"
                if sharded
                else ""
            )
        )
    tensors = read_tensors(file)
    if is_timm:
        said = configuration.get("pretrained_cfg")
        said = said if isinstance(said, dict) else {}
        return _resnet(tensors, image_size, _scale(said.get("mean"), said.get("std"), 1.0, folder / "config.json"))
    pixels = _preprocessing(folder / "preprocessor_config.json")
    where = str(folder / "config.json")
    if kind == "resnet":
        for field in ("downsample_in_bottleneck", "downsample_in_first_stage"):
            if configuration.get(field):
                raise ValueError(f"{where}: {field} is set; such a ResNet cannot be read")
        return _resnet(resnet.with_torchvision_names(tensors), image_size, pixels)
    return _vit(tensors, str(kind), configuration, where, image_size, pixels)


def _resnet(tensors: Tensors, image_size: int | None, pixels: _Scale | None) -> ImportedNetwork:
    config = resnet.resnet_config(tensors, image_size)
    params, stats = jax.tree.map(jnp.asarray, resnet.resnet_variables(tensors, config))
    mean, deviation = pixels or (_IMAGENET if config.channels == 3 else _RAW)
    return ImportedNetwork(config, params, stats, mean, deviation)


def _vit(
    tensors: Tensors,
    kind: str,
    configuration: dict[str, Any],
    where: str,
    image_size: int | None,
    pixels: _Scale | None,
) -> ImportedNetwork:
    stored = _vit_config(configuration, kind, where)
    prefix = next((p for p in ("vit.", "dinov2.") if f"{p}embeddings.cls_token" in tensors.arrays), "")
    if kind == "dinov2":
        names = vit.DINOV2_SWIGLU_NAMES if stored.mlp == "swiglu" else vit.DINOV2_NAMES
    else:
        names, tensors = vit.VIT_NAMES, vit.with_names_on_disk(tensors)
    params = vit.encoder_parameters(tensors, stored, names, prefix)
    positions = tensors.take(f"{prefix}embeddings.position_embeddings", (1, 1 + stored.num_patches, stored.width))[0]
    config = stored if image_size is None else dataclasses.replace(stored, image_size=image_size)
    side = config.image_size // config.patch_size
    if config.num_patches == stored.num_patches and kind == "vit_mae" and _is_sincos(positions):
        config = dataclasses.replace(config, positions="sincos")
    else:
        params["positions"] = resample_positions(positions[1:], side)
    params["class_token"] = params["class_token"] + positions[0]
    decoder = None
    if kind == "vit_mae" and config.num_patches == stored.num_patches:
        decoder = _decoder(tensors, configuration, stored, where)
    default = _RAW if config.channels != 3 and kind != "vit" else _HALVES if kind == "vit" else _IMAGENET
    mean, deviation = pixels or default
    return ImportedNetwork(config, jax.tree.map(jnp.asarray, params), {}, mean, deviation, decoder)


def _vit_config(configuration: dict[str, Any], kind: str, where: str) -> ViTConfig:
    def number(name: str) -> int:
        value = configuration.get(name)
        if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
            value = value[0]
        if not isinstance(value, int) or value < 1:
            raise ValueError(
                f"{where}: {name} is {value!r}; it must be a whole number from 1 (squares alone can be read)"
            )
        return value

    swiglu = bool(configuration.get("use_swiglu_ffn")) and kind == "dinov2"
    activation = configuration.get("hidden_act", "gelu")
    if activation != "gelu" and not swiglu:
        raise ValueError(f"{where}: hidden_act is {activation!r}; only 'gelu' can be read")
    width = number("hidden_size")
    if kind != "dinov2":
        mlp_width = number("intermediate_size")
    else:
        mlp_width = width * number("mlp_ratio")
        if swiglu:
            mlp_width = (mlp_width * 2 // 3 + 7) // 8 * 8
    try:
        return ViTConfig(
            image_size=number("image_size"),
            patch_size=number("patch_size"),
            channels=number("num_channels"),
            width=width,
            depth=number("num_hidden_layers"),
            heads=number("num_attention_heads"),
            mlp_width=mlp_width,
            pooling="mean" if kind == "vit_mae" else "class_token",
            layer_norm_epsilon=float(configuration.get("layer_norm_eps", 1e-12 if kind != "dinov2" else 1e-6)),
            positions="learned",
            qkv_bias=bool(configuration.get("qkv_bias", True)),
            mlp="swiglu" if swiglu else "gelu",
            layer_scale=float(configuration.get("layerscale_value", 1.0)) if kind == "dinov2" else None,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def _decoder(tensors: Tensors, configuration: dict[str, Any], encoder: ViTConfig, where: str) -> ImportedDecoder | None:
    """None where there is none, or one whose positions are not the fixed ones that a MaskedDecoder has."""
    positions = tensors.arrays.get("decoder.decoder_pos_embed")
    if (
        positions is None
        or positions.ndim != 3
        or not _is_sincos(positions[0])
        or not configuration.get("qkv_bias", True)
    ):
        return None
    try:
        config = DecoderConfig(
            width=configuration["decoder_hidden_size"],
            depth=configuration["decoder_num_hidden_layers"],
            heads=configuration["decoder_num_attention_heads"],
            mlp_width=configuration["decoder_intermediate_size"],
        )
        mask_ratio, norm_pix = float(configuration["mask_ratio"]), bool(configuration["norm_pix_loss"])
    except KeyError as error:
        raise ValueError(f"{where} lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error
    params = jax.tree.map(jnp.asarray, vit.decoder_parameters(tensors, encoder, config))
    return ImportedDecoder(config, params, mask_ratio, norm_pix)


def _is_sincos(positions: np.ndarray) -> bool:
    """Whether positions, the class token's first, are the fixed ones, to the rounding of float32."""
    side = round((len(positions) - 1) ** 0.5)
    if side**2 != len(positions) - 1 or positions.shape[1] % 4 or positions[0].any():
        return False
    return bool(np.abs(positions[1:] - sincos_positions(side, positions.shape[1])).max() < 1e-5)


def _preprocessing(file: pathlib.Path) -> _Scale | None:
    if not file.is_file():
        return None
    settings = read_json(file)
    # Pixels are bytes * rescale_factor there, bytes / 255 here.
    factor = 255 * float(settings.get("rescale_factor", 1 / 255)) if settings.get("do_rescale", True) else 255.0
    mean, deviation = settings.get("image_mean"), settings.get("image_std")
    if not settings.get("do_normalize", True):
        mean, deviation = [0.0], [1.0]
    return _scale(mean, deviation, factor, file)


def _scale(mean: Any, deviation: Any, factor: float, where: pathlib.Path) -> _Scale | None:
    if mean is None or deviation is None:
        return None
    try:
        return tuple(float(value) / factor for value in mean), tuple(float(value) / factor for value in deviation)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: mean {mean!r} and deviation {deviation!r} are no lists of numbers") from error


def read_json(file: pathlib.Path) -> dict[str, Any]:
    """A JSON object out of a file.

    Raises:
        ValueError: it is missing, too large, no JSON or no object; says which.
    """
    if not file.is_file():
        raise ValueError(f"{file.parent} has no {file.name}")
    if file.stat().st_size > _LARGEST_CONFIGURATION:
        raise ValueError(f"{file} is larger than {_LARGEST_CONFIGURATION >> 20} MiB, too large for a configuration")
    try:
        content = json.loads(file.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} is not readable JSON settings: it holds a {type(content).__name__}")
    return content
