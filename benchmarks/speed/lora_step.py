"""A training step of low-rank pairs beside one of all weights: memory and time.

    python -m benchmarks.speed.lora_step --output=benchmarks/results/FILE.json

Each kind runs in a process of its own, so that its peak memory is its own: all weights; pairs
beside queries, keys, values and the attention's output; and pairs with blocks that are computed
again (remat). A step is SimCLR's: views, forward, backward and AdamW's update. The first step is
not counted. Times are the least of the steps, in CPU seconds of the process, which other programs
hardly affect, and in wall seconds.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time

import jax
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.models import ViTConfig
from examine_jax.models.architectures import Architecture
from examine_jax.models.low_rank import LowRank
from examine_jax.pretraining import method_preset
from examine_jax.pretraining.low_rank import LowRankMethod
from examine_jax.reporting.page import package_versions
from examine_jax.training.method import Method
from examine_jax.training.step import initial_state, make_step

_KINDS = ("full", "lora", "lora_remat")
_KIND = flags.DEFINE_enum("kind", None, _KINDS, "One of the kinds, in this process; None: all.")
_RANK = flags.DEFINE_integer("rank", 8, "Of the pairs.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", 2, "Images a step, of which each has two views.")
_SIZE = flags.DEFINE_integer("image_size", 224, "In pixels.")
_DEPTH = flags.DEFINE_integer("depth", 24, "Blocks; 24 is a ViT-L's.")
_STEPS = flags.DEFINE_integer("steps", 2, "Steps that are timed.", lower_bound=1)
_ALL = flags.DEFINE_list("kinds", list(_KINDS), "Which kinds, each in a process of its own.")
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.")


def measured(kind: str) -> dict[str, float]:
    """Memory and time of one kind of step."""
    encoder = ViTConfig(
        image_size=_SIZE.value,
        patch_size=16,
        channels=3,
        width=1024,
        depth=_DEPTH.value,
        heads=16,
        mlp_width=4096,
        remat=kind == "lora_remat",
    )
    method, settings = method_preset("simclr", Architecture(encoder), steps=100)
    trained: Method = method if kind == "full" else LowRankMethod(method, LowRank(_RANK.value))
    optimiser = settings.optimiser_of(settings.learning_rate((100,)))
    random = np.random.default_rng(0)
    shape = (_BATCH.value, _SIZE.value, _SIZE.value, 3)
    batch = {
        "image": jax.numpy.asarray(random.integers(0, 256, shape, dtype=np.uint8)),
        "index": jax.numpy.arange(_BATCH.value),
    }
    key = jax.random.key(0)
    state = jax.jit(lambda key: initial_state(trained, optimiser, key, batch))(key)
    program = jax.jit(make_step(trained, optimiser), donate_argnums=0).lower(state, batch, key)
    step = program.compile()
    memory = step.memory_analysis()
    assert memory is not None
    times = []
    for _ in range(_STEPS.value + 1):
        begin, computing = time.perf_counter(), time.process_time()
        state, metrics = step(state, batch, key)
        jax.block_until_ready((state, metrics))
        times.append((time.process_time() - computing, time.perf_counter() - begin))
    assert np.isfinite(float(metrics["loss"]))

    def bytes_of(tree: object) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))

    return {
        "trained_parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "optimiser_bytes": bytes_of(state.optimiser_state),
        "checkpoint_bytes": bytes_of((state.params, state.optimiser_state)),
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "peak_resident_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "cpu_seconds": min(cpu for cpu, _ in times[1:]),
        "wall_seconds": min(wall for _, wall in times[1:]),
    }


def main(arguments: list[str]) -> None:
    if _KIND.value is not None:
        print(json.dumps(measured(_KIND.value)))
        return
    record: dict[str, object] = {
        "settings": {
            "batch_size": _BATCH.value,
            "image_size": _SIZE.value,
            "depth": _DEPTH.value,
            "rank": _RANK.value,
            "steps": _STEPS.value,
        },
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load_before": os.getloadavg()[0],
        "versions": package_versions(),
    }
    for kind in _ALL.value:
        command = [sys.executable, "-m", "benchmarks.speed.lora_step", f"--kind={kind}"]
        command += [
            f"--{name}={value.value}"
            for name, value in (
                ("rank", _RANK),
                ("batch_size", _BATCH),
                ("image_size", _SIZE),
                ("depth", _DEPTH),
                ("steps", _STEPS),
            )
        ]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        record[kind] = json.loads(output.splitlines()[-1])
        print(kind, record[kind], flush=True)
        if _OUTPUT.value is not None:  # after each kind: a large one takes long to compile
            write_text(_OUTPUT.value, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)
