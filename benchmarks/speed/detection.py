"""Time of a detector's training step and of detection, beside torchvision's same network.

    python -m benchmarks.speed.detection --torch=PYTHON --output=benchmarks/results/FILE.json \
        [--rounds=10] [--batch_size=4]

PYTHON is an interpreter with torchvision; without it, torchvision is left out. The detector is the
preset `small`: ResNet-18 of width 32, 192 x 256 pixels, strides 8 to 32, 64 proposals an image. A
step is forward, backward, clipping and AdamW in float32, without augmentation, on one thread for
PyTorch and on what XLA takes for ours. The two libraries alternate, one step each a round. Times
are CPU seconds, which other load on the machine affects less than it affects the clock.
"""

import dataclasses
import json
import pathlib
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.detection.augmentation import NO_CHANGE
from examine_jax.detection.presets import small
from examine_jax.detection.recipes import RECIPES
from examine_jax.reporting.page import package_versions
from examine_jax.training.step import initial_state, make_compiled_step

_TORCH = flags.DEFINE_string("torch", None, "A Python interpreter with torchvision.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the record; printed alone if not given."
)
_ROUNDS = flags.DEFINE_integer("rounds", 10, "Steps that are timed.", lower_bound=2)
_BATCH = flags.DEFINE_integer("batch_size", 4, "Images a step.", lower_bound=1)

_BOXES, _WARM = 12, 2


def main(arguments: list[str]) -> None:
    del arguments
    ours, compile_seconds = _our_steps(_BATCH.value)
    steps: dict[str, dict[str, Callable[[], float]]] = {"examine_jax": ours}
    version, peer = None, None
    if _TORCH.value:
        version, peer, theirs = _their_steps(_TORCH.value, _BATCH.value)
        steps["torchvision"] = theirs
    seconds: dict[str, dict[str, list[float]]] = {}
    for what in ("train", "detect"):
        times: dict[str, list[float]] = {library: [] for library in steps}
        for _ in range(_WARM + _ROUNDS.value):
            for library, step in steps.items():
                times[library].append(step[what]())
        seconds[what] = {library: values[_WARM:] for library, values in times.items()}
    if peer is not None:
        peer.stdin.close()
        peer.wait()
    medians = {
        what: {library: statistics.median(x) for library, x in times.items()}
        for what, times in seconds.items()
    }
    record = {
        "what": f"preset small on {_BATCH.value} random images with {_BOXES} boxes each",
        "cpu_seconds_an_image": {
            what: {library: value / _BATCH.value for library, value in values.items()}
            for what, values in medians.items()
        },
        "torchvision_over_examine_jax": {
            what: values["torchvision"] / values["examine_jax"]
            for what, values in medians.items()
            if "torchvision" in values
        },
        "cpu_seconds_of_each_step": seconds,
        "compile_cpu_seconds": compile_seconds,
        "torch_and_torchvision": version,
        "device": str(jax.devices()[0]),
        "versions": package_versions(),
    }
    print(json.dumps(record, indent=1))
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


def _our_steps(batch_size: int) -> tuple[dict[str, Callable[[], float]], dict[str, float]]:
    """(steps that return their CPU seconds, CPU seconds of the first ones)."""
    rng, height, width = np.random.default_rng(0), 192, 256
    detector = dataclasses.replace(small(("a", "b", "c")), augmentation=NO_CHANGE)
    optimiser = RECIPES["small"].settings(1000).optimiser
    schedule = RECIPES["small"].schedule(batch_size, 1000)
    built = optimiser.build(schedule.build(batch_size, 1000))
    corner = rng.uniform(0, [width - 60, height - 60], (batch_size, _BOXES, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(15, 60, (batch_size, _BOXES, 2))], axis=2)
    batch = {
        "index": jnp.arange(batch_size, dtype=jnp.int32),
        "image": jnp.asarray(rng.integers(0, 256, (batch_size, height, width, 3), dtype=np.uint8)),
        "boxes": jnp.asarray(boxes, jnp.float32),
        "box_labels": jnp.asarray(rng.integers(0, 3, (batch_size, _BOXES)), jnp.int32),
        "box_mask": jnp.ones((batch_size, _BOXES), bool),
    }
    key = jax.random.key(0)
    held = [jax.jit(lambda: initial_state(detector, built, key, batch))()]
    compiled, found = make_compiled_step(detector, built), jax.jit(detector.detect)

    def train() -> Any:
        held[0], metrics = compiled(held[0], batch, key)
        return held[0], metrics

    def detect() -> Any:
        return found(held[0].params, held[0].method_state, batch["image"])

    def timed(job: Callable[[], Any]) -> Callable[[], float]:
        def step() -> float:
            begin = time.process_time()
            jax.block_until_ready(job())
            return time.process_time() - begin

        return step

    steps = {"train": timed(train), "detect": timed(detect)}
    return steps, {what: step() for what, step in steps.items()}


def _their_steps(
    python: str, batch_size: int
) -> tuple[str, "subprocess.Popen[str]", dict[str, Callable[[], float]]]:
    # This environment cannot import the other side.
    file = pathlib.Path(__file__).with_name("torchvision_detector.py")
    peer = subprocess.Popen(
        [python, str(file), "1", str(batch_size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert peer.stdin is not None
    assert peer.stdout is not None
    lines, answers = peer.stdin, peer.stdout
    version = answers.readline().strip()

    def step(what: str) -> Callable[[], float]:
        def one() -> float:
            print(what, file=lines, flush=True)
            return float(answers.readline())

        return one

    return version, peer, {what: step(what) for what in ("train", "detect")}


if __name__ == "__main__":
    app.run(main)
