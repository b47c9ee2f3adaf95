"""How an encoder's folder says that images of any shape come to its size.

encoder.json goes first, then the table of encoders, preprocessor_config.json (transformers),
pretrained_cfg (timm) and preprocess_cfg (OpenCLIP). Where nothing is said, or what cannot be done
here (a pad, a crop after a squash), the whole image is squashed by Pillow's Lanczos kernel.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from examine_jax.images.decoding.framing import Framing
from examine_jax.models.weights.encoder_json import FILE
from examine_jax.models.weights.imported import StoredNetwork, is_done
from examine_jax.models.weights.known_encoder import KnownEncoder

# Pillow's kernels by their numbers in preprocessor_config.json.
_KERNELS = {"0": "nearest", "1": "lanczos", "2": "bilinear", "3": "bicubic", "4": "box"}
_KERNELS |= {"5": "hamming"}
# transformers' processors: the kernel where the file is silent (None: it differs between versions),
# and whether a size that is one number is the shorter side's, not both sides'.
_PROCESSORS: dict[str, tuple[str | None, bool]] = {
    "ViT": ("bilinear", False),
    "DeiT": ("bicubic", False),
    "Beit": ("bicubic", False),
    "DINOv3ViT": ("bilinear", False),
    "CLIP": ("bicubic", True),
    "Bit": ("bicubic", True),
    "Siglip": ("bicubic", True),
    "ConvNext": (None, True),
}
# The processors of networks whose file names none.
_PROCESSOR_OF = {
    **dict.fromkeys(("vit", "vit_mae", "swin"), "ViT"),
    **dict.fromkeys(("beit", "data2vec-vision"), "Beit"),
    **dict.fromkeys(("dinov2", "dinov2_with_registers"), "Bit"),
    **dict.fromkeys(("clip", "clip_vision_model"), "CLIP"),
    **dict.fromkeys(("siglip", "siglip_vision_model"), "Siglip"),
    **dict.fromkeys(("convnext", "convnextv2", "resnet"), "ConvNext"),
    "dinov3_vit": "DINOv3ViT",
}
# What timm and open_clip take where a configuration is silent.
_TIMM_CROP, _KERNEL = 0.875, "bicubic"
_WHOLE = 384  # from which size on transformers' ConvNeXt is squashed, not cropped


def framing_of(
    stored: StoredNetwork, row: KnownEncoder | None, image_size: int, own_size: int | None = None
) -> Framing | None:
    """How images come to an encoder's size; None: squashed by the Lanczos kernel.

    Args:
        stored: the encoder's folder.
        row: the encoder's row in the table; None: it has none.
        image_size: that the encoder takes. If it is not the one that the folder is made for, the
            shorter side changes with it.
        own_size: the size that encoder.json's resize_side belongs to; None: `image_size`.

    Raises:
        ValueError: encoder.json says a rule that cannot be.
    """
    description = stored.description
    if description.resize is not None or description.interpolation is not None:
        found: tuple[str, str, float | None] | None = (
            description.resize or "squash",
            description.interpolation or "lanczos",
            None
            if description.resize_side is None
            else description.resize_side / (own_size or image_size),
        )
    elif row is not None and row.shorter_side is not None:
        found = ("shorter_side", _KERNEL, row.shorter_side / row.image_size)
    else:
        found = _of_transformers(stored) or _of_timm(stored) or _of_open_clip(stored)
    if found is None:
        return None
    rule, kernel, times = found
    side = None if times is None or rule == "squash" else round(times * image_size)
    side = None if side == image_size else side
    try:
        framing = Framing(image_size, rule, kernel, side)  # type: ignore[arg-type]
    except ValueError as error:
        if description.resize is None:
            return None
        raise ValueError(f"{stored.folder / FILE}: {error}") from error
    return None if framing == Framing(image_size) else framing


def _of_transformers(stored: StoredNetwork) -> tuple[str, str, float | None] | None:
    settings = stored.preprocessor_settings() or {}
    size, crop = settings.get("size"), settings.get("crop_size")
    cropped = bool(settings.get("do_center_crop"))
    kernel, shorter = _PROCESSORS.get(_processor(stored, settings), (None, cropped))
    if settings.get("resample") is not None:
        kernel = _KERNELS.get(str(settings["resample"]))
    if kernel is None or not is_done(settings, "do_resize"):
        return None
    if isinstance(size, int) and not shorter:
        size = {"height": size, "width": size}
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else size
    if isinstance(size, Mapping) and "height" in size and size.get("height") == size.get("width"):
        cut = _square(crop) if cropped else size["height"]
        return ("squash", kernel, None) if cut == size["height"] else None
    if not isinstance(shortest, int) or shortest < 1:
        return None
    share = settings.get("crop_pct")
    if isinstance(share, float) and 0 < share <= 1:  # ConvNeXt's
        if shortest >= _WHOLE:
            return "squash", kernel, None
        return "shorter_side", kernel, int(shortest / share) / shortest
    if not cropped:
        return None
    cut = _square(crop)
    return None if cut is None else ("shorter_side", kernel, shortest / cut)


def _processor(stored: StoredNetwork, settings: Mapping[str, Any]) -> str:
    """What the name of the processor's class begins with; without a name, model_type says it."""
    for name in ("image_processor_type", "feature_extractor_type"):
        if isinstance(settings.get(name), str):
            return re.sub("(ImageProcessor|FeatureExtractor).*", "", settings[name])
    return _PROCESSOR_OF.get(str(stored.configuration.get("model_type")), "")


def _square(size: Any) -> int | None:
    """The side of a crop_size; None: it is no square."""
    sides = (size.get("height"), size.get("width")) if isinstance(size, Mapping) else (size, size)
    side = sides[0]
    return side if isinstance(side, int) and side > 0 and side == sides[1] else None


def _of_timm(stored: StoredNetwork) -> tuple[str, str, float | None] | None:
    settings = stored.configuration.get("pretrained_cfg")
    if not isinstance(settings, Mapping) or "architecture" not in stored.configuration:
        return None
    if not {"crop_pct", "crop_mode", "interpolation"} & settings.keys():
        return None
    kernel = settings.get("interpolation") or _KERNEL
    share = settings.get("crop_pct") or _TIMM_CROP
    mode = settings.get("crop_mode") or "center"
    known = isinstance(share, int | float) and 0 < share <= 1 and kernel in _KERNELS.values()
    if not known or mode not in ("center", "squash") or (mode == "squash" and share != 1):
        return None
    size = settings.get("input_size")
    side = size[-1] if isinstance(size, list) and size and isinstance(size[-1], int) else None
    if mode == "squash":
        return "squash", kernel, None
    return "shorter_side", kernel, math.floor(side / share) / side if side else 1 / share


def _of_open_clip(stored: StoredNetwork) -> tuple[str, str, float | None] | None:
    if "model_cfg" not in stored.configuration:
        return None
    settings = stored.configuration.get("preprocess_cfg")
    settings = settings if isinstance(settings, Mapping) else {}
    kernel = settings.get("interpolation") or _KERNEL
    mode = settings.get("resize_mode") or "shortest"
    if kernel not in _KERNELS.values() or mode not in ("shortest", "squash"):
        return None
    return ("squash" if mode == "squash" else "shorter_side"), kernel, None
