"""Convolutions and batch norms of PyTorch's state dicts."""

import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.weights.tensors import Tensors


def convolution(
    tensors: Tensors, name: str, inputs: int, outputs: int, size: int, groups: int = 1
) -> PyTree:
    """The parameters of a square convolution without bias."""
    kernel = tensors.take(f"{name}.weight", (outputs, inputs // groups, size, size))
    return {"kernel": np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))}


def batch_norm(tensors: Tensors, name: str, width: int) -> tuple[PyTree, PyTree]:
    """(parameters, running statistics) of a batch norm."""
    return tensors.norm(name, width), {
        "mean": tensors.take(f"{name}.running_mean", (width,)),
        "var": tensors.take(f"{name}.running_var", (width,)),
    }


def pointwise(tensors: Tensors, name: str, inputs: int, outputs: int) -> PyTree:
    """The parameters of a dense layer that is stored as a convolution of size 1 with a bias."""
    kernel = tensors.take(f"{name}.weight", (outputs, inputs, 1, 1))[:, :, 0, 0].T
    return {"kernel": kernel, "bias": tensors.take(f"{name}.bias", (outputs,))}
