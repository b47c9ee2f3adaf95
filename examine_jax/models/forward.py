"""Runs a module on its parameters, and on the statistics of its batch norms where it has any."""

from typing import Any

from flax import linen as nn

from examine_jax.common.shapes import Array, Key, PyTree, Shaped


def apply(module: nn.Module, params: PyTree, *arrays: PyTree, method: str = "__call__") -> Any:
    """The output of a module's method, for modules whose only variables are parameters.

    Args:
        module: a Linen module.
        params: its parameters.
        arrays: the method's arguments.
        method: its name.

    Returns:
        What the method returns.
    """
    return module.apply({"params": params}, *arrays, method=method)


def init_params(module: nn.Module, key: Key[Array, ""], *inputs: Any) -> PyTree:
    """Initialises a module whose only variables are parameters.

    Args:
        module: a Linen module.
        key: draws the parameters.
        inputs: its inputs; only their shapes and dtypes matter.
    """
    return module.init(key, *inputs)["params"]


def init_network(
    module: nn.Module, key: Key[Array, ""], images: Shaped[Array, "batch ..."]
) -> tuple[PyTree, PyTree]:
    """Initialises an encoder's or head's module for inputs of this shape.

    Args:
        module: a Linen module whose call takes `train`.
        key: draws the parameters.
        images: an input; only its shape and dtype matter.

    Returns:
        (params, batch_stats), float32. batch_stats is {} for a module without batch norm.
    """
    variables = module.init(key, images, train=False)
    return variables.get("params", {}), variables.get("batch_stats", {})


def run_network(
    module: nn.Module,
    params: PyTree,
    batch_stats: PyTree,
    images: Shaped[Array, "batch ..."],
    *,
    train: bool,
) -> tuple[Any, PyTree]:
    """Runs a module that `init_network` initialised.

    Batch norms normalise by the batch's statistics where `train` is set, and by the running ones
    otherwise. The module gets no random numbers, so dropout is not supported.

    Args:
        module, params, batch_stats: as in `init_network`.
        images: the input.
        train: whether to use and update batch statistics.

    Returns:
        (outputs, batch_stats). The statistics are updated where `train` is set, and unchanged
        otherwise.
    """
    variables = {"params": params, "batch_stats": batch_stats}
    if not train:
        return module.apply(variables, images, train=False), batch_stats
    outputs, changed = module.apply(variables, images, train=True, mutable=["batch_stats"])
    return outputs, changed.get("batch_stats", {})


def run_feature_maps(
    module: nn.Module,
    params: PyTree,
    batch_stats: PyTree,
    images: Shaped[Array, "batch ..."],
    *,
    train: bool,
    frozen_stages: int = 0,
) -> tuple[dict[int, Array], PyTree]:
    """Runs an encoder's `feature_maps` with the parameters of `init_network`.

    Args:
        module, params, batch_stats, images, train: as in `run_network`.
        frozen_stages: the stem and this many stages keep their statistics; see
            `ResNet.feature_maps`.

    Returns:
        (maps by stride, batch_stats).
    """
    variables = {"params": params, "batch_stats": batch_stats}
    maps: dict[int, Array]
    if not train:
        maps = module.apply(variables, images, method="feature_maps")  # type: ignore[assignment]
        return maps, batch_stats
    maps, changed = module.apply(
        variables,
        images,
        train=True,
        frozen_stages=frozen_stages,
        mutable=["batch_stats"],
        method="feature_maps",
    )
    return maps, changed.get("batch_stats", {})
