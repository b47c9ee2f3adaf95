"""Runs a computation with JAX's 64-bit types on, independent of the process's own setting.

The scorer uses float64 where float32 is not accurate enough. JAX's x64 setting matters while a
function is traced, so it is turned on around each trace: around the direct call, and around the
batching by `vmap`, which happens later and outside the direct call (hence `custom_vmap`).
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.custom_batching import custom_vmap

from examine_jax.common.on_device import on_device
from examine_jax.scoring.equations.replicated import replicated, without_mesh

Result = TypeVar("Result")
Value = TypeVar("Value", bound=tuple[Any, ...])


@contextlib.contextmanager
def float64_types() -> Iterator[None]:
    """64-bit types on, and NumPy's usual promotion of dtypes and ranks, whatever JAX's settings."""
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def with_float64(function: Callable[..., Result], *, gathers: bool = True) -> Callable[..., Result]:
    """Jits `function(*arrays) -> pytree of arrays`; traces and batches it with 64-bit types on.

    Arrays that are spread over a mesh are gathered first, unless `gathers` is False. The returned
    function has no derivative rule.
    """
    compiled = jax.jit(function)

    @custom_vmap
    def call(*arguments: Any) -> Any:
        with float64_types():
            return without_mesh(compiled, arguments) if gathers else compiled(*arguments)

    @call.def_vmap
    def batched(axis_size: int, in_batched: list[Any], *arguments: Any) -> Any:
        in_axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, tuple(in_batched))
        with float64_types():
            out = jax.vmap(compiled, in_axes=in_axes, axis_size=axis_size)(*arguments)
        return out, jax.tree.map(lambda _: True, out)

    @functools.wraps(function)
    def wrapped(*arguments: Any) -> Result:
        if gathers:
            with float64_types():
                arguments = jax.tree.map(replicated, arguments)
        result: Result = call(*arguments)
        return result

    return wrapped


def reduce_keeping_dtypes(value: Value) -> tuple[Callable[..., Value], tuple[Any, ...]]:
    """The `__reduce__` of a tuple of arrays: unpickled arrays keep their dtypes.

    Without it, JAX restores pickled float64 arrays as float32 if its 64-bit types are off.
    """
    fields = jax.tree.map(
        lambda leaf: leaf if isinstance(leaf, jax.core.Tracer) else np.asarray(leaf), tuple(value)
    )
    return _restored, (type(value), fields)


def _restored(kind: Callable[..., Value], fields: tuple[Any, ...]) -> Value:
    with float64_types():
        return kind(*on_device(fields))


def check_float64(value: tuple[Any, ...]) -> None:
    """Raises a ValueError if an array in the (named) tuple is not float64.

    Without this check, results and error bounds would be wrong without a warning.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(value)[0]:
        dtype = getattr(leaf, "dtype", type(leaf).__name__)
        if dtype != np.float64:
            raise ValueError(
                f"{type(value).__name__}: {jax.tree_util.keystr(path).lstrip('.')} is {dtype}; it "
                "must be float64. A checkpoint, for example, loses float64 if it is restored while "
                "JAX's 64-bit types are off. Restore it within "
                "`with jax.enable_x64(True):`, or use SpectralSummary.save and load"
            )
