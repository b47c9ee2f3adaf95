"""Image encoders of Segment Anything: transformers', Meta's (MedSAM's too) and timm's."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import Float, PyTree
from examine_jax.models.sam import SAMConfig
from examine_jax.models.weights.configuration import (
    positive_number,
    refuse_unknown_fields,
    whole_number,
)
from examine_jax.models.weights.imported import (
    IMAGENET,
    ImportedNetwork,
    PixelNormalisation,
    StoredNetwork,
    usual_pixels,
)
from examine_jax.models.weights.positions import resample_positions
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import (
    count_blocks,
    image_size_of,
    model_args,
    refuse_other_arguments,
    refuse_other_mlp_ratio,
    refuse_other_pool,
    shape_of,
    timm_name,
    timm_pixels,
)
from examine_jax.models.weights.transformer import activation, is_on, renamed

# To timm's names.
_TO_TIMM = (
    (r"^(image_encoder|vision_encoder)\.", ""),
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^layers\.", "blocks."),
    (r"\.layer_norm([12])\.", r".norm\1."),
    (r"\.mlp\.lin([12])\.", r".mlp.fc\1."),
    (r"^neck\.conv1\.", "neck.0."),
    (r"^neck\.norm1\.", "neck.1."),
    (r"^neck\.conv2\.", "neck.2."),
    (r"^neck\.norm2\.", "neck.3."),
)
# Of the prompts and masks, and of timm's classifier.
_UNUSED = r"prompt_encoder\.|mask_decoder\.|shared_image_embedding\.|head\.fc\."
_FIELDS = frozenset(
    {"hidden_size", "output_channels", "num_hidden_layers", "num_attention_heads", "num_channels"}
    | {"image_size", "patch_size", "hidden_act", "layer_norm_eps", "qkv_bias", "mlp_ratio"}
    | {"use_abs_pos", "use_rel_pos", "window_size", "global_attn_indexes", "mlp_dim"}
    # Of the prompts; and what transformers does not read.
    | {"num_pos_feats", "scale", "intermediate_size", "projection_dim"}
)
_PARTS = frozenset({"vision_config", "prompt_encoder_config", "mask_decoder_config"})
_TIMM_NAMES = re.compile(r"samvit_(base|large|huge)_patch16")


@dataclasses.dataclass(frozen=True)
class SAMFamily:
    """SAM as transformers or Meta writes it; MedSAM. The features are the mean of the neck's map.

    The files of Meta and MedSAM have no configuration: what it would say is read from the tensors.
    """

    name: str = "sam"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") in ("sam", "sam_vision_model")

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        given = configuration
        if configuration["model_type"] == "sam":
            refuse_unknown_fields(configuration, _PARTS | {"num_attention_heads"}, where)
            given = configuration.get("vision_config") or {
                name: value for name, value in configuration.items() if name not in _PARTS
            }
            if not isinstance(given, dict):
                raise ValueError(f"{where}: vision_config is {given!r}; it must be an object")
        refuse_unknown_fields(given, _FIELDS, where)
        tensors = _with_timms_names(stored.tensors)
        config = _config(
            tensors,
            given.get("num_attention_heads"),
            given.get("window_size"),
            given.get("global_attn_indexes"),
            _said_size(given, where),
            where,
            mlp=activation(given, where),
            layer_norm_epsilon=positive_number(given, "layer_norm_eps", 1e-6, where),
        )
        _check_fields(given, config, where)
        if image_size not in (None, config.image_size):
            raise ValueError(
                f"{where}: image_size {image_size}: SAM's image encoder takes "
                f"{config.image_size} x {config.image_size} pixels alone; timm resamples its "
                'positions, and so does {"architecture": "samvit_base_patch16"} (large, huge) in '
                "encoder.json"
            )
        pixels = stored.preprocessor_normalisation()
        pixels = usual_pixels(pixels, IMAGENET, config.channels, where)
        return _read(tensors, config, config, pixels)


@dataclasses.dataclass(frozen=True)
class TimmSAMFamily:
    """timm's SAM. Its norms have another epsilon, and positions are resampled to other sizes."""

    name: str = "timm's samvit"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        architecture = configuration.get("architecture")
        return isinstance(architecture, str) and bool(
            _TIMM_NAMES.fullmatch(timm_name(architecture))
        )

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        given = model_args(configuration, where)
        refuse_other_pool(configuration, given, where)
        tensors = _with_timms_names(stored.tensors)
        said = image_size_of(configuration, given, where)
        config = _config(
            tensors,
            given.get("num_heads"),
            given.get("window_size", 14),
            given.get("global_attn_indexes"),
            said,
            where,
            layer_norm_epsilon=1e-5,
        )
        facts = {
            "patch_size": config.patch_size,
            "in_chans": config.channels,
            "embed_dim": config.width,
            "depth": config.depth,
            "num_heads": config.heads,
            "qkv_bias": config.qkv_bias,
            "use_abs_pos": config.absolute_positions,
            "use_rel_pos": config.relative_positions,
            "neck_chans": config.neck,
            "qk_norm": False,
            "pre_norm": False,
            "use_rope": False,
        }
        taken = ("img_size", "window_size", "global_attn_indexes", "mlp_ratio", "global_pool")
        refuse_other_arguments(given, facts, taken, where)
        refuse_other_mlp_ratio(given, config.width, (config.mlp_width,), where)
        try:
            asked = dataclasses.replace(config, image_size=image_size or said or config.image_size)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        return _read(tensors, config, asked, timm_pixels(stored, config.channels))


@dataclasses.dataclass(frozen=True)
class BareSAMFamily:
    """A file under Meta's names alone, which may be SAM's or MedSAM's: it is refused."""

    def recognises(self, tensors: Tensors) -> bool:
        return "image_encoder.patch_embed.proj.weight" in tensors.arrays

    def read(self, tensors: Tensors, image_size: int | None) -> ImportedNetwork:
        raise ValueError(
            f"{tensors.where}: SAM's ViT-B and MedSAM have the same tensors and other pixels: put "
            "the file into a folder as model.safetensors with an encoder.json that says which it "
            'is: {"known": "sam-vit-b"} or {"known": "medsam"}'
        )


def _with_timms_names(tensors: Tensors) -> Tensors:
    # transformers' neck has layer norms of the same name as its blocks.
    neck = (r"^((image_encoder|vision_encoder)\.)?neck\.layer_norm([12])\.", r"\1neck.norm\3.")
    return renamed(tensors, (neck, *_TO_TIMM))


def _said_size(given: Mapping[str, Any], where: str) -> int | None:
    return None if given.get("image_size") is None else whole_number(given, "image_size", where)


def _config(
    tensors: Tensors,
    heads: Any,
    window: Any,
    global_blocks: Any,
    said_size: int | None,
    where: str,
    **fields: Any,
) -> SAMConfig:
    """The configuration that the tensors' shapes tell, at the size of the stored positions.

    Args:
        tensors: under timm's names.
        heads, window, global_blocks: what the files say; None: the tensors tell it.
        said_size: the image size that the files say, which counts without absolute positions.
        where: the file, for messages.
        fields: further fields.
    """
    width, channels, patch, columns = shape_of(tensors, "patch_embed.proj.weight", 4)
    if patch != columns:
        raise ValueError(
            f"{where}: patches of {patch} x {columns} pixels; only squares can be read"
        )
    depth = count_blocks(tensors)
    hidden = shape_of(tensors, "blocks.0.mlp.fc1.weight", 2)[0]
    absolute = "pos_embed" in tensors.arrays
    relative = "blocks.0.attn.rel_pos_h" in tensors.arrays
    size = said_size
    if absolute:
        size = shape_of(tensors, "pos_embed", 4)[1] * patch
    if size is None:
        raise ValueError(f"{where}: nothing says the image size; say it in encoder.json")
    if relative:
        tables = [shape_of(tensors, f"blocks.{i}.attn.rel_pos_h", 2) for i in range(depth)]
        spans = [(rows + 1) // 2 for rows, _ in tables]
        if global_blocks is None:
            global_blocks = [i for i, span in enumerate(spans) if span == size // patch]
        _refuse_other_blocks(global_blocks, where)
        windows = {span for i, span in enumerate(spans) if i not in global_blocks}
        window = min(windows, default=window) if window is None else window
        if heads is None and tables[0][1]:
            heads = width // tables[0][1]
    _refuse_other_blocks(global_blocks, where)
    for name, value in (("heads", heads), ("the window's side", window)):
        if type(value) is not int or value < 1:
            raise ValueError(
                f"{where}: {name} is {value!r}; it must be a whole number from 1, and the tensors "
                "do not tell it"
            )
    neck = shape_of(tensors, "neck.0.weight", 4)[0]
    try:
        return SAMConfig(
            image_size=size,
            channels=channels,
            patch_size=patch,
            width=width,
            depth=depth,
            heads=heads,
            mlp_width=hidden,
            window=window,
            global_blocks=tuple(global_blocks),
            neck=neck,
            qkv_bias="blocks.0.attn.qkv.bias" in tensors.arrays,
            absolute_positions=absolute,
            relative_positions=relative,
            **fields,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _refuse_other_blocks(blocks: Any, where: str) -> None:
    if not isinstance(blocks, list) or not all(type(block) is int for block in blocks):
        raise ValueError(
            f"{where}: the global blocks are {blocks!r}; they must be a list of numbers"
        )


def _check_fields(given: Mapping[str, Any], config: SAMConfig, where: str) -> None:
    """Raises a ValueError if transformers' config.json says otherwise than the tensors."""
    for name, ours in (
        ("hidden_size", config.width),
        ("output_channels", config.neck),
        ("num_hidden_layers", config.depth),
        ("num_channels", config.channels),
        ("image_size", config.image_size),
        ("patch_size", config.patch_size),
        ("mlp_dim", config.mlp_width),
        ("qkv_bias", config.qkv_bias),
        ("use_abs_pos", config.absolute_positions),
        ("use_rel_pos", config.relative_positions),
    ):
        theirs = given.get(name)
        if isinstance(ours, bool):
            theirs = is_on(given, name, where, default=ours)
        if theirs is not None and theirs not in (ours, [ours, ours]):
            raise ValueError(f"{where}: {name} is {theirs!r}, the tensors have {ours!r}")
    if given.get("mlp_dim") is None:
        refuse_other_mlp_ratio(given, config.width, (config.mlp_width,), where)


def _read(
    tensors: Tensors, stored: SAMConfig, asked: SAMConfig, pixels: PixelNormalisation
) -> ImportedNetwork:
    """The network at the asked size, with the positions of the stored one resampled as timm does.

    Raises:
        ValueError: a tensor is missing, misshapen or left over.
    """
    width, channels, patch = stored.width, stored.channels, stored.patch_size
    kernel = tensors.take("patch_embed.proj.weight", (width, channels, patch, patch))
    params: dict[str, Any] = {
        # A kernel's rows run over (row, column, channel) here.
        "patch_embedding": {
            "kernel": kernel.transpose(2, 3, 1, 0).reshape(-1, width),
            "bias": tensors.take("patch_embed.proj.bias", (width,)),
        },
        "neck": {
            "convolution_1": {
                "kernel": tensors.take("neck.0.weight", (stored.neck, width, 1, 1))[:, :, 0, 0].T
            },
            "norm_1": tensors.norm("neck.1", stored.neck),
            "convolution_2": {
                "kernel": tensors.take("neck.2.weight", (stored.neck, stored.neck, 3, 3)).transpose(
                    2, 3, 1, 0
                )
            },
            "norm_2": tensors.norm("neck.3", stored.neck),
        },
    }
    if stored.absolute_positions:
        shape = (1, stored.side, stored.side, width)
        positions = tensors.take("pos_embed", shape).reshape(-1, width)
        params["positions"] = resample_positions(positions, asked.side, antialias=True)
    for i in range(stored.depth):
        params[f"block_{i}"] = _block(tensors, i, stored, asked)
    tensors.refuse_unused(_UNUSED)
    return ImportedNetwork(asked, on_device(params), {}, *pixels)


def _block(tensors: Tensors, number: int, stored: SAMConfig, asked: SAMConfig) -> PyTree:
    name, width = f"blocks.{number}", stored.width
    attention = {
        "qkv": tensors.dense(f"{name}.attn.qkv", width, 3 * width, stored.qkv_bias),
        "projection": tensors.dense(f"{name}.attn.proj", width, width),
    }
    if stored.relative_positions:
        shape = (2 * stored.attention_side(number) - 1, width // stored.heads)
        rows = 2 * asked.attention_side(number) - 1
        for ours, theirs in (("rows", "h"), ("columns", "w")):
            table = tensors.take(f"{name}.attn.rel_pos_{theirs}", shape)
            attention[f"relative_{ours}"] = resample_rows(table, rows)
    return {
        "norm_1": tensors.norm(f"{name}.norm1", width),
        "attention": attention,
        "norm_2": tensors.norm(f"{name}.norm2", width),
        "expand": tensors.dense(f"{name}.mlp.fc1", width, stored.mlp_width),
        "contract": tensors.dense(f"{name}.mlp.fc2", stored.mlp_width, width),
    }


def resample_rows(
    table: Float[np.ndarray, "rows width"], count: int
) -> Float[np.ndarray, "count width"]:
    """Another number of rows by linear interpolation, the border repeated.

    Equals torch.nn.functional.interpolate(mode="linear", align_corners=False) along the rows.
    """
    old = len(table)
    if count == old:
        return table
    at = np.clip((np.arange(count) + 0.5) * (old / count) - 0.5, 0, old - 1)
    below = np.minimum(at.astype(int), max(old - 2, 0))
    above = np.minimum(below + 1, old - 1)
    share = (at - below)[:, None]
    return ((1 - share) * table[below] + share * table[above]).astype(np.float32)
