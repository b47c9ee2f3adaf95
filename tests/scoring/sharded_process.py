"""One process of test_sharded.py examines matrices that are spread over all devices.

It saves what it can see of the results.

python sharded_process.py FOLDER DEVICES [PORT PROCESS PROCESSES]
"""

import pathlib
import sys

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from examine_jax.scoring import AdaptiveSecular, DenseSVD, MaskedPower, examine
from tests.support.spectra import with_spectrum

TALL = with_spectrum(102, 40, np.exp(-np.arange(40.0)), 1)
WIDE = np.random.default_rng(2).normal(size=(12, 30))


def rows_over(mesh: jax.sharding.Mesh, array: np.ndarray) -> jax.Array:
    """An array of which every process makes its own rows alone."""
    sharding = NamedSharding(mesh, PartitionSpec("rows"))
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def main(
    folder: pathlib.Path, devices: int, port: str = "", process: int = 0, processes: int = 1
) -> None:
    jax.config.update("jax_num_cpu_devices", devices)
    if processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, process)
    assert jax.device_count() == devices * processes
    mesh = jax.make_mesh((jax.device_count(),), ("rows",), axis_types=(AxisType.Auto,))
    # 102 rows do not go into four: two rows of padding, which may hold anything.
    padded = np.concatenate([TALL, np.full((2, 40), np.nan)]).astype(np.float32)
    where = np.arange(104) < 102
    results = {
        "tall": examine(rows_over(mesh, padded), center=True, where=rows_over(mesh, where)),
        "wide": examine(rows_over(mesh, WIDE.astype(np.float32)), solver=DenseSVD()),
    }
    if processes == 1:
        tall = rows_over(mesh, TALL[:100].astype(np.float32))
        results["adaptive"] = examine(tall, solver=AdaptiveSecular(max_passes=2))
        results["masked-power"] = examine(tall, solver=MaskedPower())
        explicit = jax.make_mesh((2, 2), ("rows", "columns"), axis_types=(AxisType.Explicit,) * 2)
        both = jax.device_put(
            WIDE.astype(np.float32), NamedSharding(explicit, PartitionSpec("rows", "columns"))
        )
        results["explicit"] = jax.jit(lambda features: examine(features, solver=DenseSVD()))(both)
    saved = {}
    for name, result in results.items():
        assert not result.gap.sharding.is_fully_replicated, name
        assert result.singular_value.is_fully_replicated, name
        saved[f"{name}/sigma"] = np.asarray(result.singular_value)
        saved[f"{name}/path"] = np.asarray(result.diagnostics.path)
        for field in ("gap", "error_bound"):
            value = getattr(result, field)
            local = np.full(value.shape, np.nan, np.float32)
            for shard in value.addressable_shards:
                local[shard.index] = shard.data
            saved[f"{name}/{field}"] = local
    spoilt = padded.copy()
    spoilt[70, 3] = np.inf
    try:
        examine(rows_over(mesh, spoilt), center=True, where=rows_over(mesh, where))
    except ValueError as error:
        saved["refusal"] = np.array(str(error))
    np.savez(folder / f"{processes}-{process}.npz", **saved)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:4], *map(int, sys.argv[4:]))
