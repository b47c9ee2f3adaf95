"""Which layer of a network a parameter belongs to, counted from the input."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import jax

from examine_jax.common.shapes import PyTree

_BLOCK = re.compile(r"(?:(?:stage|layer)_(\d+)_)?block_(\d+)(?:_.*)?")
# What stands at a stage's beginning belongs to its first block.
_BEFORE_STAGE = re.compile(r"(?:downsample|merge)_(\d+)(?:_.*)?")
_BEGINNING = re.compile(
    r"(patch_embedding|class_token|registers|mask_token|positions|relative_bias|embedding_norm|stem)"
    r"(_.*)?"
)

# An EfficientNet's last convolution, before the pooling.
_LAST_MAP = ("head", "head_norm")


def layer_numbers(params: PyTree) -> tuple[PyTree, int]:
    """The number of each parameter's layer, as timm numbers them for a decay of learning rates.

    Patches, positions and tokens (a convolutional network's stem) are layer 0. The blocks follow;
    what makes a stage smaller belongs to the stage's first block (a DenseNet's to the last block
    before it), and a transformer's last norm to its last block. What follows the pooling, and all
    that is no part of the encoder (heads), is the last layer.

    Args:
        params: a method's: {"encoder": ..., a head's name: ...}.

    Returns:
        (numbers with the parameters' nesting, the last layer's number).

    Raises:
        ValueError: the network's parameters are not named by blocks.
    """
    encoder: Mapping[str, Any] = params.get("encoder", {})
    blocks = sorted({place for name in encoder if (place := _block(name)) is not None})
    if not blocks:
        raise ValueError(
            "layer_decay: the encoder has no numbered blocks, so its layers have no order; leave "
            "layer_decay away"
        )
    last = len(blocks) + 1
    of_encoder = {name: _number(name, blocks, encoder) for name in encoder}
    numbers = {
        name: {inner: _constant(of_encoder[inner], one) for inner, one in part.items()}
        if name == "encoder"
        else _constant(last, part)
        for name, part in params.items()
    }
    return numbers, last


def _block(name: str) -> tuple[int, int] | None:
    found = _BLOCK.fullmatch(name)
    return None if found is None else (int(found.group(1) or 0), int(found.group(2)))


def _number(name: str, blocks: list[tuple[int, int]], encoder: Collection[str]) -> int:
    place = _block(name)
    if place is not None:
        return blocks.index(place) + 1
    before = _BEFORE_STAGE.fullmatch(name)
    if before is not None:
        stage = int(before.group(1))
        if name == f"downsample_{stage}" and f"{name}_norm" not in encoder:
            stage -= 1  # a DenseNet's transition ends the stage before
            earlier = [i for i, (of, _) in enumerate(blocks) if of <= stage]
            return (earlier[-1] if earlier else 0) + 1
        later = [i for i, (of, _) in enumerate(blocks) if of >= stage]
        return (later[0] if later else len(blocks) - 1) + 1
    if _BEGINNING.fullmatch(name):
        return 0
    # A transformer's norm of all tokens, not a ConvNeXt's of pooled features.
    of_tokens = any(other.startswith(("patch_embedding", "merge_")) for other in encoder)
    if (name == "norm" and of_tokens) or name in _LAST_MAP:
        return len(blocks)
    return len(blocks) + 1


def _constant(number: int, tree: PyTree) -> PyTree:
    return jax.tree.map(lambda _: number, tree)
