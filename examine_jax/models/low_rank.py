"""Low-rank adapters (LoRA): a few trained columns beside dense layers that stay as they are.

Source:
    Hu et al., arXiv:2106.09685. A starts as in PEFT, B as zero.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from examine_jax.common.shapes import Array, Key, PyTree
from examine_jax.models.transformer import LOW_RANK_A, LOW_RANK_B, LOW_RANK_FACTOR, Dense

Path = tuple[str, ...]
# What the dense layers of a block are called, by what they are.
_NAMES: dict[str, tuple[str, ...]] = {
    "qkv": ("qkv", "query", "key", "value"),
    "out": ("projection",),
    "mlp": ("expand", "contract", "gate"),
}
_BLOCK = re.compile(r".*block_\d+")


@dataclasses.dataclass(frozen=True)
class LowRank:
    """Which dense layers get an adapter, and how large it is.

    A layer y = x W becomes y = x W + (scale / rank) x A B, with A [inputs, rank] and B [rank,
    outputs].

    Attributes:
        rank: the inner width of the pairs; 0: there is no pair, and the encoder stays its base.
        scale: PEFT's lora_alpha.
        layers: which layers of each block: "qkv", queries, keys and values; "out", the attention's
            output; "mlp", both layers of the MLP.
    """

    rank: int = 8
    scale: float = 16.0
    layers: tuple[str, ...] = ("qkv", "out")

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 0:
            raise ValueError(f"LowRank: rank must be a whole number, 0 or more, got {self.rank}")
        if not 0 < self.scale < np.inf:
            raise ValueError(f"LowRank: scale must be a positive number, got {self.scale}")
        unknown = [name for name in self.layers if name not in _NAMES]
        if unknown or not self.layers:
            raise ValueError(
                f"LowRank: layers must be some of {', '.join(_NAMES)}, got "
                f"{', '.join(map(str, unknown)) or 'none'}"
            )

    @property
    def factor(self) -> float:
        """What the product of a pair is multiplied by."""
        return self.scale / max(self.rank, 1)


def adapted_layers(config: Any, layers: tuple[str, ...]) -> dict[Path, tuple[int, int]]:
    """(inputs, outputs) of a network's dense layers that an adapter can stand beside.

    Args:
        config: the network's configuration.
        layers: as in `LowRank`.

    Returns:
        By the layer's path in the parameters.

    Raises:
        ValueError: the network has none of these layers.
    """
    found: dict[Path, tuple[int, int]] = {}

    def note(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
        if isinstance(context.module, Dense) and context.method_name == "__call__":
            found[context.module.path] = (args[0].shape[-1], context.module.outputs)
        return call(*args, **kwargs)

    images = jnp.zeros((1, config.image_size, config.image_size, config.channels), jnp.float32)
    with nn.intercept_methods(note):
        jax.eval_shape(lambda key: config.module().init(key, images), jax.random.key(0))
    of_blocks = {path: sizes for path, sizes in found.items() if _in_block(path)}
    chosen = {path: sizes for path, sizes in of_blocks.items() if _kind(path) in layers}
    if not chosen:
        kind = type(config).__name__.removesuffix("Config")
        there = list(dict.fromkeys(one for path in of_blocks if (one := _kind(path)) is not None))
        raise ValueError(
            f"LoRA: {kind} has no layers named {', '.join(layers)}"
            + (f"; it has {', '.join(there)}" if there else "; train all of it instead")
        )
    return chosen


def _in_block(path: Path) -> bool:
    return any(_BLOCK.fullmatch(name) for name in path[:-1])


def _kind(path: Path) -> str | None:
    return next((kind for kind, names in _NAMES.items() if path[-1] in names), None)


def init_adapter(config: Any, low_rank: LowRank, key: Key[Array, ""]) -> PyTree:
    """The pairs at the beginning of a training: A uniform within 1 / sqrt(inputs), B zero.

    Args:
        config: the encoder's configuration.
        low_rank: the adapter's settings.
        key: draws A.

    Returns:
        Nested as the encoder's parameters, with "low_rank_a" and "low_rank_b" for each layer.

    Raises:
        ValueError: as `adapted_layers`; or the rank is above the width of a layer.
    """
    adapter: dict[str, Any] = {}
    layers = adapted_layers(config, low_rank.layers)
    if low_rank.rank == 0:
        return adapter
    for i, (path, (inputs, outputs)) in enumerate(sorted(layers.items())):
        if low_rank.rank > min(inputs, outputs):
            raise ValueError(
                f"LoRA: rank {low_rank.rank} is above the width of {'.'.join(path)} ({inputs} "
                f"inputs, {outputs} outputs), which has no more to learn: take at most "
                f"{min(inputs, outputs)}, or train all of it without an adapter"
            )
        bound = inputs**-0.5
        shape, own = (inputs, low_rank.rank), jax.random.fold_in(key, i)
        _at(adapter, path).update(
            {
                LOW_RANK_A: jax.random.uniform(own, shape, jnp.float32, -bound, bound),
                LOW_RANK_B: jnp.zeros((low_rank.rank, outputs), jnp.float32),
            }
        )
    return adapter


def _at(tree: dict[str, Any], path: Path) -> dict[str, Any]:
    for name in path:
        tree = tree.setdefault(name, {})
    return tree


def with_adapter(params: PyTree, adapter: PyTree, low_rank: LowRank) -> PyTree:
    """The encoder's parameters with the pairs beside the layers' own, which `Dense` then adds."""
    joined = dict(params)
    for name, part in adapter.items():
        if not isinstance(part, Mapping):
            joined[name] = part
            joined[LOW_RANK_FACTOR] = jnp.float32(low_rank.factor)
        else:
            joined[name] = with_adapter(params[name], part, low_rank)
    return joined


def adapter_of(params: PyTree) -> PyTree:
    """The pairs alone, of what `with_adapter` gave."""
    kept = {}
    for name, part in params.items():
        if isinstance(part, Mapping):
            if inner := adapter_of(part):
                kept[name] = inner
        elif name in (LOW_RANK_A, LOW_RANK_B):
            kept[name] = part
    return kept


def merged(params: PyTree, adapter: PyTree, low_rank: LowRank) -> PyTree:
    """The encoder's parameters with each pair's product added to its layer's weights.

    The products are sums in float64 on the host, pair by pair: BLAS would add in an order that
    depends on the processor.
    """
    joined = dict(params)
    if LOW_RANK_A in adapter:
        a, b = (np.asarray(adapter[name], np.float64) for name in (LOW_RANK_A, LOW_RANK_B))
        product = np.zeros((a.shape[0], b.shape[1]))
        for column, row in zip(a.T, b, strict=True):
            product += column[:, None] * row
        kernel = np.asarray(params["kernel"], np.float64) + low_rank.factor * product
        return {**joined, "kernel": jnp.asarray(kernel.astype(np.float32))}
    for name, part in adapter.items():
        joined[name] = merged(params[name], part, low_rank)
    return joined
