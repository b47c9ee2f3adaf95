"""Shared by the readers of facebookresearch's own files, which come without a configuration."""

from collections.abc import Mapping
from typing import Any

from examine_jax.models.weights.configuration import positive_number, whole_number
from examine_jax.models.weights.imported import IMAGENET, PixelNormalisation, StoredNetwork


def facebook_pixels(stored: StoredNetwork, channels: int) -> PixelNormalisation:
    """How pixels are normalised, which these files do not tell.

    Raises:
        ValueError: encoder.json and preprocessor_config.json say nothing of it, or something for
            another number of channels.
    """
    pixels = stored.preprocessor_normalisation()
    if pixels is None:
        raise ValueError(
            f"{stored.tensors.where}: its names are facebookresearch's, which do not tell how "
            "pixels are normalised; put it into a folder as model.safetensors, and say it in "
            f'encoder.json: {{"mean": [...], "deviation": [...]}}; facebookresearch\'s own '
            f"encoders of photographs have {list(IMAGENET[0])} and {list(IMAGENET[1])}"
        )
    if len(pixels[0]) not in (1, channels):
        raise ValueError(
            f"{stored.where}: mean has {len(pixels[0])} numbers, the encoder takes {channels} "
            "channels"
        )
    return pixels


def heads_by_width(
    known: Mapping[int, int], width: int, configuration: Mapping[str, Any], where: str
) -> int:
    """The number of heads: the configuration's, or that of the authors' network of this width.

    Raises:
        ValueError: neither is known.
    """
    if configuration.get("num_attention_heads") is not None:
        return whole_number(configuration, "num_attention_heads", where)
    if width not in known:
        raise ValueError(
            f"{where}: the tensors are {width} wide, the authors' networks "
            f"{', '.join(map(str, known))}, so the number of heads is not known; say it in "
            'encoder.json: {"heads": ...}'
        )
    return known[width]


def stored_epsilon(configuration: Mapping[str, Any], default: float, where: str) -> float:
    """The epsilon of layer norms, where the configuration says one."""
    return positive_number(configuration, "layer_norm_eps", default, where)


def refuse_other_facts(
    configuration: Mapping[str, Any], facts: Mapping[str, Any], where: str
) -> frozenset[str]:
    """Raises a ValueError if a configuration says something else than the tensors.

    Returns:
        The fields that the reader takes into account.
    """
    for name, fact in facts.items():
        said = configuration.get(name)
        if said is not None and said != fact:
            raise ValueError(f"{where}: {name} is {said!r}, but the file's tensors are of {fact!r}")
    return frozenset({*facts, "num_attention_heads", "layer_norm_eps"})
