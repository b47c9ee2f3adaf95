"""How many images a CPU second the main job's stages take, and what their first call costs.

python -m benchmarks.speed.job_rates --images=FOLDER --output=benchmarks/results/FILE.json

Times are CPU seconds of this process and its workers, so that they hold beside other work; with
nothing beside it, two cores take half of them where a stage uses both. Each stage is timed once on
all images, after a first call, which compiles. Training is a step of the job's recipe. The encoder
has its first, random weights: the time does not depend on them.
"""

import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks.speed.timing import processor
from examine_jax.common.atomic_files import write_text
from examine_jax.evaluation.untrained import untrained_encoder
from examine_jax.features.preprocessing import preprocess
from examine_jax.images import ImageSet, load_images
from examine_jax.models.architectures import architecture
from examine_jax.pretraining import method_preset
from examine_jax.pretraining.recipes import recipe, recipe_preset
from examine_jax.quality import describe, find
from examine_jax.scoring import examine
from examine_jax.selection import select
from examine_jax.training.step import initial_state, make_compiled_step

_IMAGES = flags.DEFINE_string("images", None, "A folder of images.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_TIMED_STEPS = flags.DEFINE_integer("timed_steps", 8, "Training steps.", lower_bound=1)
_CHOSEN = flags.DEFINE_integer("chosen", 200, "Images to choose.", lower_bound=1)
_FEW = 128


def cpu_seconds() -> float:
    """Of this process and of its workers (which Linux alone tells)."""
    total = time.process_time()
    ticks = os.sysconf("SC_CLK_TCK")
    for file in pathlib.Path("/proc/self/task").glob("*/children"):
        for child in file.read_text().split():
            fields = pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    begin = cpu_seconds()
    result = jax.block_until_ready(function())
    return result, cpu_seconds() - begin


def training(images: np.ndarray) -> dict[str, float]:
    settings = recipe("small")
    method, _ = method_preset("mae", architecture("small"), preset=recipe_preset("small"))
    optimiser = settings.optimiser_of(settings.learning_rate((500,)))
    index = np.arange(settings.batch_size, dtype=np.int32)
    batch = {"image": images[index], "index": index}
    key = jax.random.key(0)
    state = jax.jit(lambda: initial_state(method, optimiser, key, batch))()
    step = make_compiled_step(method, optimiser, accumulate=settings.accumulate)
    (state, _), first = timed(lambda: step(state, batch, key))
    seconds = []
    for _ in range(_TIMED_STEPS.value):
        (state, _), one = timed(lambda state=state: step(state, batch, key))  # type: ignore[misc]
        seconds.append(one)
    return {
        "images": settings.batch_size,
        "cpu_seconds": float(np.median(seconds)),
        "first_call": first,
    }


def stages(folder: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}

    def load(described: bool) -> ImageSet:
        how = describe if described else None
        return load_images(folder, image_size=72, channels=3, describe=how)

    load(True)  # Files come from the system's cache from now on, and the workers run.
    for name, described in (("read", False), ("read and describe", True)):
        images, seconds = timed(lambda described=described: load(described))  # type: ignore[misc]
        found[name] = {"images": len(images), "cpu_seconds": seconds}
    found["train (a step)"] = training(images.pixels)
    method, _ = method_preset("mae", architecture("small"), steps=1)
    encoder = untrained_encoder(method, images.pixels[:1], 0)

    def after_first(
        name: str, warm_up: Callable[[], Any], function: Callable[[], Any] | None = None
    ) -> Any:
        _, first = timed(warm_up)
        result, seconds = timed(function or warm_up)
        found[name] = {"images": len(images), "cpu_seconds": seconds, "first_call": first}
        return result

    # All batches have one shape, so that a few images compile what all need.
    raw = after_first(
        "embed",
        lambda: encoder.embed(images.pixels[:_FEW]),
        lambda: encoder.embed(images.pixels),
    )
    found["embed"]["first_images"] = min(_FEW, len(images))
    features = preprocess(raw, "zscore", None)
    after_first("score", lambda: examine(features).gap)
    findings = after_first(
        "find the unusable",
        lambda: find(images.descriptions, pixels=images.pixels, features=features),
    )
    usable = findings.usable & (findings.duplicates_of < 0)
    after_first(f"choose {_CHOSEN.value}", lambda: select(features, _CHOSEN.value, usable=usable))
    return found


def main(_: list[str]) -> None:
    load = os.getloadavg()[0]
    record = {
        "what": "benchmarks/speed/job_rates.py: CPU seconds of the main job's stages",
        "machine": {
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "load_at_the_begin": load,
            "jax": jax.__version__,
            "numpy": np.__version__,
        },
        "stages": stages(_IMAGES.value),
    }
    write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    app.run(main)
