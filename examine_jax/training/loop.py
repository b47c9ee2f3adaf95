"""A training run: it computes parameters from a training set, and continues after any kill."""

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import jax
import numpy as np
from jax.sharding import Mesh

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.on_device import on_device
from examine_jax.common.processes import check_same, is_first, wait_for_all
from examine_jax.common.shapes import Array, PyTree
from examine_jax.training.batches import BatchOrder, Order, RepeatedOrder
from examine_jax.training.checkpoints import Checkpoints, newest_step
from examine_jax.training.columns import (
    FILES,
    Columns,
    Data,
    RowSpec,
    as_columns,
    check_columns,
    count_rows,
    fingerprints,
    names_by_set,
)
from examine_jax.training.devices import data_mesh, gather_all, replicate
from examine_jax.training.feeding import (
    MOST_STEPS_PER_DISPATCH,
    StepMetrics,
    TrainSteps,
    fits,
    resident,
    streamed,
)
from examine_jax.training.method import Trainable, constant_state
from examine_jax.training.non_finite import NonFiniteLossError, first_non_finite, non_finite_error
from examine_jax.training.observer import Observer
from examine_jax.training.optimiser import LearningRate
from examine_jax.training.programs import Programs, programs_of, run_keys
from examine_jax.training.run_lock import run_lock
from examine_jax.training.run_log import Record, open_log
from examine_jax.training.settings import PretrainSettings
from examine_jax.training.start import Start, beginning, check_repeats, checked_start
from examine_jax.training.termination import terminations
from examine_jax.training.throughput import share_of_peak_a_rate

__all__ = ["NonFiniteLossError", "Trained", "train"]

_SECONDS_PER_DISPATCH = 1.0  # after each dispatch the bar moves and signals are handled


@dataclasses.dataclass(frozen=True)
class Trained:
    """The result of a run.

    Attributes:
        method, params, state: the arguments of the method's functions and of `save_encoder`.
        history: one record per step: "step" (the number of steps so far, from 1), "loss",
            "gradient_norm", "learning_rate", the method's own metrics, the observer's metrics, and
            three that depend on time: "seconds" since the (last) start of the run,
            "images_per_second" and, on known GPUs, "share_of_peak". Interruptions change only
            these three.
    """

    method: Trainable
    params: PyTree
    state: PyTree
    history: list[Record]


def train(
    method: Trainable,
    data: Data | Sequence[Data],
    settings: PretrainSettings,
    workdir: str | os.PathLike[str],
    *,
    names: Sequence[str] | Sequence[Sequence[str]] | None = None,
    start: tuple[PyTree, PyTree] | Start | None = None,
    repeats: Sequence[float] | None = None,
    observer: Observer | None = None,
    tensorboard: bool = False,
    checkpoint_seconds: float = 30.0,
    progress: bool = True,
) -> Trained:
    """Trains a method; the same call with the same workdir continues an interrupted run.

    Parameters after k steps depend only on the method, the settings and the training set. A run
    that is killed at any moment and started again ends with the same parameters (bitwise on a CPU)
    as one that is never killed. After a kill, the work since the last checkpoint is done again.
    SIGTERM saves and exits with code 143; Ctrl-C saves and raises KeyboardInterrupt. JAX's 64-bit
    types are off while it runs. All devices are used, those of all processes after
    `jax.distributed.initialize` (each process makes the same call, with a workdir that all share).
    Another number of devices gives the same run up to rounding, also if the number changes at a
    restart.

    Args:
        method: the method that is trained.
        data: the images, uint8 [N, H, W, C], or columns by name ({"image": ..., "label": ...}) of
            one length. A batch has rows of every column, and their numbers as "index". If all
            columns are arrays that take at most two fifths of the devices' memory, they stay on the
            devices; otherwise batches are read ahead of the steps. Images may be any object with
            len(), .shape and [int32 indices]. For several phases: a list or tuple with one training
            set per phase.
        settings: the settings of the training.
        workdir: receives checkpoints/, metrics.jsonl and pretraining.json (the run's
            configuration).
        names: the images' names, for messages; for several phases, one list per phase.
        start: (params, state) to begin with, of the shapes that the method's `init` gives, or what
            makes them of those of `init`; None: those of `init`.
        repeats: how often each image occurs in an epoch, on average (`RepeatedOrder`), for a
            single phase; None: once.
        observer: is called with the parameters at regular steps; it does not change them.
        tensorboard: also writes the records to workdir/tensorboard as event files (needs
            tensorboardX).
        checkpoint_seconds: the time from one checkpoint to the next; the latest two are kept.
        progress: shows a bar on stderr with loss, images/s and remaining time.

    Returns:
        The parameters and the method's state, on this process's first device, and the history.

    Raises:
        ValueError: the training set or the settings cannot be used; a column that the method needs
            is missing; the workdir holds another run (the message names the fields that differ) or
            a checkpoint of another architecture (the message names the parameter), or another
            process is training in it.
        NonFiniteLossError: a ValueError. The loss is NaN or infinite; the message names the step
            and the images.
        OSError: the workdir cannot be written; the message names the checkpoint from which the run
            can continue.
        KeyboardInterrupt: after Ctrl-C, when a checkpoint is saved; the message says how to
            continue.
    """
    # With 64-bit types, uniform and normal draws differ, and so would the parameters.
    with jax.enable_x64(False):
        return _train(
            method,
            data,
            settings,
            pathlib.Path(workdir),
            names=names,
            start=start,
            repeats=None if repeats is None else tuple(float(repeat) for repeat in repeats),
            observer=observer,
            tensorboard=tensorboard,
            checkpoint_seconds=checkpoint_seconds,
            progress=progress,
        )


def _train(
    method: Trainable,
    data: Data | Sequence[Data],
    settings: PretrainSettings,
    workdir: pathlib.Path,
    *,
    names: Sequence[str] | Sequence[Sequence[str]] | None,
    start: tuple[PyTree, PyTree] | Start | None,
    repeats: tuple[float, ...] | None,
    observer: Observer | None,
    tensorboard: bool,
    checkpoint_seconds: float,
    progress: bool,
) -> Trained:
    sets = tuple(as_columns(one) for one in (data if isinstance(data, list | tuple) else (data,)))
    check_columns(sets, method, settings)
    set_names = names_by_set(names, sets)
    orders: list[Order] = [
        BatchOrder(count_rows(columns), settings.batch_size, settings.seed, stream)
        for stream, columns in enumerate(sets)
    ]
    if repeats is not None:
        check_repeats(repeats, sets)
        orders = [RepeatedOrder(repeats, settings.batch_size, settings.seed)]
    steps = tuple(
        phase.count(order.steps_per_epoch) for phase, order in zip(settings.phases, orders)
    )
    micro_batch = settings.batch_size // settings.accumulate
    mesh = data_mesh(micro_batch)
    if progress and mesh.size < jax.device_count():
        print(
            f"{mesh.size} of {jax.device_count()} devices share a batch of {settings.batch_size} "
            "evenly",
            file=sys.stderr,
        )
    configuration = {
        "method": to_plain(method),
        "settings": to_plain(settings),
        **fingerprints(sets, method),
        **beginning(start, repeats),
    }
    check_same("training", configuration)
    first_process = is_first()
    if not first_process:
        wait_for_all("workdir")  # until the first process has written the configuration
    check_or_write_config(workdir / "pretraining.json", configuration, added=(FILES,))
    if first_process:
        wait_for_all("workdir")

    row = RowSpec.of(sets[0])
    programs = programs_of(method, settings, steps, mesh, row)
    if newest_step(workdir / "checkpoints") != sum(steps):  # else no step is left
        programs.compile_together()
    key, initial_key = run_keys(settings.seed, mesh)
    state = programs.start(initial_key)
    if start is not None:
        state = programs.start_from(*replicate(mesh, checked_start(start, state)))
    peak_share = share_of_peak_a_rate(method, state, row, micro_batch, list(mesh.devices.flat))

    lock = run_lock(workdir / "pretraining.json") if first_process else nullcontext()
    kept = Checkpoints(workdir / "checkpoints", constant_state(method))
    with lock, kept as checkpoints, terminations() as terminated:
        if checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
        done = int(state.step)
        begun = last_saved = time.monotonic()
        with open_log(workdir, done, sum(steps), tensorboard=tensorboard, progress=progress) as (
            history,
            log,
        ):
            for phase, (columns, order) in enumerate(zip(sets, orders)):
                first, end = sum(steps[:phase]), sum(steps[: phase + 1])
                if done >= end:
                    continue
                with _feed(
                    programs, columns, order, range(done - first, end - first), mesh, key
                ) as train_steps:
                    count = 1  # the first dispatch compiles; the second one measures a step's time
                    while done < end:
                        begin = time.monotonic()
                        until_due = end if observer is None else observer.steps_until_due(done)
                        indices = order.indices(done - first, min(count, end - done, until_due))
                        state, metrics = train_steps(state, indices)
                        now = time.monotonic()
                        clock = {
                            "seconds": now - begun,
                            "images_per_second": indices.size / (now - begin),
                        }
                        if peak_share is not None:
                            clock["share_of_peak"] = clock["images_per_second"] * peak_share
                        records = _records(metrics, done, programs.learning_rate, clock)
                        bad = first_non_finite(metrics)
                        if bad is not None:
                            log(records[:bad])
                            raise non_finite_error(
                                metrics, done, bad, indices[bad], set_names[phase]
                            )
                        done += len(indices)
                        if observer is not None and observer.is_due(done, sum(steps)):
                            records[-1] |= observer.observe(done, state.params, state.method_state)
                        log(records)
                        affordable = int(
                            _SECONDS_PER_DISPATCH * len(indices) / max(now - begin, 1e-6)
                        )
                        count = max(1, min(affordable, 4 * count, MOST_STEPS_PER_DISPATCH))
                        # All processes use the first one's clock, and all end if one of them gets
                        # SIGTERM.
                        decisions = gather_all(
                            count, now - last_saved > checkpoint_seconds, terminated.is_set()
                        )
                        count, due = int(decisions[0][0]), bool(decisions[0][1])
                        ending = any(decision[2] for decision in decisions)
                        checkpoints.check()
                        if due or ending:
                            checkpoints.save(state)
                            last_saved = now
                        if ending:
                            checkpoints.wait()
                            raise terminated.exception(done, sum(steps), workdir)
        checkpoints.save(state)
        checkpoints.wait()
        if terminated.is_set():
            raise terminated.exception(done, sum(steps), workdir)
    return Trained(
        method, _on_first_device(state.params), _on_first_device(state.method_state), history
    )


def _feed(
    programs: Programs, columns: Columns, order: Order, steps: range, mesh: Mesh, key: Array
) -> AbstractContextManager[TrainSteps]:
    if fits(columns, mesh):
        return resident(programs.steps, columns, mesh, key)
    batches = (order.indices(step, 1)[0] for step in steps)
    return streamed(programs.step, columns, batches, order.batch_size, mesh, key)


def _on_first_device(tree: PyTree) -> PyTree:
    """Copies the arrays to this process's first device, JAX's default."""
    return on_device(jax.tree.map(np.asarray, tree))


def _records(
    metrics: StepMetrics, done: int, learning_rate: LearningRate, clock: dict[str, int | float]
) -> list[Record]:
    records: list[Record] = []
    clock = {name: round(value, 3) for name, value in clock.items()}
    for i in range(len(metrics["loss"])):
        values = {name: float(column[i]) for name, column in metrics.items()}
        records.append(
            {
                "step": done + i + 1,
                **values,
                "learning_rate": float(learning_rate(done + i)),
                **clock,
            }
        )
    return records
