"""Measures the scorer at its limits: its bounds, its memory, files and two processes.

python -m benchmarks.speed.scoring_limits --workdir=OUT --output=benchmarks/results/FILE.json
[--rows=1000000] [--hostile_rows=1000000]

- bounds: float32 gaps of every path on rows of hostile spectra against float64's, as multiples of
the bound (over 1 is a violation). - memory: peak resident memory of a process that scores N x 768,
beyond that of the same process before the scorer is called. - files: seconds to score an .npy file
out of core, beside reading it twice. - processes: the same rows on one process and on two, each
with one thread.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks.speed.bench_scoring import features
from examine_jax.common.atomic_files import write_text

_WORKDIR = flags.DEFINE_string("workdir", None, "For large files.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_ROWS = flags.DEFINE_integer("rows", 1_000_000, "Of the memory and file measurements.")
_HOSTILE = flags.DEFINE_integer("hostile_rows", 1_000_000, "Of the check of bounds.")
_ONLY = flags.DEFINE_list("only", ["bounds", "memory", "files", "processes"], "Which measurements.")
_CHILD = flags.DEFINE_string("child", None, "Used by the script itself.")
_WIDTH = 768


def hostile(generator: np.random.Generator, count: int, width: int) -> np.ndarray:
    """Returns random rows of one hostile kind.

    The kinds are twin leading values, steps, ties, any decay, means, rows of very different length,
    outliers, and rows orthogonal to the first.
    """
    kind = generator.integers(8)
    index = np.arange(width)
    decay = [
        np.exp(-index / generator.uniform(1, 10)),
        1 / (1 + index) ** generator.uniform(0.05, 1),
        np.where(
            index < 2, 1 + np.array([0, 10 ** generator.uniform(-8, -2)])[np.minimum(index, 1)], 0.1
        ),
        np.where(index < width // 3, 1.0, 0.01),
    ][generator.integers(4)]
    rows = generator.standard_normal((count, width)) * decay
    if kind in (1, 2):
        rows += generator.standard_normal(width) * 10 ** generator.uniform(-1, 2)
    if kind in (2, 3):
        rows *= 10 ** generator.uniform(-3, 3, (count, 1))
    if kind == 4:
        rows[generator.integers(count)] *= 1000
    if kind == 5:
        rows = np.linalg.qr(rows)[0] * decay  # exact spectrum
    if kind == 6:
        rows[: count // 2, 0] = 0
    return rows.astype(np.float32)


def bounds() -> dict[str, Any]:
    from examine_jax.scoring import AdaptiveSecular, MaskedPower, Secular, examine
    from examine_jax.scoring.equations.float64 import with_float64
    from examine_jax.scoring.equations.rows import prepare

    paths = {
        "float32 products": with_float64(
            lambda x: Secular()._from_float32_products(prepare(x, None, False))[0]
        ),
        "float64 products": lambda x: examine(x, solver=Secular()),
        "Krylov": lambda x: examine(x, solver=AdaptiveSecular()),
        "masked power": lambda x: examine(x, solver=MaskedPower()),
    }
    found: dict[str, Any] = {
        name: {"rows": 0, "violations": 0, "largest_multiple": 0.0} for name in paths
    }
    generator = np.random.default_rng(0)
    count, width = 4096, 96
    for matrix in range(-(-_HOSTILE.value // count)):
        rows = hostile(generator, count, width)
        exact = examine(rows.astype(np.float64))
        reference, own = np.asarray(exact.gap), np.asarray(exact.error_bound)
        for name, path in paths.items():
            if name == "masked power" and matrix % 16:
                continue  # a sixteenth of the rows: it is slow
            with jax.enable_x64(True):
                result = path(rows)
            error = np.abs(np.asarray(result.gap, np.float64) - reference) - own
            bound = np.asarray(result.error_bound, np.float64)
            multiple = np.where(
                bound > 0, error / np.where(bound > 0, bound, 1), np.where(error > 0, np.inf, 0)
            )
            entry = found[name]
            entry["rows"] += count
            entry["violations"] += int((error > bound).sum())
            entry["largest_multiple"] = max(entry["largest_multiple"], float(multiple.max()))
    return found


def rows_file() -> pathlib.Path:
    file = pathlib.Path(_WORKDIR.value) / f"rows-{_ROWS.value}.npy"
    if not file.exists():
        out = np.lib.format.open_memmap(file, "w+", np.float32, (_ROWS.value, _WIDTH))
        block = features((100_000, _WIDTH), "encoder")
        for start in range(0, _ROWS.value, len(block)):
            part = out[start : start + len(block)]
            part[:] = block[: len(part)] * np.float32(1 + start / _ROWS.value / 10)
        out.flush()
    return file


def memory(kind: str) -> float:
    """GiB that this process holds ("VmRSS") or held at most ("VmHWM"); Linux."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(kind)).split()[1]) / 2**20


def child_memory() -> dict[str, Any]:
    """Run in a process of its own."""
    import jax.numpy as jnp

    from examine_jax.scoring import AdaptiveSecular, Secular, examine

    rows = jnp.asarray(np.load(rows_file(), mmap_mode="r"))
    rows.block_until_ready()
    examine(rows[:20_000], solver=AdaptiveSecular())
    before = memory("VmRSS")
    found: dict[str, Any] = {"features_gib": rows.nbytes / 2**30, "before_gib": before}
    for solver in (AdaptiveSecular(), Secular()):
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        begin = time.perf_counter()
        result = examine(rows, solver=solver)
        result.gap.block_until_ready()
        found[type(solver).__name__] = {
            "seconds_with_compiling": time.perf_counter() - begin,
            "peak_beyond_before_gib": memory("VmHWM") - before,
            "path": int(result.diagnostics.path),
        }
    return found


def files() -> dict[str, Any]:
    from examine_jax.features.feature_chunks import open_features
    from examine_jax.scoring.chunks import examine_chunks

    file = rows_file()

    def read() -> None:
        for chunk in open_features(file):
            float(chunk[0, 0])

    def timed(function: Any) -> float:
        begin = time.perf_counter()
        function()
        return time.perf_counter() - begin

    read()
    examine_chunks(open_features(file))
    once = timed(read)
    return {
        "read_twice_seconds": 2 * once,
        "score_seconds": timed(lambda: examine_chunks(open_features(file))),
    }


def child_process(number: int, index: int, port: int) -> dict[str, Any]:
    """One of `number` processes, with its share of the rows."""
    if number > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", number, index)
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    from examine_jax.scoring import Secular, examine

    mesh = jax.make_mesh((number,), ("rows",), axis_types=(AxisType.Auto,))
    count = min(_ROWS.value, 100_000)
    rows = features((count, _WIDTH), "encoder")
    mine = rows[index * count // number : (index + 1) * count // number]
    sharded = jax.make_array_from_process_local_data(
        NamedSharding(mesh, PartitionSpec("rows")), mine
    )
    examine(sharded, solver=Secular()).gap.block_until_ready()
    begin = time.perf_counter()
    result = examine(sharded, solver=Secular())
    result.gap.block_until_ready()
    return {
        "seconds": time.perf_counter() - begin,
        "sigma": float(np.asarray(result.singular_value)),
    }


def run_children(names: list[str], threads: int | None = None) -> list[dict[str, Any]]:
    environment = dict(os.environ)
    if threads is not None:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        environment["OMP_NUM_THREADS"] = environment["OPENBLAS_NUM_THREADS"] = str(threads)
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.scoring_limits",
        f"--workdir={_WORKDIR.value}",
        "--output=unused",
    ]
    started = [
        subprocess.Popen(
            [
                "taskset",
                "-c",
                str(place % (os.cpu_count() or 1)),
                *command,
                f"--rows={_ROWS.value}",
                f"--child={name}",
            ]
            if threads is not None
            else [*command, f"--rows={_ROWS.value}", f"--child={name}"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for place, name in enumerate(names)
    ]
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]


def main(_: list[str]) -> None:
    if _CHILD.value == "memory":
        print(json.dumps(child_memory()))
        return
    if _CHILD.value:
        number, index, port = map(int, _CHILD.value.split(","))
        print(json.dumps(child_process(number, index, port)))
        return
    pathlib.Path(_WORKDIR.value).mkdir(parents=True, exist_ok=True)
    output = pathlib.Path(_OUTPUT.value)
    record = json.loads(output.read_text()) if output.exists() else {}
    record["machine"] = {
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
    }
    measurements = {
        "bounds": bounds,
        "memory": lambda: run_children(["memory"])[0],
        "files": files,
        "processes": lambda: {
            "one": run_children(["1,0,0"], threads=1)[0],
            "two": run_children(["2,0,29517", "2,1,29517"], threads=1),
        },
    }
    for name in _ONLY.value:
        record[name] = measurements[name]()
        print(name, json.dumps(record[name]), flush=True)
        write_text(output, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
