"""Data parallelism: each batch is split over all devices, of one process or of many.

Each device holds all parameters.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from examine_jax.common.byte_order import native
from examine_jax.common.processes import gather_plain, process_count
from examine_jax.common.shapes import Array, Int, PyTree, Shaped

_AXIS = "batch"


def data_mesh(micro_batch: int) -> Mesh:
    """A mesh of one axis over the largest number of devices that divides a micro-batch evenly.

    In one process this may be few devices: only one, if a prime number of images exceeds the number
    of devices. With several processes it must be all devices. The axis is Auto: XLA shards what is
    computed from a batch. So losses and batch norms over the whole batch need no explicit gather.

    Raises:
        ValueError: there are several processes, and the number of their devices does not divide the
            micro-batch.
    """
    devices = jax.devices()
    if process_count() > 1 and micro_batch % len(devices):
        raise ValueError(
            f"a micro-batch of {micro_batch} images (batch_size / accumulate) cannot be divided "
            f"evenly among {len(devices)} devices of {process_count()} processes; choose a "
            f"multiple of {len(devices)}"
        )
    count = max(count for count in range(1, len(devices) + 1) if micro_batch % count == 0)
    return jax.make_mesh((count,), (_AXIS,), axis_types=(AxisType.Auto,), devices=devices[:count])


def sharded(mesh: Mesh) -> NamedSharding:
    """The sharding in which each device holds an equal part of the leading axis."""
    return NamedSharding(mesh, PartitionSpec(_AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding in which each device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(mesh: Mesh, tree: PyTree) -> PyTree:
    """Copies host arrays to every device. They must be equal in all processes."""
    if process_count() == 1:
        return jax.device_put(tree, replicated(mesh))
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(replicated(mesh), np.asarray(leaf)),
        tree,
    )


def local_rows(mesh: Mesh, batch_size: int) -> Int[np.ndarray, " local"]:
    """The rows of a batch that this process supplies to its devices, ascending."""
    slices = sharded(mesh).addressable_devices_indices_map((batch_size,)).values()
    bounds = sorted({index[0].indices(batch_size)[:2] for index in slices if index is not None})
    return np.concatenate([np.arange(*bound) for bound in bounds])


def place_batch(
    mesh: Mesh, local: Shaped[np.ndarray, "local ..."], batch_size: int
) -> Shaped[Array, "batch ..."]:
    """The whole batch as a sharded array. This process supplies its `local_rows`.

    The copy runs in the background.
    """
    local = native(local)
    if process_count() == 1:
        batch: Array = jax.device_put(local, sharded(mesh))
    else:
        batch = jax.make_array_from_process_local_data(
            sharded(mesh), local, (batch_size, *local.shape[1:])
        )
    return batch


def gather_all(*values: int | float) -> list[list[Any]]:
    """The values of every process, [processes][values], so that all processes decide the same.

    With one process, its values are returned unchanged.
    """
    return [list(values)] if process_count() == 1 else gather_plain(list(map(float, values)))
