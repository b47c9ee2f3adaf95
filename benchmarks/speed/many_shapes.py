"""Direct calls with many numbers of rows: programs compiled, and time beside one shape's program.

python -m benchmarks.speed.many_shapes --output=benchmarks/results/FILE.json [--sizes=500x768]

- programs: how many are compiled by direct calls with 200 different numbers of rows around each
size, the memory that the process gains, and the seconds of the CPU.
- one shape: the direct call beside a program for that very shape (the user's jit) and one SVD of
NumPy with a row left out, in turn, so that all meet the same machine. Medians and least times, of
the CPU and of the clock. Set OPENBLAS_NUM_THREADS for the number of threads of the SVD.
"""

import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.speed.bench_scoring import features
from examine_jax.common.atomic_files import write_text
from examine_jax.scoring import Secular, examine

_SIZES = flags.DEFINE_list("sizes", ["500x768", "500x1024"], "Which, as NxD.")
_ONLY = flags.DEFINE_list("only", ["programs", "one shape"], "Which measurements.")
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file; more is added to it.", required=True)
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Of each.", lower_bound=1)
_NUMBERS = 200
_COMPILED = "/jax/core/compile/backend_compile_duration"


def resident_mib() -> float:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 2**10


def programs(count: int, width: int) -> dict[str, Any]:
    """Calls with 200 numbers of rows, half of them below `count`."""
    rows = features((count + _NUMBERS // 2, width), "gaussian")
    examine(rows[:20, :10], solver=Secular())
    compiled: list[float] = []

    def listen(name: str, seconds: float, **_: object) -> None:
        if name == _COMPILED:
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    memory, begin = resident_mib(), time.process_time()
    for number in range(count - _NUMBERS // 2, count + _NUMBERS // 2):
        examine(rows[:number], solver=Secular())
    seconds = time.process_time() - begin
    jax.monitoring.unregister_event_duration_listener(listen)
    return {
        "numbers_of_rows": _NUMBERS,
        "programs": len(compiled),
        "compiling_seconds": round(sum(compiled), 2),
        "cpu_seconds_a_call": round(seconds / _NUMBERS, 4),
        "mib_gained": round(resident_mib() - memory, 1),
    }


def one_shape(count: int, width: int) -> dict[str, Any]:
    rows = features((count, width), "gaussian")
    on_device = jnp.asarray(rows)
    compiled = jax.jit(lambda rows: examine(rows, solver=Secular()))
    ways: dict[str, Callable[[], Any]] = {
        "direct": lambda: examine(on_device, solver=Secular()),
        "program of this shape": lambda: jax.block_until_ready(compiled(on_device)),
        "one SVD": lambda: np.linalg.svd(rows[1:], compute_uv=False),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for function in ways.values():
        function()
    for _ in range(_ROUNDS.value):
        for name, function in ways.items():
            cpu, clock = time.process_time(), time.perf_counter()
            jax.block_until_ready(function())
            times[name].append((time.process_time() - cpu, time.perf_counter() - clock))
    direct, alone = ways["direct"](), compiled(on_device)
    largest = float(np.max(alone.gap))
    found: dict[str, Any] = {
        name: {
            "cpu_median": round(float(np.median(values, 0)[0]), 5),
            "cpu_least": round(float(np.min(values, 0)[0]), 5),
            "clock_median": round(float(np.median(values, 0)[1]), 5),
            "clock_least": round(float(np.min(values, 0)[1]), 5),
        }
        for name, values in times.items()
    }
    found["difference_of_largest_gap"] = float(np.max(np.abs(direct.gap - alone.gap))) / largest
    found["bound_of_largest_gap"] = float(np.max(direct.error_bound)) / largest
    found["times_faster_than_the_loop_by_cpu"] = round(
        count * found["one SVD"]["cpu_median"] / found["direct"]["cpu_median"]
    )
    return found


def main(_: list[str]) -> None:
    output = pathlib.Path(_OUTPUT.value)
    record: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    record["machine"] = {
        "device": str(jax.devices()[0].device_kind),
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "numpy": np.__version__,
    }
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "all")
    measurements = {"programs": programs, "one shape": one_shape}
    for text in _SIZES.value:
        count, width = map(int, text.split("x"))
        for name in _ONLY.value:
            key = name if name == "programs" else f"{name}, OPENBLAS_NUM_THREADS {threads}"
            load = os.getloadavg()[0]
            entry = measurements[name](count, width) | {"load": load}
            record.setdefault(text, {})[key] = entry
            print(text, key, json.dumps(entry), flush=True)
            write_text(output, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
