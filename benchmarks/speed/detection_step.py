"""CPU time of a detector's training step, and of its parts against ONNX Runtime's.

    python -m benchmarks.speed.detection_step [--output=benchmarks/results/FILE.json] \
        [--torchvision_python=ENVIRONMENT/bin/python]

The step is that of the preset `small`: batch 4, 192 x 256 pixels, gradient and AdamW, on images of
noise with 12 boxes each. Times are CPU seconds of all threads, the median of the rounds: others may
use the cores. With `--torchvision_python`, the same network's step by torchvision is timed in turn,
with one thread (see torchvision_step.py).
"""

import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.speed import onnx_detection
from examine_jax.common.atomic_files import write_text
from examine_jax.detection.geometry.nms import suppress
from examine_jax.detection.geometry.roi_align import roi_align
from examine_jax.detection.geometry.roi_align_separable import roi_align_separable
from examine_jax.detection.geometry.roi_sampling import RoISampling
from examine_jax.detection.presets import small
from examine_jax.reporting.page import package_versions
from examine_jax.training.optimiser import AdamW
from examine_jax.training.step import initial_state, make_compiled_step

_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the record; printed alone if not given."
)
_TORCHVISION = flags.DEFINE_string(
    "torchvision_python", None, "Python of an environment with torch and torchvision."
)
_ROUNDS = flags.DEFINE_integer("rounds", 15, "Rounds of each time.", lower_bound=1)

BATCH, BOXES = 4, 12
_SUPPRESSED = (256, 1024, 2048)


def cpu_seconds(run: Callable[[], Any], rounds: int) -> float:
    """The median CPU time of a call, after one that is not timed."""
    jax.block_until_ready(run())
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        jax.block_until_ready(run())
        times.append(time.process_time() - begin)
    return statistics.median(times)


def batch_of_noise(height: int, width: int) -> dict[str, np.ndarray]:
    """Images with boxes that fit the anchors."""
    rng = np.random.default_rng(0)
    side = rng.uniform(14, 90, (BATCH, BOXES, 2))
    corner = rng.uniform(0, [width - 90, height - 90], (BATCH, BOXES, 2))
    return {
        "image": rng.integers(0, 256, (BATCH, height, width, 3), dtype=np.uint8),
        "boxes": np.concatenate([corner, corner + side], axis=2).astype(np.float32),
        "box_labels": rng.integers(0, 3, (BATCH, BOXES)).astype(np.int32),
        "box_mask": np.ones((BATCH, BOXES), bool),
    }


def our_step(rounds: int) -> dict[str, float]:
    """Seconds to compile the step, and of a step an image."""
    detector = small(("a", "b", "c"))
    optimiser = AdamW(clip_norm=10.0).build(lambda step: 1e-3)
    batch = {
        name: jnp.asarray(column)
        for name, column in batch_of_noise(detector.height, detector.width).items()
    }
    batch["index"] = jnp.arange(BATCH)
    key = jax.random.key(0)
    state = jax.jit(
        lambda: initial_state(detector, optimiser, key, batch),
        compiler_options={"xla_backend_optimization_level": 0},
    )()
    step = make_compiled_step(detector, optimiser)
    begin = time.process_time()
    state, _ = step(state, batch, key)
    jax.block_until_ready(state)
    compiling = time.process_time() - begin

    def once() -> Any:
        nonlocal state
        state, metrics = step(state, batch, key)
        return metrics

    return {"compiling": compiling, "step_per_image": cpu_seconds(once, rounds) / BATCH}


def suppression(rounds: int) -> list[dict[str, float]]:
    """Non-maximum suppression at 0.5, of boxes that overlap as proposals do."""
    rows = []
    for count in _SUPPRESSED:
        rng = np.random.default_rng(count)
        centre, side = rng.uniform(0, 512, (count, 2)), rng.uniform(20, 120, (count, 2))
        boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=1).astype(np.float32)
        scores = rng.permutation(count).astype(np.float32)
        ours = jax.jit(lambda b, s: suppress(b, s, 0.5))
        given = jnp.asarray(boxes), jnp.asarray(scores)
        theirs = onnx_detection.suppression(boxes, scores, 0.5)
        np.testing.assert_array_equal(np.flatnonzero(ours(*given)), np.sort(theirs()[:, 2]))
        rows.append(
            {
                "boxes": count,
                "ours": cpu_seconds(lambda ours=ours, given=given: ours(*given), rounds),
                "onnxruntime": cpu_seconds(theirs, rounds),
            }
        )
    return rows


def pooling(rounds: int) -> dict[str, float]:
    """RoIAlign of 64 boxes on one map of 64 channels, 24 x 32 places, with ratio 2."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(1, 24, 32, 64)).astype(np.float32)
    centre, side = rng.uniform(0, [256, 192], (64, 2)), rng.uniform(14, 90, (64, 2))
    boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=1).astype(np.float32)
    theirs = onnx_detection.pooling(one, boxes, 1 / 8)
    given, seconds = ([jnp.asarray(one)], jnp.asarray(boxes[None])), {}
    for name, form in (("gather", roi_align), ("separable", roi_align_separable)):

        def forward(maps: Any, boxes: Any, form: Any = form) -> jax.Array:
            return form(RoISampling(), maps, (8,), boxes)

        def loss(maps: Any, boxes: Any, forward: Any = forward) -> jax.Array:
            return jnp.square(forward(maps, boxes)).sum()

        run, gradient = jax.jit(forward), jax.jit(jax.grad(loss))
        np.testing.assert_allclose(run(*given)[0].transpose(0, 3, 1, 2), theirs(), atol=1e-4)
        seconds[name] = cpu_seconds(lambda run=run: run(*given), rounds)
        seconds[f"{name}_with_gradient"] = cpu_seconds(lambda run=gradient: run(*given), rounds)
    return seconds | {"onnxruntime": cpu_seconds(theirs, rounds)}


def torchvision_step(python: str, rounds: int) -> dict[str, float]:
    """What torchvision_step.py prints, for the same images and boxes."""
    detector = small(("a", "b", "c"))
    script = pathlib.Path(__file__).with_name("torchvision_step.py")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "batch.npz"
        np.savez(path, **batch_of_noise(detector.height, detector.width))
        done = subprocess.run(
            [python, script, path, str(rounds)], check=True, capture_output=True, text=True
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(arguments: list[str]) -> None:
    del arguments
    rounds = _ROUNDS.value
    record = {
        "what": "preset small, batch 4, 192 x 256 pixels; CPU seconds, medians",
        "step": our_step(rounds),
        "suppression": suppression(rounds),
        "pooling": pooling(rounds),
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
        "versions": package_versions(),
    }
    if _TORCHVISION.value:
        record["torchvision"] = torchvision_step(_TORCHVISION.value, rounds)
    print(json.dumps(record, indent=1))
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
