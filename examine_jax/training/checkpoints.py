"""Checkpoints of a run: whole or not at all, the latest few kept, compared with the run before they are read."""

import asyncio
import errno
import pathlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from examine_jax.common.shapes import PyTree
from examine_jax.training.step import TrainState

_KEPT = 2
_BESIDE_ARRAYS = 1_000_000  # bytes that names, shapes and directories take at most, about


class Checkpoints:
    """The folder of a run's checkpoints; a context manager, because saves go on in the background until it is closed."""

    def __init__(self, folder: pathlib.Path) -> None:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=_KEPT, enable_async_checkpointing=True, cleanup_tmp_directories=True
        )
        self._folder = folder
        self._manager = ocp.CheckpointManager(
            folder.absolute(), options=options, item_handlers=ocp.StandardCheckpointHandler()
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._manager.close()
        except Exception:
            if kind is None:  # else it would hide what went wrong first
                raise

    @property
    def latest_step(self) -> int | None:
        """Steps done in the newest whole checkpoint; None: there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Starts to save; the arrays are copied before this returns, the files follow in the background.

        Raises:
            OSError: there is no room for it, or, as `check`, was none for the checkpoint before.
        """
        step = int(state.step)
        with self._failures():
            self._manager.wait_until_finished()
        if step == self.latest_step:
            return
        flat = _flat(state)
        needed = sum(leaf.nbytes for leaf in flat.values()) + _BESIDE_ARRAYS
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise self._failure(f"it needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free", errno.ENOSPC)
        with self._failures():
            # A copy, because the next step is given this state's memory to write into.
            self._manager.save(step, args=ocp.args.StandardSave(jax.tree.map(jnp.copy, flat)))

    def check(self) -> None:
        """Raises the OSError of a checkpoint that could not be written in the background; does not wait for it."""
        with self._failures():
            self._manager.check_for_errors()

    def wait(self) -> None:
        """Returns once the last checkpoint is whole, or raises as `check`."""
        with self._failures():
            self._manager.wait_until_finished()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        # The writer's own errors are of many classes: RuntimeError, ValueError, OSError; a task that another's failure ended is cancelled.
        except (Exception, asyncio.CancelledError) as error:
            reason = str(error) or type(error).__name__
            raise self._failure(reason.splitlines()[0].rsplit(": ", 1)[-1], getattr(error, "errno", None)) from error

    def _failure(self, reason: str, number: int | None) -> OSError:
        whole = [int(entry.name) for entry in self._folder.iterdir() if entry.name.isdigit()]
        kept = f"that of step {max(whole)} is whole, the run goes on from there" if whole else "there is no earlier one"
        error = OSError(
            f"cannot write a checkpoint in {self._folder} ({reason}): make room and start the run again; {kept}"
        )
        error.errno = number
        return error

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
