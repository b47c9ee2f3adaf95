"""Checkpoints of a run: whole or not at all, the latest few kept, compared with the run before they are read."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from examine_jax._shapes import PyTree
from examine_jax.pretraining.train_step import TrainState

_KEPT = 2


class Checkpoints:
    """The folder of a run's checkpoints; a context manager, because saves go on in the background until it is closed."""

    def __init__(self, folder: pathlib.Path) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=_KEPT, enable_async_checkpointing=True)
        self._folder = folder
        self._manager = ocp.CheckpointManager(
            folder.absolute(), options=options, item_handlers=ocp.StandardCheckpointHandler()
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    @property
    def latest_step(self) -> int | None:
        """Steps done in the newest whole checkpoint; None: there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Starts to save; the arrays are copied before this returns, the files follow in the background."""
        step = int(state.step)
        if step != self.latest_step:
            # A copy, because the next step is given this state's memory to write into.
            self._manager.save(step, args=ocp.args.StandardSave(jax.tree.map(jnp.copy, _flat(state))))

    def wait(self) -> None:
        self._manager.wait_until_finished()

    def restore(self, template: TrainState) -> TrainState:
        """The newest checkpoint in the template's structure.

        Raises:
            ValueError: a parameter is missing, left over, or of another shape or dtype; says which.
        """
        step = self.latest_step
        wanted = _flat(template)
        found = self._manager.item_metadata(step)
        compare(
            {name: (tuple(leaf.shape), np.dtype(leaf.dtype)) for name, leaf in dict(found).items()},
            wanted,
            f"{self._folder / str(step)}",
        )
        shapes = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding) for name, leaf in wanted.items()
        }
        restored = self._manager.restore(step, args=ocp.args.StandardRestore(shapes))
        return jax.tree.unflatten(jax.tree.structure(template), [restored[name] for name in wanted])


def compare(found: dict[str, tuple[tuple[int, ...], np.dtype]], wanted: dict[str, Any], where: str) -> None:
    """Raises a ValueError that names the first parameter in which a checkpoint and the network differ.

    Compared before anything is read: partial restores can be silent.
    """
    for name, leaf in wanted.items():
        expected = (tuple(leaf.shape), np.dtype(leaf.dtype))
        if name not in found:
            raise ValueError(f"{where} is of another architecture: it has no parameter {name} {expected[0]}")
        if found[name] != expected:
            shape, dtype = found[name]
            raise ValueError(
                f"{where} is of another architecture: parameter {name} is {dtype}{list(shape)} there, {expected[1]}{list(expected[0])} here"
            )
    for name in found:
        if name not in wanted:
            raise ValueError(f"{where} is of another architecture: it has a parameter {name} that this one lacks")


def _flat(state: PyTree) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
