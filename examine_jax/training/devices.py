"""Data parallelism: batches over all devices, of one process or many; parameters on each."""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from examine_jax.common.shapes import Array, Int, PyTree, Shaped

_AXIS = "batch"


def data_mesh(micro_batch: int) -> Mesh:
    """A mesh of one axis over as many devices as images of a micro-batch can be shared out among evenly.

    In one process that is the largest number of devices that divides it (one, for a prime); with several processes it must be all.
    Axes are Auto: XLA shards what is computed from a batch, so losses and batch norms over the whole batch need no gather code.

    Raises:
        ValueError: several processes, whose devices do not divide the micro-batch.
    """
    devices = jax.devices()
    if jax.process_count() > 1 and micro_batch % len(devices):
        raise ValueError(
            f"{micro_batch} images a micro-batch (batch_size / accumulate) cannot be shared out among {len(devices)} devices of "
            f"{jax.process_count()} processes; choose a multiple of {len(devices)}"
        )
    count = max(count for count in range(1, len(devices) + 1) if micro_batch % count == 0)
    return jax.make_mesh((count,), (_AXIS,), axis_types=(AxisType.Auto,), devices=devices[:count])


def over_batch(mesh: Mesh) -> NamedSharding:
    """Each device has its share of the leading axis."""
    return NamedSharding(mesh, PartitionSpec(_AXIS))


def on_each(mesh: Mesh) -> NamedSharding:
    """Each device has all."""
    return NamedSharding(mesh, PartitionSpec())


def place_on_each(mesh: Mesh, tree: PyTree) -> PyTree:
    """Host arrays, the same in every process, as arrays that each device has."""
    if jax.process_count() == 1:
        return jax.device_put(tree, on_each(mesh))
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(on_each(mesh), np.asarray(leaf)), tree)


def local_rows(mesh: Mesh, batch_size: int) -> Int[np.ndarray, " local"]:
    """Which rows of a batch this process feeds, ascending."""
    slices = over_batch(mesh).addressable_devices_indices_map((batch_size,)).values()
    bounds = sorted({index[0].indices(batch_size)[:2] for index in slices if index is not None})
    return np.concatenate([np.arange(*bound) for bound in bounds])


def place_batch(mesh: Mesh, local: Shaped[np.ndarray, "local ..."], batch_size: int) -> Shaped[Array, "batch ..."]:
    """The batch of which this process has the rows `local_rows` says; the copy to its devices goes on in the background."""
    if jax.process_count() == 1:
        return jax.device_put(local, over_batch(mesh))
    return jax.make_array_from_process_local_data(over_batch(mesh), local, (batch_size, *local.shape[1:]))


def agreed(*values: int | float) -> list[Any]:
    """Several processes' numbers side by side, so that all decide alike; one process's as they are. [processes][values]."""
    if jax.process_count() == 1:
        return [list(values)]
    return np.asarray(multihost_utils.process_allgather(np.array(values, np.float64))).tolist()


def wait_for_all(what: str) -> None:
    """Returns once every process has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)
