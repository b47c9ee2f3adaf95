"""Run a computation with JAX's 64-bit types on, wherever it is called from and whatever the process's own setting.

The scorer refines in float64 what float32 cannot hold. JAX's x64 switch acts while a function is traced, so it is turned on around
every trace of ours: the direct call, and the batching that `vmap` does later, outside our call (hence `custom_vmap`).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.custom_batching import custom_vmap


def with_float64(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function(*arrays) -> pytree of arrays`, jitted, traced and batched with 64-bit types on. No derivatives."""
    compiled = jax.jit(function)

    @custom_vmap
    def call(*arguments: Any) -> Any:
        with jax.enable_x64(True):
            return compiled(*arguments)

    @call.def_vmap
    def batched(axis_size: int, in_batched: list[Any], *arguments: Any) -> Any:
        in_axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, tuple(in_batched))
        with jax.enable_x64(True):
            out = jax.vmap(compiled, in_axes=in_axes, axis_size=axis_size)(*arguments)
        return out, jax.tree.map(lambda _: True, out)

    return functools.wraps(function)(call)
