"""OpenCLIP's folders: its own vision transformer (OpenAI's names), or a tower of timm."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.common.on_device import on_device
from examine_jax.models.vit import ViTConfig, ViTExtras
from examine_jax.models.weights.clip import CLIP_PIXELS
from examine_jax.models.weights.configuration import positive_number, whole_number
from examine_jax.models.weights.imported import (
    Family,
    ImportedNetwork,
    PixelNormalisation,
    StoredNetwork,
    normalisation,
)
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.transformer import (
    Biases,
    BlockNames,
    TransformerNames,
    read_transformer,
    renamed,
)

_NAMES = TransformerNames(
    BlockNames(
        "ln_1",
        "ln_2",
        "mlp.c_fc",
        "mlp.c_proj",
        qkv=("attn.in_proj",),
        projection="attn.out_proj",
        scale="ls_{}.gamma",
    ),
    patches="conv1",
    class_token="class_embedding",
    positions="positional_embedding",
    blocks="transformer.resblocks.{}",
    norm="ln_post",
    embedding_norm="ln_pre",
).below("visual.")
_FUSED = ((r"\.attn\.in_proj_(weight|bias)$", r".attn.in_proj.\1"),)
_OF_TEXTS = (
    r"text\.|text_decoder\.|transformer\.|token_embedding\.|positional_embedding$|ln_final\."
    r"|text_projection$|logit_(scale|bias)$|attn_mask$"
)
# Fields of model_cfg and of its vision_cfg, of which these are read here; the others must have
# open_clip's defaults (CLIPVisionCfg), given where they are none of None, False and 0.
_MODEL_FIELDS = frozenset(
    {"embed_dim", "vision_cfg", "quick_gelu"}
    | {"text_cfg", "custom_text", "init_logit_scale", "init_logit_bias", "multimodal_cfg"}
    | {"nonscalar_logit_scale", "cast_dtype", "output_dict"}
)
_VISION_FIELDS = frozenset(
    {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "no_ln_pre"}
    | {"ls_init_value", "act_kwargs", "norm_kwargs", "patch_dropout", "output_tokens"}
)
_VISION_DEFAULTS = {"layers": 12, "width": 768, "head_width": 64, "mlp_ratio": 4.0}
_VISION_DEFAULTS |= {"patch_size": 16, "image_size": 224}
_UNUSED_DEFAULTS: dict[str, Any] = {
    "attn_pooler_queries": 256,
    "attn_pooler_heads": 8,
    "pos_embed_type": "learnable",
    "pool_type": "tok",
    "timm_pool": "avg",
    "timm_proj": "linear",
}
_TRUNK_FIELDS = frozenset(
    {"timm_model_name", "timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias"}
    | {"image_size", "patch_dropout", "output_tokens", "timm_drop", "timm_drop_path"}
)


@dataclasses.dataclass(frozen=True)
class OpenCLIPFamily:
    """OpenCLIP's vision tower, with its output in the space of images and texts as features.

    Attributes:
        trunks: families, among them those that read a tower of timm.
    """

    trunks: tuple[Family, ...]
    name: str = "open_clip"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return isinstance(configuration.get("model_cfg"), dict)

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        model, where = stored.configuration["model_cfg"], stored.where
        _refuse_fields(model, _MODEL_FIELDS, {}, f"{where}, model_cfg")
        vision = model.get("vision_cfg")
        if not isinstance(vision, dict):
            raise ValueError(f"{where}: vision_cfg is {vision!r}; it must be an object")
        if not any(name.startswith("visual.") for name in stored.tensors.arrays):
            raise ValueError(
                f"{stored.tensors.where} has no tensor whose name begins with visual.: it is no "
                "OpenCLIP, or a text tower alone"
            )
        outputs = whole_number(model, "embed_dim", where)
        if vision.get("timm_model_name"):
            return _with_trunk(stored, vision, outputs, image_size, self.trunks)
        return _own_tower(stored, model, vision, outputs, image_size)


def _own_tower(
    stored: StoredNetwork,
    model: Mapping[str, Any],
    vision: Mapping[str, Any],
    outputs: int,
    image_size: int | None,
) -> ImportedNetwork:
    where = f"{stored.where}, vision_cfg"
    _refuse_fields(vision, _VISION_FIELDS, _UNUSED_DEFAULTS, where)
    fields = {**_VISION_DEFAULTS, **vision}
    if isinstance(fields["layers"], list):
        raise ValueError(f"{where}: the tower is a ResNet of CLIP's own form; it cannot be read")
    width, head = whole_number(fields, "width", where), whole_number(fields, "head_width", where)
    if width % head:
        raise ValueError(f"{where}: head_width {head} does not divide width {width}")
    heads = stored.description.heads or width // head
    config = ViTConfig(
        image_size=whole_number(fields, "image_size", where),
        patch_size=whole_number(fields, "patch_size", where),
        channels=3,
        width=width,
        depth=whole_number(fields, "layers", where),
        heads=heads,
        mlp_width=int(width * positive_number(fields, "mlp_ratio", 4.0, where)),
        pooling="class_token",
        layer_norm_epsilon=_epsilon(fields, where),
        positions="learned",
        mlp=_activation(model, fields, where),
        layer_scale=None if fields.get("ls_init_value") is None else 1.0,
        extras=ViTExtras(embedding_norm=not fields.get("no_ln_pre"), projection=outputs),
    )
    tensors = renamed(stored.tensors, _FUSED)
    network = read_transformer(
        tensors,
        config,
        _NAMES,
        image_size,
        _pixels(stored),
        biases=Biases(patches=False),
        antialias=True,  # open_clip's resize_pos_embed
    )
    # Stored as it multiplies from the right, unlike a dense layer's.
    kernel = tensors.take("visual.proj", (width, outputs))
    network.params["projection"] = {"kernel": on_device(kernel)}
    tensors.refuse_unused(_OF_TEXTS)
    return network


def _activation(model: Mapping[str, Any], fields: Mapping[str, Any], where: str) -> str:
    further = fields.get("act_kwargs") or {}
    if further and (model.get("quick_gelu") or further != {"approximate": "tanh"}):
        raise ValueError(
            f'{where}: act_kwargs is {further}; only {{"approximate": "tanh"}} is read'
        )
    if further:
        return "gelu_tanh"
    return "quick_gelu" if model.get("quick_gelu") else "gelu"


def _epsilon(fields: Mapping[str, Any], where: str) -> float:
    further = fields.get("norm_kwargs") or {}
    if set(further) - {"eps"}:
        raise ValueError(f"{where}: norm_kwargs is {further}; only eps is read")
    return positive_number(further, "eps", 1e-5, f"{where}, norm_kwargs")


def _with_trunk(
    stored: StoredNetwork,
    vision: Mapping[str, Any],
    outputs: int,
    image_size: int | None,
    trunks: tuple[Family, ...],
) -> ImportedNetwork:
    """A tower of timm and what follows it: a linear projection, its own classifier, or nothing."""
    where = f"{stored.where}, vision_cfg"
    defaults: dict[str, Any] = _VISION_DEFAULTS | {"image_size": None} | _UNUSED_DEFAULTS
    _refuse_fields(vision, _TRUNK_FIELDS, defaults, where)
    name, pool = str(vision["timm_model_name"]), vision.get("timm_pool", "avg")
    proj = vision.get("timm_proj", "linear")
    if proj not in ("linear", "none", None, "") or pool not in ("", "avg", "token", "map"):
        raise ValueError(
            f"{where}: timm_pool is {pool!r} and timm_proj {proj!r}; what can be read: '', 'avg', "
            "'token' and 'map', with 'linear', 'none' or null"
        )
    size = whole_number(vision, "image_size", where) if "image_size" in vision else 224
    mean, deviation = _pixels(stored)
    trunk: dict[str, Any] = {
        "architecture": name,
        "pretrained_cfg": {
            "mean": list(mean),
            "std": list(deviation),
            "input_size": [3, size, size],
        },
    }
    if pool:
        trunk["global_pool"] = pool
    if stored.description.heads is not None:
        trunk["model_args"] = {"num_heads": stored.description.heads}
    family = next((family for family in trunks if family.recognises(trunk)), None)
    if family is None:
        raise ValueError(f"{where}: timm_model_name is {name!r}, a tower that cannot be read")
    inner = dataclasses.replace(
        stored, configuration=trunk, tensors=stored.tensors.below("visual.trunk.")
    )
    network = family.read(inner, image_size)
    used = r"visual\.trunk\.|" + _OF_TEXTS
    if proj == "none":
        stored.tensors.refuse_unused(used)
        return network
    return _projected(network, stored.tensors, vision, outputs, used)


def _projected(
    network: ImportedNetwork,
    tensors: Tensors,
    vision: Mapping[str, Any],
    outputs: int,
    used: str,
) -> ImportedNetwork:
    encoder, own = network.encoder, not vision.get("timm_proj", "linear")
    if not isinstance(encoder, ViTConfig):
        raise ValueError(
            f"{tensors.where}: a projection after a {type(encoder).__name__} cannot be read"
        )
    if vision.get("timm_proj_bias") and not own:
        raise ValueError(f"{tensors.where}: a projection with bias (timm_proj_bias) cannot be read")
    try:
        # Without a projection of its own, the tower's classifier is one.
        extras = dataclasses.replace(encoder.parts, projection=outputs, projection_bias=own)
        encoder = dataclasses.replace(encoder, extras=extras)
    except ValueError as error:
        raise ValueError(f"{tensors.where}: {error}") from error
    name = "visual.trunk.head" if own else "visual.head.proj"
    layer = tensors.dense(name, encoder.width, outputs, bias=own)
    tensors.refuse_unused(used)
    params = {**network.params, "projection": on_device(layer)}
    return dataclasses.replace(network, encoder=encoder, params=params)


def _pixels(stored: StoredNetwork) -> PixelNormalisation:
    """encoder.json's, preprocess_cfg's, or open_clip's default: CLIP's."""
    settings = stored.configuration.get("preprocess_cfg")
    settings = settings if isinstance(settings, dict) else {}
    said = normalisation(settings.get("mean"), settings.get("std"), 1.0, stored.folder)
    description = stored.description
    if description.mean is not None and description.deviation is not None:
        said = description.mean, description.deviation
    return said or CLIP_PIXELS


def _refuse_fields(
    fields: Mapping[str, Any], known: frozenset[str], defaults: Mapping[str, Any], where: str
) -> None:
    """Raises a ValueError if a field is set that is not read, unless it has a default that is."""
    for name, value in fields.items():
        if name in known or not value or defaults.get(name) == value:
            continue
        raise ValueError(
            f"{where}: the field {name} ({str(value)[:40]}) is not known here and may change the "
            "features; such a network cannot be read"
        )
