"""Running a module on parameters, and on the statistics of its batch norms where it has any."""

from typing import Any

from flax import linen as nn

from examine_jax.common.shapes import Array, Key, PyTree, Shaped


def apply(module: nn.Module, params: PyTree, *arrays: Array, method: str = "__call__") -> Any:
    """What the module's method makes of the arrays: Linen's `apply` for modules without variables other than parameters."""
    return module.apply({"params": params}, *arrays, method=method)


def init_network(module: nn.Module, key: Key[Array, ""], images: Shaped[Array, "batch ..."]) -> tuple[PyTree, PyTree]:
    """(params, batch_stats) of an encoder's or a head's module for inputs of this shape, float32; batch_stats is {} without batch norm."""
    variables = module.init(key, images, train=False)
    return variables.get("params", {}), variables.get("batch_stats", {})


def run_network(
    module: nn.Module, params: PyTree, batch_stats: PyTree, images: Shaped[Array, "batch ..."], *, train: bool
) -> tuple[Any, PyTree]:
    """(outputs, batch_stats) of a module that `init_network` initialised.

    train=True: batch norms use the batch's own statistics and the running ones come back moved towards them. train=False: they use the
    running ones, which come back as they are. Modules draw no random numbers here: dropout and the like are not provided for.
    """
    variables = {"params": params, "batch_stats": batch_stats}
    if not train:
        return module.apply(variables, images, train=False), batch_stats
    outputs, changed = module.apply(variables, images, train=True, mutable=["batch_stats"])
    return outputs, changed.get("batch_stats", {})
