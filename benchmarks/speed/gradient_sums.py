"""What adding up gradients over two CPU processes takes: as one array, and as many.

python -m benchmarks.speed.gradient_sums --output=benchmarks/results/FILE.json

Three million float32 numbers are summed over two processes of one machine, each on its own core, by
one program, as 1 and as 100 arrays of equal size. The median of ten calls after a first one.
"""

import json
import socket
import subprocess
import sys
import time

import jax
import numpy as np
from absl import app, flags
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks.speed.timing import processor
from examine_jax.common.atomic_files import write_text
from examine_jax.reporting.page import package_versions

_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_ADDRESS = flags.DEFINE_string("address", None, "Of the processes that this command starts.")
_PROCESS = flags.DEFINE_integer("process", 0, "The number of such a process.")
_NUMBERS = 3_000_000


def milliseconds(arrays: int) -> float:
    """The median time to add up so many arrays over all processes."""
    mesh = jax.make_mesh((jax.process_count(),), ("process",))
    split = NamedSharding(mesh, PartitionSpec("process"))
    own = np.ones((1, _NUMBERS // arrays), np.float32)
    values = [jax.make_array_from_process_local_data(split, own) for _ in range(arrays)]
    add = jax.jit(
        lambda values: [value.sum(axis=0) for value in values],
        out_shardings=NamedSharding(mesh, PartitionSpec()),
    )
    jax.block_until_ready(add(values))
    found = []
    for _ in range(10):
        begin = time.perf_counter()
        jax.block_until_ready(add(values))
        found.append(time.perf_counter() - begin)
    return float(1000 * np.median(found))


def main(argv: list[str]) -> None:
    del argv
    if _ADDRESS.value is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"--address=127.0.0.1:{free.getsockname()[1]}"
        children = [
            subprocess.Popen(
                [
                    *("taskset", "--cpu-list", str(process)),
                    *(sys.executable, "-m", "benchmarks.speed.gradient_sums", address),
                    *(f"--output={_OUTPUT.value}", f"--process={process}"),
                ]
            )
            for process in range(2)
        ]
        if any([child.wait() for child in children]):
            raise SystemExit("a process has failed: see its message above")
        return
    jax.distributed.initialize(_ADDRESS.value, 2, _PROCESS.value)
    found = {str(arrays): milliseconds(arrays) for arrays in (1, 100)}
    if _PROCESS.value == 0:
        print(found)
        record = {
            "what": f"milliseconds to add up {_NUMBERS:,} float32 numbers over two processes",
            "by_number_of_arrays": found,
            "processor": processor(),
            "versions": package_versions(),
        }
        write_text(_OUTPUT.value, json.dumps(record, indent=1) + "\n")
    jax.distributed.shutdown()


if __name__ == "__main__":
    app.run(main)
