"""How long an experiment's trainings are, and how long they took."""

import pathlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.pretraining import Method, PretrainSettings
from examine_jax.studies.common.kept import record


def training_steps(
    method: Method,
    training: PretrainSettings,
    pixels: UInt8[np.ndarray, "n h w c"],
    batch_size: int,
    kept: pathlib.Path,
    *,
    steps: int | None,
    minutes: float | None,
) -> int:
    """`steps` where given, or as many as `minutes` of computing pay for, or those of the training's first phase.

    What minutes pay for is measured once and kept in the file `kept`, so that all that share it train alike, also when a run goes on.
    """
    if steps is not None:
        return steps
    if minutes is None:
        return training.phases[0].count(max(1, len(pixels) // batch_size))

    def measured() -> dict[str, float]:
        cost = seconds_a_step(method, pixels, batch_size)
        return {"seconds_a_step": cost, "steps": float(max(2, round(60 * minutes / cost)))}

    return int(record(kept, measured)["steps"])


def seconds_a_step(method: Method, pixels: UInt8[np.ndarray, "n h w c"], batch_size: int) -> float:
    """Of the loss and its gradients, which are nearly all of a step: the CPU's time on a CPU, the clock's elsewhere."""
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
    """The record in folder/training.json of the training that `train` does, leaving its encoder beside it; done once.

    Its checkpoints, several times the encoder, are removed once the record is there.
    """
    there = record(folder / "training.json", train)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return there


def training_watch() -> Callable[[Sequence[Mapping[str, int | float]]], dict[str, float]]:
    """Begins to count; what it gives makes a training's history into its record: steps, final_loss, seconds and cpu_seconds.

    Seconds are those of the last start, where a run was killed.
    """
    begin, computing = time.perf_counter(), time.process_time()

    def told(history: Sequence[Mapping[str, int | float]]) -> dict[str, float]:
        return {
            "steps": float(len(history)),
            "final_loss": float(history[-1]["loss"]),
            "seconds": time.perf_counter() - begin,
            "cpu_seconds": time.process_time() - computing,
        }

    return told
