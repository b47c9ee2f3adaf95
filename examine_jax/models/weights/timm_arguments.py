"""What timm's folders say beside the tensors: config.json's arguments, image size and pixels."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from examine_jax.models.weights.imported import (
    PixelNormalisation,
    StoredNetwork,
    normalisation,
)
from examine_jax.models.weights.tensors import Tensors

_LARGEST = 1 << 13  # side of an image, and times that an MLP is wider than its network
# Arguments that change no feature: of training, of the classifier, and of images' sizes, which are
# given here.
_WITHOUT_EFFECT = re.compile(".*drop.*|num_classes|weight_init|fix_init|dynamic_img_(size|pad)")


def timm_name(architecture: str) -> str:
    """The name of an architecture without the tag of its weights."""
    return architecture.split(".", 1)[0]


def model_args(configuration: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The arguments that config.json gives for timm's network.

    Raises:
        ValueError: they are no object.
    """
    given = configuration.get("model_args") or {}
    if not isinstance(given, dict):
        raise ValueError(f"{where}: model_args is {given!r}; it must be an object")
    return {name: value for name, value in given.items() if not _WITHOUT_EFFECT.fullmatch(name)}


def image_size_of(
    configuration: Mapping[str, Any], given: Mapping[str, Any], where: str
) -> int | None:
    """The image size that the files say; None: they say none.

    Raises:
        ValueError: it is no square's side.
    """
    described = configuration.get("pretrained_cfg")
    size = given.get("img_size")
    if size is None and isinstance(described, dict):
        size = described.get("input_size")
    if size is None:
        return None
    sides = size[-2:] if isinstance(size, list) and len(size) in (2, 3) else [size, size]
    known = all(type(side) is int and 0 < side < _LARGEST for side in sides)
    if not known or sides[0] != sides[1]:
        raise ValueError(
            f"{where}: the image size is {size!r}; only squares below {_LARGEST} pixels can be "
            'read; say one in encoder.json: {"image_size": ...}'
        )
    return sides[0]


def pool_of(configuration: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """The global_pool of model_args, config.json or its pretrained_cfg; None: none has it."""
    described = configuration.get("pretrained_cfg")
    places = (given, configuration, described if isinstance(described, dict) else {})
    said = (place.get("global_pool") for place in places)
    return next((pool for pool in said if pool is not None), None)


def refuse_other_pool(
    configuration: Mapping[str, Any], given: Mapping[str, Any], where: str
) -> None:
    """Raises a ValueError if a convolutional network pools its last map otherwise than by its mean.

    Where timm gives the whole map (global_pool ""), the feature is its mean.
    """
    pool = pool_of(configuration, given)
    if pool not in (None, "", "avg"):
        raise ValueError(f"{where}: global_pool is {pool!r}; only 'avg' can be read")


def timm_pixels(stored: StoredNetwork, channels: int) -> PixelNormalisation:
    """How pixels are normalised: encoder.json's, or pretrained_cfg's mean and std.

    Raises:
        ValueError: neither says it, or for another number of channels.
    """
    pixels = stored.preprocessor_normalisation()
    described = stored.configuration.get("pretrained_cfg")
    if pixels is None and isinstance(described, dict):
        mean, deviation = described.get("mean"), described.get("std")
        pixels = normalisation(mean, deviation, 1.0, stored.folder / "config.json")
    if pixels is None:
        raise ValueError(
            f"{stored.where}: pretrained_cfg has no mean and std, and nothing says how pixels are "
            'normalised; say it in an encoder.json beside it: {"mean": [...], "deviation": [...]}'
        )
    if len(pixels[0]) not in (1, channels) or len(pixels[1]) != len(pixels[0]):
        raise ValueError(
            f"{stored.where}: mean and std have {len(pixels[0])} and {len(pixels[1])} numbers, the "
            f"encoder takes {channels} channels; say them in encoder.json"
        )
    return pixels


def position_grid(
    count: int,
    leading: int,
    said_size: int | None,
    patch: int,
    given: Mapping[str, Any],
    where: str,
) -> tuple[int, int]:
    """(tokens with a position before the patches, rows of the grid of patches).

    Args:
        count: rows of the positions.
        leading: tokens before the patches.
        said_size: the image size that the files say, in pixels; None: they say none.
        patch: side of a patch.
        given: the arguments.
        where: the file, for messages.

    Raises:
        ValueError: the rows are those of no square, or of two.
    """
    found = [
        (before, side)
        for before in dict.fromkeys((leading, 0))
        if (side := round(max(count - before, 0) ** 0.5)) > 0 and side * side == count - before
    ]
    if len(found) == 2:  # such as 9 rows with 5 tokens before: 5 + 2 x 2 or 3 x 3
        without = given.get("no_embed_class")
        if without is not None:
            found = [one for one in found if (one[0] == 0) == bool(without)]
        elif said_size is not None:
            found = [one for one in found if one[1] == said_size // patch]
    if len(found) != 1:
        raise ValueError(
            f"{where}: pos_embed has {count} rows, which are not clearly those of a square of "
            f"patches with or without {leading} tokens before it"
        )
    return found[0]


def count_blocks(tensors: Tensors, pattern: str = r"blocks\.(\d+)\.") -> int:
    """The number of blocks whose tensors there are."""
    found = (re.match(pattern, name) for name in tensors.arrays)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def shape_of(tensors: Tensors, name: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a tensor that must be there.

    Raises:
        ValueError: it is missing, or has another number of dimensions.
    """
    array = tensors.arrays.get(name)
    if array is None:
        raise ValueError(f"{tensors.where} lacks the tensor {name}")
    if array.ndim != dimensions or 0 in array.shape:
        raise ValueError(
            f"{tensors.where}: the tensor {name} is {list(array.shape)}; it must have "
            f"{dimensions} dimensions"
        )
    return array.shape


def square_patches(tensors: Tensors, where: str) -> tuple[int, int, int]:
    """(width, channels, side of a patch) of timm's patch embedding.

    Raises:
        ValueError: it is missing, or its patches are no squares.
    """
    width, channels, rows, columns = shape_of(tensors, "patch_embed.proj.weight", 4)
    if rows != columns:
        raise ValueError(f"{where}: patches of {rows} x {columns} pixels; only squares can be read")
    return width, channels, rows


def refuse_other_arguments(
    given: Mapping[str, Any], facts: Mapping[str, Any], taken: Collection[str], where: str
) -> None:
    """Raises a ValueError if model_args says something else than the tensors, or something new.

    Args:
        given: the arguments.
        facts: the values that the tensors have.
        taken: further arguments that the caller takes into account.
        where: the file, for messages.
    """
    for name, value in given.items():
        if name in taken or value is None:
            continue
        pair = isinstance(value, list) and len(value) == 2 and value[0] == value[1]
        plain = value[0] if pair else value
        if name not in facts:
            raise ValueError(
                f"{where}: model_args has {name} ({str(value)[:40]}), which is not known here and "
                "may change the features; such a network cannot be read"
            )
        if plain != facts[name]:
            raise ValueError(
                f"{where}: model_args says that {name} is {value!r}, but the file's tensors are of "
                f"{facts[name]!r}"
            )


def refuse_other_defaults(
    defaults: Mapping[str, Any], given: Mapping[str, Any], facts: Mapping[str, Any], where: str
) -> None:
    """Raises a ValueError if the tensors are others than a name says and model_args leaves open.

    Args:
        defaults: what timm's network of that name has.
        given: the arguments.
        facts: the values that the tensors have.
        where: the file, for messages.
    """
    for name, default in defaults.items():
        said = given.get(name)
        said, whose = (default, "timm's network of this name") if said is None else (said, "it")
        found = bool(said) if name == "init_values" else said
        if found != facts[name]:
            raise ValueError(
                f"{where}: {name} is {said!r} in {whose}, but the file's tensors are of "
                f'{facts[name]!r}; if that is right, say it in encoder.json: {{"configuration": '
                f'{{"model_args": {{"{name}": {str(facts[name]).lower()}}}}}}}'
            )


def heads_of(named: tuple[int, int], given: Mapping[str, Any], width: int, where: str) -> int:
    """The number of heads, which tensors do not tell.

    Args:
        named: (width, heads) of timm's network of that name.
        given: the arguments.
        width: of the file's network.
        where: the file, for messages.

    Raises:
        ValueError: they are not known, or no number.
    """
    heads = given.get("num_heads")
    if heads is None and width == named[0]:
        return named[1]
    if heads is None:
        raise ValueError(
            f"{where}: the tensors are {width} wide, timm's network of this name {named[0]}, so "
            'its number of heads is not known; say it in encoder.json: {"heads": ...}'
        )
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise ValueError(
            f"{where}: num_heads is {heads!r}; it must be a whole number that divides {width}"
        )
    return heads


def refuse_other_mlp_ratio(
    given: Mapping[str, Any], width: int, hidden_widths: Collection[int], where: str
) -> None:
    """Raises a ValueError if model_args' mlp_ratio gives an MLP that the file does not hold.

    Args:
        given: the arguments.
        width: of the network.
        hidden_widths: the products of width and mlp_ratio that the file's tensors may have.
        where: the file, for messages.
    """
    ratio = given.get("mlp_ratio")
    if ratio is None:
        return
    known = isinstance(ratio, int | float) and 0 < ratio < _LARGEST
    hidden = int(width * ratio) if known else -1
    if hidden not in hidden_widths:
        raise ValueError(
            f"{where}: mlp_ratio is {ratio!r}, but the file's MLPs are {max(hidden_widths)} wide"
        )


def refuse_registers(found: int, named: int, where: str) -> None:
    """Raises a ValueError if a file has other register tokens than its name says."""
    if found != named:
        raise ValueError(
            f"{where}: the register tokens are {found}, timm's network of this name has {named}"
        )


def refuse_depth(found: int, named: int, where: str) -> None:
    """Raises a ValueError if a file has other blocks than its name says."""
    if found != named:
        raise ValueError(
            f"{where}: timm's network of this name has a depth of {named} blocks, the file holds "
            f'{found}; if that is right, say it in encoder.json: {{"configuration": '
            f'{{"model_args": {{"depth": {found}}}}}}}'
        )
