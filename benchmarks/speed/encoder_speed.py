"""Images a second of encoders that are read from timm's folders, beside timm's own.

taskset -c 0 python -m benchmarks.speed.encoder_speed --torch_python=/path/to/python \
    --output=benchmarks/results/FILE.json

Both sides compute the same network in float32 on the core that taskset names, in turn: a batch
here, a batch there. The time is the least CPU time of a batch, which other processes on the machine
change less than wall time.
"""

import json
import pathlib
import resource
import subprocess
import tempfile
import time
from typing import Any

import jax
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.models import run_network
from examine_jax.models.weights import read_network

_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "A Python with torch and timm.", required=True
)
_ENCODERS = flags.DEFINE_list("encoders", ["vit_small_patch16_224", "resnet50"], "timm's names.")
_BATCH = flags.DEFINE_integer("batch_size", 8, "Images a batch.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Batches of each side.")
_SIZE = 224


def _compare(name: str, python: str) -> dict[str, Any]:
    batch, rounds = _BATCH.value, _ROUNDS.value
    script = pathlib.Path(__file__).with_name("encoder_speed_timm.py")
    with tempfile.TemporaryDirectory() as parent:
        folder = pathlib.Path(parent) / name
        command = [python, str(script), name, str(_SIZE), str(folder)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as timm:
            assert timm.stdin is not None
            assert timm.stdout is not None
            if timm.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{' '.join(command)} failed")
            network = read_network(folder)
            module = network.encoder.module()
            run = jax.jit(
                lambda params, stats, x: run_network(module, params, stats, x, train=False)[0]
            )
            theirs, ours = [], []
            for round_number in range(rounds + 1):
                timm.stdin.write(f"{batch}\n")
                timm.stdin.flush()
                theirs.append(json.loads(timm.stdout.readline()))
                generator = np.random.default_rng(round_number)
                pixels = jax.device_put(
                    generator.random((batch, _SIZE, _SIZE, network.encoder.channels), np.float32)
                )
                wall, cpu = time.perf_counter(), time.process_time()
                jax.block_until_ready(run(network.params, network.batch_stats, pixels))
                ours.append(
                    {
                        "cpu": time.process_time() - cpu,
                        "wall": time.perf_counter() - wall,
                        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                    }
                )
            timm.stdin.close()
    return {"jax": _summary(ours, batch), "timm": _summary(theirs, batch)}


def _summary(measured: list[dict[str, float]], batch: int) -> dict[str, float]:
    """Images a second, by CPU time and by wall time, after the first batch; peak memory."""
    return {
        "images_per_cpu_second": batch / min(one["cpu"] for one in measured[1:]),
        "images_per_second": batch / min(one["wall"] for one in measured[1:]),
        "peak_mib": max(one["peak_mib"] for one in measured),
    }


def main(_: list[str]) -> None:
    record = {}
    for name in _ENCODERS.value:
        record[name] = _compare(name, _TORCH_PYTHON.value)
        print(name, json.dumps(record[name]), flush=True)
    write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
