"""Data parallelism: batches are split over all devices, of one process or many.

Each device has all parameters.
"""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from examine_jax.common.byte_order import native
from examine_jax.common.shapes import Array, Int, PyTree, Shaped

_AXIS = "batch"


def data_mesh(micro_batch: int) -> Mesh:
    """A mesh of one axis over the largest number of devices that divides a micro-batch evenly.

    In one process that is one device for a prime number of images; with several processes it must
    be all devices. Axes are Auto: XLA shards what is computed from a batch, so losses and batch
    norms over the whole batch need no gather code.

    Raises:
        ValueError: there are several processes and their devices do not divide the micro-batch.
    """
    devices = jax.devices()
    if jax.process_count() > 1 and micro_batch % len(devices):
        raise ValueError(
            f"{micro_batch} images a micro-batch (batch_size / accumulate) cannot be shared out "
            f"among {len(devices)} devices of "
            f"{jax.process_count()} processes; choose a multiple of {len(devices)}"
        )
    count = max(count for count in range(1, len(devices) + 1) if micro_batch % count == 0)
    return jax.make_mesh((count,), (_AXIS,), axis_types=(AxisType.Auto,), devices=devices[:count])


def sharded(mesh: Mesh) -> NamedSharding:
    """Each device has an equal part of the leading axis."""
    return NamedSharding(mesh, PartitionSpec(_AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """Each device has the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(mesh: Mesh, tree: PyTree) -> PyTree:
    """Copies host arrays, the same in every process, to every device."""
    if jax.process_count() == 1:
        return jax.device_put(tree, replicated(mesh))
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(replicated(mesh), np.asarray(leaf)),
        tree,
    )


def local_rows(mesh: Mesh, batch_size: int) -> Int[np.ndarray, " local"]:
    """The rows of a batch that this process feeds, ascending."""
    slices = sharded(mesh).addressable_devices_indices_map((batch_size,)).values()
    bounds = sorted({index[0].indices(batch_size)[:2] for index in slices if index is not None})
    return np.concatenate([np.arange(*bound) for bound in bounds])


def place_batch(
    mesh: Mesh, local: Shaped[np.ndarray, "local ..."], batch_size: int
) -> Shaped[Array, "batch ..."]:
    """The whole batch, of which this process gives its `local_rows`.

    It is copied in the background.
    """
    local = native(local)
    if jax.process_count() == 1:
        batch: Array = jax.device_put(local, sharded(mesh))
    else:
        batch = jax.make_array_from_process_local_data(
            sharded(mesh), local, (batch_size, *local.shape[1:])
        )
    return batch


def gather_all(*values: int | float) -> list[list[Any]]:
    """Every process's numbers, [processes][values], so that all processes decide alike.

    One process gets its values back as they are.
    """
    if jax.process_count() == 1:
        return [list(values)]
    gathered: list[list[Any]] = np.asarray(
        multihost_utils.process_allgather(np.array(values, np.float64))
    ).tolist()
    return gathered


def wait_for_all(name: str) -> None:
    """Returns once every process has called it with this name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
