"""Checkpoints of a run: each is written completely or not at all; the latest two are kept."""

import asyncio
import errno
import pathlib
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.training.step import TrainState

_KEPT = 2
_BESIDE_ARRAYS = 1_000_000  # upper limit on the bytes of names, shapes and directories


def newest_step(folder: pathlib.Path) -> int | None:
    """The step of the newest complete checkpoint, or None."""
    if not folder.is_dir():
        return None
    # A checkpoint that is being written has a name that is no number.
    steps = [int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()]
    return max(steps, default=None)


class Checkpoints:
    """The folder of a run's checkpoints.

    It is a context manager: saves run in the background, and closing it waits for them.

    Args:
        folder: the folder.
        constant: names of entries of the method's state that are neither written nor read.
    """

    def __init__(self, folder: pathlib.Path, constant: Collection[str] = ()) -> None:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=_KEPT, enable_async_checkpointing=True, cleanup_tmp_directories=True
        )
        self._folder = folder
        self._left_out = tuple(f"method_state.{name}." for name in constant)
        self._manager = ocp.CheckpointManager(
            folder.absolute(), options=options, item_handlers=ocp.StandardCheckpointHandler()
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._manager.close()
        except Exception:
            if kind is None:  # an error in the block must not be hidden by this one
                raise

    @property
    def latest_step(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        step: int | None = self._manager.latest_step()
        return step

    def save(self, state: TrainState) -> None:
        """Copies the arrays, then writes the files in the background.

        Raises:
            OSError: the disk has too little space, or the previous checkpoint failed.
        """
        step = int(state.step)
        with self._failures():
            self._manager.wait_until_finished()
        if step == self.latest_step:
            return
        flat = self._written(state)
        needed = sum(leaf.nbytes for leaf in flat.values()) + _BESIDE_ARRAYS
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise self._failure(
                f"it needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free", errno.ENOSPC
            )
        with self._failures():
            # A copy, because the next step overwrites this state's memory.
            self._manager.save(step, args=ocp.args.StandardSave(_copies(flat)))

    def check(self) -> None:
        """Raises an OSError if a background save has failed. It does not wait for the save."""
        with self._failures():
            self._manager.check_for_errors()

    def wait(self) -> None:
        """Waits until the last checkpoint is complete; raises an OSError if it failed."""
        with self._failures():
            self._manager.wait_until_finished()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        # The writer raises exceptions of many classes: RuntimeError, ValueError, OSError, and
        # CancelledError if another of its tasks has failed.
        except (Exception, asyncio.CancelledError) as error:
            reason = str(error) or type(error).__name__
            raise self._failure(
                reason.splitlines()[0].rsplit(": ", 1)[-1], getattr(error, "errno", None)
            ) from error

    def _failure(self, reason: str, number: int | None) -> OSError:
        whole = newest_step(self._folder)
        kept = (
            "there is no earlier checkpoint"
            if whole is None
            else f"the one of step {whole} is complete, and the run continues from it"
        )
        error = OSError(
            f"cannot write a checkpoint in {self._folder} ({reason}): free space and start the "
            f"run again; {kept}"
        )
        error.errno = number
        return error

    def restore(self, template: TrainState) -> TrainState:
        """Reads the newest checkpoint into the template's structure.

        Raises:
            ValueError: a parameter is missing, unknown, or has another shape or dtype. The message
                names it.
        """
        step = self.latest_step
        every, wanted = _flat(template), self._written(template)
        found = self._manager.item_metadata(step)
        compare(
            {name: (tuple(leaf.shape), np.dtype(leaf.dtype)) for name, leaf in dict(found).items()},
            wanted,
            f"{self._folder / str(step)}",
        )
        shapes = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            for name, leaf in wanted.items()
        }
        restored = self._manager.restore(step, args=ocp.args.StandardRestore(shapes))
        state: TrainState = jax.tree.unflatten(
            jax.tree.structure(template), [restored.get(name, leaf) for name, leaf in every.items()]
        )
        return state

    def _written(self, state: TrainState) -> dict[str, Any]:
        return {
            name: leaf for name, leaf in _flat(state).items() if not name.startswith(self._left_out)
        }


def compare(
    found: dict[str, tuple[tuple[int, ...], np.dtype]], wanted: dict[str, Any], where: str
) -> None:
    """Raises a ValueError that names the first parameter in which checkpoint and network differ.

    The check comes before reading, because a partial restore may raise no error.
    """
    for name, leaf in wanted.items():
        expected = (tuple(leaf.shape), np.dtype(leaf.dtype))
        if name not in found:
            raise ValueError(
                f"{where} is of another architecture: it has no parameter {name} {expected[0]}"
            )
        if found[name] != expected:
            shape, dtype = found[name]
            raise ValueError(
                f"{where} is of another architecture: parameter {name} is {dtype}{list(shape)} "
                f"there, {expected[1]}{list(expected[0])} here"
            )
    for name in found:
        if name not in wanted:
            raise ValueError(
                f"{where} is of another architecture: it has a parameter {name} that this one lacks"
            )


def _copies(flat: dict[str, Any]) -> dict[str, Any]:
    """Copies on the same devices."""
    alone = all(leaf.is_fully_addressable for leaf in flat.values())
    copies: dict[str, Any] = on_device(flat) if alone else jax.tree.map(jnp.copy, flat)
    return copies


def _flat(state: PyTree) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
