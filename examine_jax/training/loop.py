"""A pretraining run: from images to parameters, resumable at any moment."""

import dataclasses
import functools
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.shapes import Array, PyTree
from examine_jax.evaluation.monitor import FeatureMonitor, make_look
from examine_jax.training.batches import BatchOrder
from examine_jax.training.checkpoints import Checkpoints
from examine_jax.training.devices import agreed, data_mesh, on_each, place_on_each, wait_for_all
from examine_jax.training.feeding import MOST_STEPS_A_DISPATCH, Columns, Pixels, Train, fits, resident, streamed
from examine_jax.training.history import Record
from examine_jax.training.method import Method
from examine_jax.training.non_finite import NonFiniteLossError, first_non_finite, non_finite_error
from examine_jax.training.optimiser import LearningRate
from examine_jax.training.run_lock import run_lock
from examine_jax.training.run_log import recording
from examine_jax.training.settings import PretrainSettings
from examine_jax.training.step import Step, Steps, TrainState, initial_state, make_compiled_step, make_steps
from examine_jax.training.throughput import share_of_peak_a_rate
from examine_jax.training.training_images import check_images, fingerprint, names_by_set

__all__ = ["NonFiniteLossError", "Pretrained", "pretrain"]

_SECONDS_A_DISPATCH = 1.0  # how often the bar moves and a signal is answered


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """What a run ends with.

    Attributes:
        method, params, state: hand these to `method.embed` or to `save_encoder`.
        history: a record a step: "step" (steps done, from 1), "loss", "gradient_norm", "learning_rate", the method's own metrics, what
            `FeatureMonitor` saw, and by the clock "seconds" since the run's (last) start, "images_per_second" and, on GPUs that are known,
            "share_of_peak". Everything but these three is the same however often the run was interrupted.
    """

    method: Method
    params: PyTree
    state: PyTree
    history: list[Record]


def pretrain(
    method: Method,
    images: Pixels | Sequence[Pixels],
    settings: PretrainSettings,
    workdir: str | os.PathLike[str],
    *,
    names: Sequence[str] | Sequence[Sequence[str]] | None = None,
    watching: FeatureMonitor | None = None,
    tensorboard: bool = False,
    checkpoint_seconds: float = 30.0,
    progress: bool = True,
) -> Pretrained:
    """Trains a method on images; called again with the same arguments and workdir, goes on where it was.

    Parameters after k steps depend on the method, the settings and the images alone. A run killed at any moment and started again ends
    with the same parameters (bitwise on a CPU) as one never killed; a kill costs the work since the last checkpoint, no more. SIGTERM saves
    and exits with code 143. Every device is trained on, those of all processes after `jax.distributed.initialize` (each calls this
    with the same arguments and a workdir that all share); another number of devices gives the same run to rounding, also halfway.

    Args:
        method: what is trained.
        images: uint8 [N, H, W, C]: an array, which lives on the devices if it takes up to two fifths of their memory, or anything with
            len(), .shape and [int32 indices], which is read ahead of the steps. A list or tuple of them where settings.phases are
            several, one a phase.
        settings: how.
        workdir: receives checkpoints/, metrics.jsonl and pretraining.json (the configuration of this run).
        names: of the images, for messages; a list of them a phase where there are several.
        watching: images whose features are looked at on the way, for collapse and classes; it changes no parameter.
        tensorboard: whether the records go to workdir/tensorboard as event files too (needs tensorboardX).
        checkpoint_seconds: how long after a checkpoint the next one is due; the latest two are kept.
        progress: a bar on stderr with the loss, images/s and the time left.

    Raises:
        ValueError: unusable images or settings; a workdir that holds another run (names the fields that differ), a checkpoint of another
            architecture (names the parameter), or in which another process is training.
        NonFiniteLossError: a ValueError; the step, the images of its batch and what to try.
        OSError: the workdir cannot be written, or no longer: says which checkpoint is whole, from which the run can go on.
    """
    workdir = pathlib.Path(workdir)
    sets = tuple(images) if isinstance(images, list | tuple) else (images,)
    check_images(sets, settings)
    set_names = names_by_set(names, sets)
    orders = [BatchOrder(len(pixels), settings.batch_size, settings.seed, stream) for stream, pixels in enumerate(sets)]
    steps = tuple(phase.count(order.steps_per_epoch) for phase, order in zip(settings.phases, orders))
    mesh = data_mesh(settings.batch_size // settings.accumulate)
    if progress and mesh.size < jax.device_count():
        print(
            f"{mesh.size} of {jax.device_count()} devices share a batch of {settings.batch_size} evenly",
            file=sys.stderr,
        )
    first_process = jax.process_index() == 0
    if not first_process:
        wait_for_all("workdir")  # until the first process has claimed it
    check_or_write_config(
        workdir / "pretraining.json",
        {
            "method": to_plain(getattr(method, "identity", method)),
            "settings": to_plain(settings),
            "images": [fingerprint(pixels) for pixels in sets],
        },
    )
    if first_process:
        wait_for_all("workdir")

    files = getattr(method, "files", ())
    programs = _programs(method, files, dataclasses.replace(settings, seed=0), steps, mesh, tuple(sets[0].shape[1:]))
    key, initial_key = _keys(settings.seed, mesh)
    state = programs.start(initial_key)
    look = None if watching is None else make_look(method, watching, sum(steps), mesh)
    peak_share = share_of_peak_a_rate(
        method, state, tuple(sets[0].shape[1:]), settings.batch_size // settings.accumulate, list(mesh.devices.flat)
    )

    alone = run_lock(workdir / "pretraining.json") if first_process else nullcontext()
    with alone, Checkpoints(workdir / "checkpoints") as checkpoints, _terminations() as terminated:
        if checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
        done = int(state.step)
        start = last_saved = time.monotonic()
        with recording(workdir, done, sum(steps), tensorboard=tensorboard, progress=progress) as (history, tell):
            for phase, (pixels, order) in enumerate(zip(sets, orders)):
                first, end = sum(steps[:phase]), sum(steps[: phase + 1])
                if done >= end:
                    continue
                with _feed(programs, pixels, order, range(done - first, end - first), mesh, key) as train:
                    count = 1  # the first dispatch compiles; the second one times a step
                    while done < end:
                        begin = time.monotonic()
                        until_look = end if watching is None else watching.steps_until_look(done)
                        indices = order.indices(done - first, min(count, end - done, until_look))
                        state, columns = train(state, indices)
                        now = time.monotonic()
                        clock = {"seconds": now - start, "images_per_second": indices.size / (now - begin)}
                        if peak_share is not None:
                            clock["share_of_peak"] = clock["images_per_second"] * peak_share
                        records = _records(columns, done, programs.learning_rate, clock)
                        bad = first_non_finite(columns)
                        if bad is not None:
                            tell(records[:bad])
                            raise non_finite_error(columns, done, bad, indices[bad], set_names[phase])
                        done += len(indices)
                        if look is not None:
                            records[-1] |= look(done, state.params, state.method_state)
                        tell(records)
                        affordable = int(_SECONDS_A_DISPATCH * len(indices) / max(now - begin, 1e-6))
                        count = max(1, min(affordable, 4 * count, MOST_STEPS_A_DISPATCH))
                        # All processes do what the first one's clock says, and end when any of them is told to.
                        decisions = agreed(count, now - last_saved > checkpoint_seconds, terminated.is_set())
                        count, due = int(decisions[0][0]), bool(decisions[0][1])
                        ending = any(decision[2] for decision in decisions)
                        checkpoints.check()
                        if due or ending:
                            checkpoints.save(state)
                            last_saved = now
                        if ending:
                            checkpoints.wait()
                            raise SystemExit(128 + signal.SIGTERM)
        checkpoints.save(state)
        checkpoints.wait()
    return Pretrained(method, _at_hand(state.params), _at_hand(state.method_state), history)


class _Programs(NamedTuple):
    learning_rate: LearningRate
    start: Callable[[Array], TrainState]  # from the initial key
    steps: Steps  # of images on the devices
    step: Step  # of images that come in batches


@functools.lru_cache(maxsize=8)
def _programs(
    method: Method,
    files: Hashable,
    settings: PretrainSettings,
    steps: tuple[int, ...],
    mesh: Mesh,
    image_shape: tuple[int, ...],
) -> _Programs:
    """Kept, so that a run with another seed compiles nothing; not when files have changed that the method reads."""
    learning_rate = settings.learning_rate(steps)
    optimiser = settings.optimiser.build(learning_rate)

    def start(key: Array) -> TrainState:
        shape = (settings.batch_size, *image_shape)
        example = {"image": jnp.zeros(shape, jnp.uint8), "index": jnp.arange(settings.batch_size, dtype=jnp.int32)}
        return initial_state(method, optimiser, key, example)

    # It runs once: what matters is how soon it is compiled.
    quickly = {"xla_backend_optimization_level": 0}
    return _Programs(
        learning_rate,
        jax.jit(start, out_shardings=on_each(mesh), compiler_options=quickly),
        make_steps(method, optimiser, accumulate=settings.accumulate, mesh=mesh),
        make_compiled_step(method, optimiser, accumulate=settings.accumulate, mesh=mesh),
    )


def _keys(seed: int, mesh: Mesh) -> tuple[Array, Array]:
    """(of the steps, of the initial parameters), on every device."""
    keys = jax.random.key_data(jax.random.split(jax.random.key(seed)))
    key, initial_key = (jax.random.wrap_key_data(place_on_each(mesh, data)) for data in np.asarray(keys))
    return key, initial_key


def _feed(
    programs: _Programs, pixels: Pixels, order: BatchOrder, steps: range, mesh: Mesh, key: Array
) -> AbstractContextManager[Train]:
    if fits(pixels, mesh):
        return resident(programs.steps, pixels, mesh, key)  # type: ignore[arg-type]
    batches = (order.indices(step, 1)[0] for step in steps)
    return streamed(programs.step, pixels, batches, order.batch_size, mesh, key)


def _at_hand(tree: PyTree) -> PyTree:
    """On this process's first device, as any other code's arrays are."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), tree)


def _records(columns: Columns, done: int, learning_rate: LearningRate, clock: dict[str, int | float]) -> list[Record]:
    records: list[Record] = []
    clock = {name: round(value, 3) for name, value in clock.items()}
    for i in range(len(columns["loss"])):
        values = {name: float(column[i]) for name, column in columns.items()}
        records.append({"step": done + i + 1, **values, "learning_rate": float(learning_rate(done + i)), **clock})
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
