"""The speed of a training step, beside PyTorch's, and the time to the first step of a run.

    pytest benchmarks/speed/bench_pretraining.py --torch=PYTHON \
        --benchmark-json=benchmarks/results/FILE.json

PYTHON is an interpreter with torch and transformers; without it, PyTorch is left out. The two
libraries alternate, one step each a round, so that other load on the machine affects both. A step
is forward, backward and AdamW on 64 images of 72 px in float32: patches of 8, encoder 192 x 6,
decoder 96 x 2, mask ratio 0.4. Our step also gathers the batch from images on the device, rotates
and flips it; PyTorch's step gets the same batch of floats each time.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.speed.timing import median_seconds
from examine_jax.models import DecoderConfig, ViTConfig, architecture
from examine_jax.pretraining import MAE, AdamW, WarmupCosine, method_preset
from examine_jax.training.devices import data_mesh
from examine_jax.training.step import (
    initial_state,
    make_compiled_step,
    make_step,
    make_steps,
    steps_one_by_one,
    steps_together,
)

BATCH, ROUNDS = 64, 15
METHOD = MAE(ViTConfig(72, 8, 3, 192, 6, 6, 768), DecoderConfig(96, 2, 3, 384), mask_ratio=0.4)

PEER = """
import sys, torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining
torch.set_num_threads(int(sys.argv[1]))
model = ViTMAEForPreTraining(ViTMAEConfig(
    hidden_size=192, num_hidden_layers=6, num_attention_heads=6, intermediate_size=768,
    image_size=72, patch_size=8, decoder_hidden_size=96, decoder_num_hidden_layers=2,
    decoder_num_attention_heads=3, decoder_intermediate_size=384,
    mask_ratio=0.4, layer_norm_eps=1e-6)).train()
optimiser = torch.optim.AdamW(model.parameters(), 1e-4, betas=(0.9, 0.95), weight_decay=0.05)
images = torch.rand(int(sys.argv[2]), 3, 72, 72)
print(torch.__version__, flush=True)
for _ in sys.stdin:
    optimiser.zero_grad()
    loss = model(pixel_values=images).loss
    loss.backward()
    optimiser.step()
    print(float(loss.detach()), flush=True)
"""


def our_step(accumulate: int) -> Callable[[], None]:
    """A function that runs one step on a kept, donated state, as a run does."""
    optimiser = AdamW().build(WarmupCosine().build(BATCH, 1000))
    mesh = data_mesh(BATCH // accumulate)
    steps = make_steps(METHOD, optimiser, accumulate=accumulate, mesh=mesh)
    pixels = jnp.asarray(
        np.random.default_rng(0).integers(0, 256, (512, 72, 72, 3), dtype=np.uint8)
    )
    key = jax.random.key(0)
    held = [jax.jit(lambda: initial_state(METHOD, optimiser, key, {"image": pixels[:BATCH]}))()]
    orders = np.random.default_rng(1)

    def step() -> None:
        indices = jnp.asarray(orders.permutation(len(pixels))[None, :BATCH].astype(np.int32))
        held[0], metrics = steps(held[0], {"image": pixels}, indices, jnp.int32(1), key)
        jax.block_until_ready((held[0], metrics))

    return step


@pytest.mark.parametrize("accumulate", [1, 2, 4, 8])
def test_mae_step(benchmark: Any, request: pytest.FixtureRequest, accumulate: int) -> None:
    """Times our step beside PyTorch's.

    `extra_info` has PyTorch's times of the same rounds and the ratio of medians.
    """
    step = our_step(accumulate)
    step()
    step()
    python = request.config.getoption("--torch")
    if not python:
        benchmark.pedantic(step, rounds=ROUNDS)
        return
    threads = len(os.sched_getaffinity(0))
    arguments = [python, "-c", PEER, str(threads), str(BATCH)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        version = peer.stdout.readline().strip()
        theirs: list[float] = []

        def peer_step() -> None:
            begin = time.perf_counter()
            print(file=peer.stdin, flush=True)
            assert np.isfinite(float(peer.stdout.readline()))  # type: ignore[union-attr]
            theirs.append(time.perf_counter() - begin)

        for _ in range(2):
            peer_step()
        theirs.clear()
        benchmark.pedantic(step, setup=peer_step, rounds=ROUNDS)
        peer.stdin.close()
    benchmark.extra_info |= {
        "torch": version,
        "torch_median_s": statistics.median(theirs),
        "torch_min_s": min(theirs),
        "torch_over_ours": statistics.median(theirs) / median_seconds(benchmark),
        "device": str(jax.devices()[0]),
        "threads": threads,
        "jax": jax.__version__,
    }


@pytest.mark.parametrize(("image_size", "accumulate"), [(64, 1), (72, 1), (72, 4)])
def test_resnet_step(benchmark: Any, image_size: int, accumulate: int) -> None:
    """Times DCL on a ResNet-18, batch 16; `extra_info` has the same step in a compiled loop."""
    chosen = architecture("resnet18_imagenet_stem", image_size=image_size)
    method, settings = method_preset("dcl", chosen, preset="small", steps=100)
    optimiser = settings.optimiser.build(settings.schedule.build(16, 100))
    pixels = jnp.asarray(
        np.random.default_rng(0).integers(0, 256, (64, image_size, image_size, 3), dtype=np.uint8)
    )
    indices, key = jnp.arange(16, dtype=jnp.int32)[None], jax.random.key(0)
    batch = {"image": pixels[:16], "index": indices[0]}
    start = jax.jit(lambda: initial_state(method, optimiser, key, batch))
    looped: list[float] = []
    alone = steps_one_by_one(make_compiled_step(method, optimiser, accumulate=accumulate), None)
    looped_steps = steps_together(make_step(method, optimiser, accumulate=accumulate), None)
    runs = {steps_one_by_one: (alone, [start()]), steps_together: (looped_steps, [start()])}

    def step(make: Callable[..., Any]) -> None:
        run, held = runs[make]
        held[0], metrics = run(held[0], {"image": pixels}, indices, jnp.int32(1), key)
        jax.block_until_ready((held[0], metrics))

    def peer_step() -> None:
        begin = time.perf_counter()
        step(steps_together)
        looped.append(time.perf_counter() - begin)

    for make in runs:
        step(make)
    benchmark.pedantic(lambda: step(steps_one_by_one), setup=peer_step, rounds=3)
    benchmark.extra_info |= {
        "looped_median_s": statistics.median(looped),
        "looped_over_ours": statistics.median(looped) / median_seconds(benchmark),
        "device": str(jax.devices()[0]),
        "jax": jax.__version__,
    }


FIRST_STEP = """
import sys, time
begin = time.perf_counter()
import numpy as np
from examine_jax.pretraining import Phase, PretrainSettings, pretrain
from examine_jax.common.compilation_cache import keep_compiled_programs
from benchmarks.speed.bench_pretraining import METHOD
if sys.argv[2] != "none":
    assert keep_compiled_programs(sys.argv[2])
images = np.random.default_rng(0).integers(0, 256, (512, 72, 72, 3), dtype=np.uint8)
settings = PretrainSettings((Phase(steps=1),), batch_size=64)
pretrain(METHOD, images, settings, sys.argv[1], progress=False)
print(time.perf_counter() - begin)
"""


@pytest.mark.parametrize("cache", ["none", "empty", "filled"])
def test_time_to_the_first_step(
    benchmark: Any, cache: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: pathlib.Path
) -> None:
    """Times a new process from its imports to the saved step 1.

    It runs with and without compiled programs.
    """
    folder = tmp_path / "programs"
    runs = iter(range(100))

    def first_step() -> None:
        arguments = [str(tmp_path / str(next(runs))), "none" if cache == "none" else str(folder)]
        checkout = pathlib.Path(__file__).parents[2]
        subprocess.run(
            [sys.executable, "-c", FIRST_STEP, *arguments],
            check=True,
            cwd=checkout,
            capture_output=True,
        )

    if cache == "filled":
        first_step()
    benchmark.pedantic(first_step, rounds=1 if cache == "empty" else 3)
