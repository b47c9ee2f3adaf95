"""The steps' data: the whole training set on the devices, or batches that are read ahead."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import jax
import numpy as np
from jax.sharding import Mesh

from examine_jax.common.shapes import Array, Int
from examine_jax.training.columns import INDEX, Columns, dtype_of
from examine_jax.training.devices import gather_all, local_rows, place_batch, replicate
from examine_jax.training.method import IMAGE, Batch
from examine_jax.training.step import Step, Steps, TrainState

MOST_STEPS_PER_DISPATCH = 64
_RESIDENT_SHARE = (
    0.4  # of a device's memory; the network, its optimiser and its activations need the rest
)
_WORKERS = min(8, os.cpu_count() or 1)
_DEPTH = 8  # batches read ahead

StepMetrics = dict[str, np.ndarray]
"""Metrics by name, each [n]: one value per step."""

TrainSteps = Callable[[TrainState, np.ndarray], tuple[TrainState, StepMetrics]]
"""train_steps(state, indices [n, B]) -> (state, metrics).

Each call must pass the indices of the steps that follow those of the previous call.
"""


def fits(columns: Columns, mesh: Mesh) -> bool:
    """Whether all columns are arrays, and take at most two fifths of each device's memory."""
    arrays = [column for column in columns.values() if isinstance(column, np.ndarray)]
    if len(arrays) < len(columns):
        return False
    free = min(_memory(device) for device in mesh.local_devices)
    size = sum(array.nbytes for array in arrays)
    return all(fit for (fit,) in gather_all(size <= _RESIDENT_SHARE * free))


@contextmanager
def resident(run_steps: Steps, columns: Columns, mesh: Mesh, key: Array) -> Iterator[TrainSteps]:
    """Trains on columns that every device holds."""
    on_devices = {name: replicate(mesh, column) for name, column in columns.items()}

    def train_steps(
        state: TrainState, indices: Int[np.ndarray, "steps batch"]
    ) -> tuple[TrainState, StepMetrics]:
        padded = np.zeros((MOST_STEPS_PER_DISPATCH, indices.shape[1]), np.int32)
        padded[: len(indices)] = indices
        rows, count = replicate(mesh, (padded, np.int32(len(indices))))
        state, metrics = run_steps(state, on_devices, rows, count, key)
        return state, {name: np.asarray(values)[: len(indices)] for name, values in metrics.items()}

    yield train_steps


@contextmanager
def streamed(
    step: Step,
    columns: Columns,
    batches: Iterator[Int[np.ndarray, " batch"]],
    batch_size: int,
    mesh: Mesh,
    key: Array,
) -> Iterator[TrainSteps]:
    """Trains on batches that are read, decoded and copied ahead of their steps.

    Each process reads the rows of a batch that its own devices need. Threads read the images; the
    other columns are read when their batch is copied to the devices.

    Args:
        batches: the indices of all steps to come.
    """
    rows = local_rows(mesh, batch_size)
    with _host_batches(columns, (indices[rows] for indices in batches)) as host_batches:
        placed = _ahead(
            {name: place_batch(mesh, values, batch_size) for name, values in batch.items()}
            for batch in host_batches
        )

        def train_steps(
            state: TrainState, indices: Int[np.ndarray, "steps batch"]
        ) -> tuple[TrainState, StepMetrics]:
            history = []
            # Nothing in this loop waits for the end of a step, so batches are copied while steps
            # run.
            for _ in indices:
                state, metrics = step(state, next(placed), key)
                history.append(metrics)
            return state, {
                name: np.array([np.asarray(row[name]) for row in history]) for name in history[0]
            }

        yield train_steps


@contextmanager
def _host_batches(
    columns: Columns, batches: Iterator[Int[np.ndarray, " batch"]]
) -> Iterator[Iterator[dict[str, np.ndarray]]]:
    """Batches on the host, as arrays by column name, in the order of `batches`."""
    others = {name: column for name, column in columns.items() if name != IMAGE}

    def rest(indices: np.ndarray) -> dict[str, np.ndarray]:
        values = {
            name: np.asarray(column[indices], dtype_of(column)) for name, column in others.items()
        }
        return {**values, INDEX: np.asarray(indices, np.int32)}

    if IMAGE not in columns:
        yield (rest(indices) for indices in batches)
        return
    from examine_jax.images import prefetch

    with closing(prefetch(columns[IMAGE], batches, _WORKERS, _DEPTH)) as read:  # type: ignore[type-var]  # a generator
        yield ({IMAGE: images, **rest(indices)} for indices, images in read)


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches; each batch is requested before the previous one is yielded."""
    waiting = None
    for batch in batches:
        if waiting is not None:
            yield waiting
        waiting = batch
    if waiting is not None:
        yield waiting


def _memory(device: jax.Device) -> int:
    """The number of bytes of a device's memory that this process may use.

    The memory of the host is divided equally among JAX's CPU devices.
    """
    statistics = device.memory_stats() or {}
    if "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.local_device_count()
