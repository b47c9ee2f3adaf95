"""The start of a training that goes on from an encoder: its weights, and fresh heads."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.shapes import PyTree
from examine_jax.training.method import Method


class FromEncoder:
    """Puts an encoder's weights into a method's first parameters; all else stays as drawn.

    `training.loop.train` takes it as `start`. A moving average of the encoder (BYOL's target)
    starts from the same weights.
    """

    def __init__(self, method: Method, params: PyTree, batch_stats: PyTree) -> None:
        """Takes over an encoder.

        Args:
            method: what is trained.
            params, batch_stats: the encoder's; {} if it has no batch norm.
        """
        self._method = method
        self._params = jax.tree.map(np.asarray, params)
        self._batch_stats = jax.tree.map(np.asarray, batch_stats)

    def digest(self) -> str:
        """Identifies the weights."""
        return digest_variables(self._params, self._batch_stats)

    def __call__(self, params: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        """The method's parameters and state with the encoder in its places."""
        hook = getattr(self._method, "with_encoder", with_encoder)
        begun: tuple[PyTree, PyTree] = hook(params, state, self._params, self._batch_stats)
        return begun


def digest_variables(params: PyTree, batch_stats: PyTree) -> str:
    """A short text that identifies a network's weights by their names and values."""
    leaves = jax.tree_util.tree_leaves_with_path((params, batch_stats))
    named = sorted((jax.tree_util.keystr(path), leaf) for path, leaf in leaves)
    names = "\n".join(name for name, _ in named)
    return digest_arrays((np.asarray(leaf) for _, leaf in named), names.encode())


def with_encoder(
    params: PyTree, state: PyTree, encoder: PyTree, batch_stats: PyTree
) -> tuple[PyTree, PyTree]:
    """A method's parameters and state, with these weights as its encoder and the encoder's average.

    Args:
        params, state: of a method that keeps the encoder under "encoder", its batch statistics
            under "batch_stats", and a moving average under "target".
        encoder, batch_stats: the encoder's.
    """
    return _placed(params, encoder), with_statistics(
        _with_target(state, encoder, batch_stats), batch_stats
    )


def with_statistics(state: PyTree, batch_stats: PyTree) -> PyTree:
    """A state, with these batch statistics of the encoder; {}: unchanged."""
    if not batch_stats:
        return state
    return {**state, "batch_stats": _placed(state["batch_stats"], batch_stats)}


def _with_target(state: PyTree, encoder: PyTree, batch_stats: PyTree) -> PyTree:
    target: Mapping[str, Any] | None = state.get("target")
    if target is None:
        return state
    # Copies: the training step overwrites each of its arguments.
    own = jax.tree.map(np.array, encoder)
    moved = with_statistics(
        {**target, "params": _placed(target["params"], own)}, jax.tree.map(np.array, batch_stats)
    )
    return {**state, "target": moved}


def _placed(parts: Mapping[str, Any], encoder: PyTree) -> dict[str, Any]:
    return {**parts, "encoder": encoder}
