"""Running a module on parameters."""

from typing import Any

from flax import linen as nn

from examine_jax._shapes import Array, PyTree


def apply(module: nn.Module, params: PyTree, *arrays: Array, method: str = "__call__") -> Any:
    """What the module's method makes of the arrays: Linen's `apply` for modules without variables other than parameters."""
    return module.apply({"params": params}, *arrays, method=method)
