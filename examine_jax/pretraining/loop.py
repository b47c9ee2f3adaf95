"""A pretraining run: from images to parameters, resumable at any moment."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from examine_jax._shapes import PyTree
from examine_jax.pretraining.batches import BatchOrder
from examine_jax.pretraining.checkpoints import Checkpoints
from examine_jax.pretraining.configuration import differences, to_plain
from examine_jax.pretraining.history import Record, append_history, read_history
from examine_jax.pretraining.method import Method
from examine_jax.pretraining.settings import PretrainSettings
from examine_jax.pretraining.train_step import Steps, TrainState, initial_state, make_steps

_MOST_STEPS_A_DISPATCH = 64
_SECONDS_A_DISPATCH = 1.0  # how often the bar moves and a signal is answered


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """What a run ends with.

    Attributes:
        method, params, state: hand these to `method.embed` or to `save_encoder`.
        history: a record a step: "step" (steps done, from 1), "loss", "gradient_norm", "learning_rate", "seconds" since the
            run's (last) start, and the method's own metrics. Everything but "seconds" is the same however often the run was interrupted.
    """

    method: Method
    params: PyTree
    state: PyTree
    history: list[Record]


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite.

    Attributes:
        step: the step (from 1); indices: of the images in its batch.
    """

    def __init__(self, message: str, step: int, indices: np.ndarray) -> None:
        super().__init__(message)
        self.step = step
        self.indices = indices


def pretrain(
    method: Method,
    images: np.ndarray | Sequence[np.ndarray],
    settings: PretrainSettings,
    workdir: str | os.PathLike[str],
    *,
    checkpoint_seconds: float = 30.0,
    progress: bool = True,
) -> Pretrained:
    """Trains a method on images; called again with the same arguments and workdir, goes on where it was.

    Parameters after k steps depend on the method, the settings and the images alone. A run killed at any moment and started again ends
    with the same parameters (bitwise on a CPU) as one never killed; a kill costs the work since the last checkpoint, no more. SIGTERM saves
    and exits with code 143.

    Args:
        method: what is trained.
        images: uint8 [N, H, W, C]; a sequence of such arrays where settings.phases are several, one a phase. They live on the device.
        settings: how.
        workdir: receives checkpoints/, metrics.jsonl and pretraining.json (the configuration of this run).
        checkpoint_seconds: how long after a checkpoint the next one is due; the latest two are kept.
        progress: a bar on stderr with the loss, images/s and the time left.

    Raises:
        ValueError: unusable images or settings; a workdir that holds another run (names the fields that differ) or a checkpoint of another
            architecture (names the parameter).
        NonFiniteLossError: a ValueError; the step and what to try.
        OSError: the workdir cannot be written.
    """
    workdir = pathlib.Path(workdir)
    sets = (images,) if isinstance(images, np.ndarray) else tuple(images)
    _check_images(sets, settings)
    orders = [BatchOrder(len(array), settings.batch_size, settings.seed, stream) for stream, array in enumerate(sets)]
    steps = tuple(phase.count(order.steps_per_epoch) for phase, order in zip(settings.phases, orders))
    workdir.mkdir(parents=True, exist_ok=True)
    _claim(
        workdir,
        {"method": to_plain(method), "settings": to_plain(settings), "images": [_fingerprint(array) for array in sets]},
    )

    learning_rate, start_state, run_steps = _programs(method, dataclasses.replace(settings, seed=0), steps)
    key, initial_key = jax.random.split(jax.random.key(settings.seed))
    example = {"image": jnp.asarray(sets[0][: settings.batch_size]), "index": jnp.arange(settings.batch_size)}
    state = start_state(initial_key, example)
    metrics_file = workdir / "metrics.jsonl"

    with Checkpoints(workdir / "checkpoints") as checkpoints, _terminations() as terminated:
        if checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
        done = int(state.step)
        history = read_history(metrics_file, done)
        start = last_saved = time.monotonic()
        with tqdm(
            total=sum(steps), initial=done, unit="step", desc="pretraining", disable=not progress, dynamic_ncols=True
        ) as bar:
            for phase, (array, order) in enumerate(zip(sets, orders)):
                first, end = sum(steps[:phase]), sum(steps[: phase + 1])
                on_device = jnp.asarray(array) if done < end else None
                count = 1  # the first dispatch compiles; the second one times a step
                while done < end:
                    begin = time.monotonic()
                    indices = order.indices(done - first, min(count, end - done))
                    state, columns = _dispatch(run_steps, state, on_device, indices, key)
                    _check_finite(columns["loss"], done, indices)
                    now = time.monotonic()
                    records = _records(columns, done, learning_rate, now - start)
                    append_history(metrics_file, records)
                    history += records
                    done += len(indices)
                    bar.set_postfix_str(
                        f"loss {records[-1]['loss']:.4f}, {indices.size / (now - begin):.0f} images/s", refresh=False
                    )
                    bar.update(len(indices))
                    if terminated.is_set() or now - last_saved > checkpoint_seconds:
                        checkpoints.save(state)
                        last_saved = now
                    if terminated.is_set():
                        checkpoints.wait()
                        raise SystemExit(128 + signal.SIGTERM)
                    affordable = int(_SECONDS_A_DISPATCH * len(indices) / max(now - begin, 1e-6))
                    count = max(1, min(affordable, 4 * count, _MOST_STEPS_A_DISPATCH))
        checkpoints.save(state)
        checkpoints.wait()
    return Pretrained(method, state.params, state.method_state, history)


@functools.lru_cache(maxsize=8)
def _programs(method: Method, settings: PretrainSettings, steps: tuple[int, ...]) -> tuple[Any, Any, Steps]:
    """(learning rate by step, initial state from key and batch, steps): kept, so that a run with another seed compiles nothing."""
    learning_rate = settings.learning_rate(steps)
    optimiser = settings.optimiser.build(learning_rate)
    # It runs once: what matters is how soon it is compiled.
    quickly = {"xla_backend_optimization_level": 0}
    start_state = jax.jit(functools.partial(initial_state, method, optimiser), compiler_options=quickly)
    return learning_rate, start_state, make_steps(method, optimiser)


def _dispatch(
    run_steps: Steps, state: TrainState, images: Any, indices: np.ndarray, key: Any
) -> tuple[TrainState, dict[str, np.ndarray]]:
    """Trains on the batches of `indices` [n, B], n up to the capacity; the metrics of each."""
    padded = np.zeros((_MOST_STEPS_A_DISPATCH, indices.shape[1]), np.int32)
    padded[: len(indices)] = indices
    state, metrics = run_steps(state, images, jnp.asarray(padded), jnp.int32(len(indices)), key)
    return state, {name: np.asarray(column)[: len(indices)] for name, column in metrics.items()}


def _check_images(sets: tuple[Any, ...], settings: PretrainSettings) -> None:
    if len(sets) != len(settings.phases):
        raise ValueError(f"pretrain: {len(settings.phases)} phases need as many arrays of images, got {len(sets)}")
    for array in sets:
        if array.dtype != np.uint8 or array.ndim != 4:
            raise ValueError(
                f"pretrain: images must be uint8 [N, height, width, channels], got {array.dtype} {array.shape}"
            )
        if array.shape[1:] != sets[0].shape[1:]:
            raise ValueError(f"pretrain: the phases' images differ in shape: {sets[0].shape[1:]} and {array.shape[1:]}")


def _fingerprint(array: np.ndarray) -> dict[str, Any]:
    return {"shape": list(array.shape), "sha256": hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()}


def _claim(workdir: pathlib.Path, configuration: dict[str, Any]) -> None:
    """Writes pretraining.json, or compares with the one that is there."""
    file = workdir / "pretraining.json"
    if file.exists():
        try:
            there = json.loads(file.read_text())
        except ValueError as error:
            raise ValueError(f"{file} is not readable JSON ({error}); choose another workdir") from error
        found = differences(there, json.loads(json.dumps(configuration)))
        if found:
            raise ValueError(
                f"{workdir} holds another run ({'; '.join(found[:5])}); choose another workdir or the same settings"
            )
        return
    temporary = file.with_name(file.name + ".tmp")
    with temporary.open("w") as stream:
        json.dump(configuration, stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def _check_finite(losses: np.ndarray, done: int, indices: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        step = done + int(bad[0]) + 1
        raise NonFiniteLossError(
            f"the loss is {losses[bad[0]]} at step {step}: try a lower learning rate, AdamW(clip_norm=1.0), or dtype='float32'",
            step,
            indices[bad[0]],
        )


def _records(columns: dict[str, np.ndarray], done: int, learning_rate: Any, seconds: float) -> list[Record]:
    records = []
    for i in range(len(columns["loss"])):
        values = {name: float(column[i]) for name, column in columns.items()}
        rate = float(learning_rate(done + i))
        records.append({"step": done + i + 1, **values, "learning_rate": rate, "seconds": round(seconds, 3)})
    return records


@contextmanager
def _terminations() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, while inside; elsewhere than in the main thread signals are left alone."""
    terminated = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield terminated
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        terminated.set()

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, before)
