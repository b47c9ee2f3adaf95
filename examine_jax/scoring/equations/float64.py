"""Runs a computation with JAX's 64-bit types on, whatever the process's own setting.

The scorer computes in float64 what float32 cannot resolve. JAX's x64 switch acts while a function
is traced, so it is turned on around each trace of ours: around the direct call, and around the
batching that `vmap` does later, outside our call (hence `custom_vmap`).
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.custom_batching import custom_vmap

Result = TypeVar("Result")


def with_float64(function: Callable[..., Result]) -> Callable[..., Result]:
    """Jits `function(*arrays) -> pytree of arrays`; traces and batches it with 64-bit types on.

    The result has no derivatives of its own.
    """
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

    wrapped: Callable[..., Result] = functools.wraps(function)(call)
    return wrapped
