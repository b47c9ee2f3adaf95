"""The cost of extra positives: a step of BYOL-TracIn, FS and FNC beside one of BYOL.

    python -m benchmarks.speed.byol_tracin_cost --rounds=10 --output=benchmarks/results/FILE.json

All methods use the same batch. After compilation and warm-up they alternate, one step each a round,
in a new order each round, so that other load on the machine affects all of them. A step is views,
forward, backward, the update and the target's moving average. Ratios are of medians over rounds, of
the process's CPU time (which other programs hardly affect) and of wall time.
"""

import dataclasses
import json
import os
import pathlib
import statistics
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.encoders import save_encoder
from examine_jax.encoders.scorer import load_scorer
from examine_jax.models import architecture
from examine_jax.pretraining import Method, PretrainSettings, method_preset
from examine_jax.reporting.page import package_versions
from examine_jax.training.step import initial_state, make_step

_ARCHITECTURE = flags.DEFINE_string("architecture", "small", "The architecture to train.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images a step.", lower_bound=2)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "Steps of each method.", lower_bound=2)
_METHODS = flags.DEFINE_list(
    "methods",
    ["byol_tracin", "byol_fs", "byol_fnc", "byol_ft", "byol_tracin_pretrained"],
    "Methods to compare with byol; ..._pretrained: another encoder scores the images.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the record; printed alone if not given."
)


class Stepper:
    """A compiled step with its state; one call is one step."""

    def __init__(
        self, method: Method, settings: PretrainSettings, batch: dict[str, jax.Array]
    ) -> None:
        count = len(batch["image"])
        optimiser = settings.optimiser.build(settings.schedule.build(count, 1000))
        key = jax.random.key(0)
        self._batch, self._key = batch, jax.random.key(1)
        self._state = jax.jit(lambda: initial_state(method, optimiser, key, batch))()
        step = jax.jit(make_step(method, optimiser), donate_argnums=0)
        self._step = step.lower(self._state, batch, self._key).compile()
        self.flops = float(self._step.cost_analysis()["flops"])

    def __call__(self) -> tuple[float, float]:
        """CPU seconds of the process, and wall seconds."""
        begin, computing = time.perf_counter(), time.process_time()
        self._state, metrics = self._step(self._state, self._batch, self._key)
        jax.block_until_ready((self._state, metrics))
        return time.process_time() - computing, time.perf_counter() - begin


def main(arguments: list[str]) -> None:
    del arguments
    names = ["byol", *_METHODS.value]
    chosen = architecture(_ARCHITECTURE.value)
    size, channels = chosen.encoder.image_size, chosen.encoder.channels
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (_BATCH.value, size, size, channels), dtype=np.uint8)
    batch = {"image": jnp.asarray(images), "index": jnp.arange(_BATCH.value, dtype=jnp.int32)}
    with tempfile.TemporaryDirectory() as scorer:
        byol, _ = method_preset("byol", chosen)
        save_encoder(scorer, byol, *byol.init(jax.random.key(0), batch))
        steppers = {}
        for name in names:
            base = name.removesuffix("_pretrained")
            method, settings = method_preset(base, chosen, steps=1000)
            if base != name:
                method = dataclasses.replace(method, scorer=load_scorer(scorer))  # type: ignore[type-var]
            steppers[name] = Stepper(method, settings, batch)
    for stepper in steppers.values():
        stepper()
        stepper()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(_ROUNDS.value):
        for name in generator.permutation(names):
            seconds[name].append(steppers[name]())
    record = {
        "what": f"one training step, {_ARCHITECTURE.value}, batch {_BATCH.value}, {size} px, "
        f"float32, {_ROUNDS.value} rounds",
        "device": f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores",
        "versions": package_versions(),
        "methods": {
            name: _figures(seconds[name], seconds["byol"], steppers, name) for name in names
        },
    }
    print(json.dumps(record, indent=1))
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


def _figures(
    own: list[tuple[float, float]],
    byol: list[tuple[float, float]],
    steppers: dict[str, Stepper],
    name: str,
) -> dict[str, float]:
    own_cpu, own_wall = map(statistics.median, zip(*own))
    byol_cpu, byol_wall = map(statistics.median, zip(*byol))
    figures = {
        "cpu_seconds": own_cpu,
        "wall_seconds": own_wall,
        "cpu_over_byol": own_cpu / byol_cpu,
        "wall_over_byol": own_wall / byol_wall,
        "flops_over_byol": steppers[name].flops / steppers["byol"].flops,
    }
    return {key: round(value, 4) for key, value in figures.items()}


if __name__ == "__main__":
    app.run(main)
