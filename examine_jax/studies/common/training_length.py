"""The length of a study's trainings in steps, and the time that they take."""

import json
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.pretraining import Method, PretrainSettings
from examine_jax.studies.common import kept


def training_steps(
    method: Method,
    training: PretrainSettings,
    pixels: UInt8[np.ndarray, "n h w c"],
    batch_size: int,
    file: pathlib.Path,
    *,
    steps: int | None,
    minutes: float | None,
) -> int:
    """Returns `steps`, or the number of steps in `minutes`, or the first phase's number of steps.

    The time of a step is measured once and stored in `file`. So all trainings that share the file
    have the same length, also after a restart.
    """
    if steps is not None:
        return steps
    if minutes is None:
        return training.phases[0].count(max(1, len(pixels) // batch_size))

    def measure() -> dict[str, float]:
        cost = seconds_a_step(method, pixels, batch_size)
        return {"seconds_a_step": cost, "steps": float(max(2, round(60 * minutes / cost)))}

    return int(kept.json(file, measure)["steps"])


def seconds_a_step(method: Method, pixels: UInt8[np.ndarray, "n h w c"], batch_size: int) -> float:
    """Measures the seconds per step: CPU time on a CPU, else wall time.

    Only the loss and its gradients are timed, which take nearly all of a step's time.
    """
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    batch = {"image": pixels[:batch_size], "index": np.arange(batch_size, dtype=np.int32)}
    params, state = method.init(jax.random.key(0), batch)
    step = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    jax.block_until_ready(step(params, state, batch, jax.random.key(1)))
    begin = clock()
    for _ in range(4):
        jax.block_until_ready(step(params, state, batch, jax.random.key(1)))
    return max((clock() - begin) / 4, 1e-6)


def trained_once(folder: pathlib.Path, train: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns the record in folder/training.json; runs `train` if there is none.

    When the record is written, the checkpoints are removed: they are several times as large as the
    encoder.
    """
    record = kept.json(folder / "training.json", train)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return record


def training_record(workdir: pathlib.Path, seed: int, name: str) -> dict[str, Any]:
    """Reads the record of a finished training from workdir/seed_SEED/NAME."""
    record: dict[str, Any] = json.loads(
        (workdir / f"seed_{seed}" / name / "training.json").read_text()
    )
    return record


def training_watch() -> Callable[[Sequence[Mapping[str, int | float]]], dict[str, float]]:
    """Starts a clock; returns a function that summarises a training's history.

    The summary has steps, final_loss, seconds and cpu_seconds. If the run was killed, both times
    count from its last start.
    """
    begin, cpu_begin = time.perf_counter(), time.process_time()

    def summarise(history: Sequence[Mapping[str, int | float]]) -> dict[str, float]:
        return {
            "steps": float(len(history)),
            "final_loss": float(history[-1]["loss"]),
            "seconds": time.perf_counter() - begin,
            "cpu_seconds": time.process_time() - cpu_begin,
        }

    return summarise
