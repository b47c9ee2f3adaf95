"""Commands as two processes, each on its own core, against one process on one core.

python -m benchmarks.speed.two_processes --images=FOLDER --output=benchmarks/results/FILE.json

Each pair runs in turns, one process first, after a run that is not counted and fills the cache of
compiled programs. Seconds by the clock hold if nothing else runs. CPU seconds, those of the
busier process, hold beside other work too, but leave out the waits of one process for the other.
Results are compared: two processes give what one does, up to rounding.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow.parquet as pq
from absl import app, flags

from benchmarks.speed.timing import processor
from examine_jax.common.atomic_files import write_text
from examine_jax.encoders import load_encoder
from examine_jax.reporting.page import package_versions

_IMAGES = flags.DEFINE_string("images", None, "A folder of some thousand images.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_STEPS = flags.DEFINE_integer("steps", 100, "Training steps.", lower_bound=2)
_TURNS = flags.DEFINE_integer("turns", 3, "Runs of each.", lower_bound=1)
_ROWS, _COLUMNS = 1_000_000, 192


def run(command: list[str], processes: int) -> dict[str, float]:
    """Runs a command as one or two processes; returns its seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = time.perf_counter()
    children: list[subprocess.Popen[bytes]] = []
    for process in range(processes):
        joined = (
            "--distributed",
            f"--coordinator=127.0.0.1:{port}",
            f"--num_processes={processes}",
            f"--process_id={process}",
        )
        core = str(sorted(os.sched_getaffinity(0))[process])
        arguments = [*command, *(joined if processes > 1 else ())]
        children.append(
            subprocess.Popen(
                ["taskset", "--cpu-list", core, sys.executable, "-m", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    busy = []
    for child in children:
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed: run it by hand")
        busy.append(usage.ru_utime + usage.ru_stime)
    return {"seconds": time.perf_counter() - begin, "cpu_seconds": max(busy)}


def commands(folder: pathlib.Path) -> dict[str, list[str]]:
    """The commands, which write to folder/out."""
    images, encoder = f"--images={_IMAGES.value}", f"--encoder={folder / 'trained' / 'encoder'}"
    generator = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(
        folder / "million.npy", "w+", dtype=np.float32, shape=(_ROWS, _COLUMNS)
    )
    for start in range(0, _ROWS, 50_000):
        rows[start : start + 50_000] = generator.standard_normal((50_000, _COLUMNS))
    rows.flush()
    out, million = folder / "out", folder / "million.npy"
    return {
        "pretrain": [
            "launch.pretrain", images, f"--workdir={out}", f"--steps={_STEPS.value}",
            "--batch_size=64", "--watch_every=0", "--on_demand",
        ],
        "embed": ["launch.embed", images, encoder, f"--output={out}", "--shard_rows=250"],
        "score": ["launch.score", f"--features={million}", f"--output={out}.parquet"],
    }  # fmt: skip


def result(name: str, folder: pathlib.Path) -> np.ndarray:
    """What the command wrote, as numbers."""
    out = folder / "out"
    if name == "pretrain":
        images = np.random.default_rng(0).integers(0, 256, (16, 72, 72, 3), np.uint8)
        return load_encoder(out / "encoder").embed(images)
    if name == "embed":
        shards = [pq.read_table(file) for file in sorted(out.glob("part-*.parquet"))]
        return np.concatenate([np.stack(shard.column("features").to_numpy()) for shard in shards])
    return pq.read_table(out.with_suffix(".parquet")).column("gap").to_numpy()


def main(argv: list[str]) -> None:
    del argv
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("two cores are needed")
    folder = pathlib.Path(tempfile.mkdtemp())
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    found = {}
    try:
        run(
            ["launch.pretrain", f"--images={_IMAGES.value}", f"--workdir={folder / 'trained'}",
             "--steps=2", "--watch_every=0"],
            1,
        )  # fmt: skip
        for name, command in commands(folder).items():
            turns: dict[int, list[dict[str, float]]] = {1: [], 2: []}
            results = {}
            for turn in range(_TURNS.value + 1):
                for processes, seconds in turns.items():
                    shutil.rmtree(folder / "out", ignore_errors=True)
                    one = run(command, processes)
                    if turn:
                        seconds.append(one)
                    results[processes] = result(name, folder)
            largest = float(np.abs(results[1]).max())
            found[name] = {
                "one": turns[1],
                "two": turns[2],
                "largest_difference": float(np.abs(results[1] - results[2]).max()) / largest,
                **{
                    f"ratio_of_{what}": float(
                        np.median([one[what] / two[what] for one, two in zip(*turns.values())])
                    )
                    for what in ("seconds", "cpu_seconds")
                },
            }
            print(name, found[name], flush=True)
    finally:
        shutil.rmtree(folder)
    record = {
        "what": "a command as one process on a core, and as two processes on a core each",
        "commands": {
            "pretrain": f"MAE, {_STEPS.value} steps of 64 images, read on demand",
            "embed": "the images, in shards of 250",
            "score": f"{_ROWS:,} x {_COLUMNS} float32",
        },
        "found": found,
        "processor": processor(),
        "versions": package_versions(),
    }
    write_text(_OUTPUT.value, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
