"""What a run begins with: given parameters, and how often each image occurs."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.shapes import PyTree
from examine_jax.training.columns import Columns, count_rows
from examine_jax.training.step import TrainState


@runtime_checkable
class Start(Protocol):
    """What makes a run's first parameters of those that the method's `init` gives."""

    def digest(self) -> str:
        """Identifies what it puts in."""

    def __call__(self, params: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        """(params, method state) to begin with."""


def check_repeats(repeats: tuple[float, ...], sets: Sequence[Columns]) -> None:
    if len(sets) > 1:
        raise ValueError("repeats: they are for a training of one phase")
    if len(repeats) != count_rows(sets[0]):
        raise ValueError(
            f"repeats: {len(repeats)} for {count_rows(sets[0])} images; give one for each"
        )


def beginning(
    start: tuple[PyTree, PyTree] | Start | None, repeats: tuple[float, ...] | None
) -> dict[str, Any]:
    """What a run's configuration holds of both, as digests."""
    found = {}
    if isinstance(start, tuple):
        found["start"] = digest_arrays(np.asarray(leaf) for leaf in jax.tree.leaves(start))
    elif start is not None:
        found["start"] = start.digest()
    if repeats is not None:
        found["repeats"] = digest_arrays([np.array(repeats)])
    return found


def checked_start(start: tuple[PyTree, PyTree] | Start, state: TrainState) -> tuple[PyTree, PyTree]:
    """(params, method state) on the host, of the structure and shapes of `state`.

    Args:
        start: they, or what makes them of those in `state`.
        state: what the method's `init` gives.

    Raises:
        ValueError: they have another structure, shape or dtype; the message names the parameter.
    """
    own = (state.params, state.method_state)
    if not isinstance(start, tuple):
        start = start(*own)
    found, wanted = _described(start), _described(own)
    for name in dict.fromkeys([*wanted, *found]):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"start: the parameter {name} is {found.get(name, 'missing')}, the method's is "
                f"{wanted.get(name, 'missing')}"
            )
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(start)]
    # The structure of `own`: a mapping of another class is the same parameters.
    params, method_state = jax.tree.unflatten(jax.tree.structure(own), leaves)
    return params, method_state


def _described(tree: PyTree) -> dict[str, str]:
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype} {list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
