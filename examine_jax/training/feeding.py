"""How a run's images reach its steps: all of them on the device, or batch by batch ahead of the step that needs them."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from examine_jax.common.shapes import Array, Int, UInt8
from examine_jax.training.devices import agreed, local_rows, place_batch, place_on_each
from examine_jax.training.method import Batch
from examine_jax.training.step import Step, Steps, TrainState

MOST_STEPS_A_DISPATCH = 64
_RESIDENT_SHARE = 0.4  # of a device's memory; the network, its optimiser and its activations need the rest
_WORKERS = min(8, os.cpu_count() or 1)
_DEPTH = 8  # batches read ahead

Columns = dict[str, np.ndarray]
Train = Callable[[TrainState, np.ndarray], tuple[TrainState, Columns]]
"""train(state, indices [n, B]) -> (state, metrics by name [n]); called with the batches of one step after the other."""


@runtime_checkable
class Pixels(Protocol):
    """A set of training images: a NumPy array is one, as is anything that reads them when asked, which never has all in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, height, width, channels)."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> Any:
        """uint8 [B, height, width, channels] for int32 [B]."""


def fits(pixels: Pixels, mesh: Mesh) -> bool:
    """Whether the images live on the devices: an array that takes up to two fifths of the memory of each."""
    if not isinstance(pixels, np.ndarray):
        return False
    free = min(_memory(device) for device in mesh.local_devices)
    return all(fit for (fit,) in agreed(pixels.nbytes <= _RESIDENT_SHARE * free))


@contextmanager
def resident(run_steps: Steps, pixels: UInt8[np.ndarray, "n h w c"], mesh: Mesh, key: Array) -> Iterator[Train]:
    """All images on each device."""
    images = place_on_each(mesh, pixels)

    def train(state: TrainState, indices: Int[np.ndarray, "steps batch"]) -> tuple[TrainState, Columns]:
        padded = np.zeros((MOST_STEPS_A_DISPATCH, indices.shape[1]), np.int32)
        padded[: len(indices)] = indices
        on_devices, count = place_on_each(mesh, (padded, np.int32(len(indices))))
        state, metrics = run_steps(state, images, on_devices, count, key)
        return state, {name: np.asarray(column)[: len(indices)] for name, column in metrics.items()}

    yield train


@contextmanager
def streamed(
    step: Step, pixels: Pixels, batches: Iterator[Int[np.ndarray, " batch"]], batch_size: int, mesh: Mesh, key: Array
) -> Iterator[Train]:
    """Images that are read, decoded and copied ahead of their steps; `batches` are the indices of all steps to come.

    Each process reads the rows of a batch that its own devices train on.
    """
    from examine_jax.images.sources.streaming import prefetch

    rows = local_rows(mesh, batch_size)
    batches_here = (indices[rows] for indices in batches)
    with closing(prefetch(pixels, batches_here, _WORKERS, _DEPTH)) as read:  # type: ignore[type-var]  # it is a generator
        placed = _ahead(
            {
                "image": place_batch(mesh, images, batch_size),
                "index": place_batch(mesh, np.asarray(indices, np.int32), batch_size),
            }
            for indices, images in read
        )

        def train(state: TrainState, indices: Int[np.ndarray, "steps batch"]) -> tuple[TrainState, Columns]:
            history = []
            for _ in indices:  # nothing waits here for a step's end, so that batches are copied while steps run
                state, metrics = step(state, next(placed), key)
                history.append(metrics)
            return state, {name: np.array([np.asarray(row[name]) for row in history]) for name in history[0]}

        yield train


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same, each begun before the one before it is handed out."""
    waiting = None
    for batch in batches:
        if waiting is not None:
            yield waiting
        waiting = batch
    if waiting is not None:
        yield waiting


def _memory(device: jax.Device) -> int:
    """Bytes that this process may use of a device; of a CPU the machine's, shared among those that JAX pretends there are."""
    statistics = device.memory_stats() or {}
    if "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.local_device_count()
