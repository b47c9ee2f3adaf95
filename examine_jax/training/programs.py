"""The compiled programs of a training run, and their compilation before they are needed."""

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from examine_jax.common.compilation_cache import QUICKLY
from examine_jax.common.processes import process_count
from examine_jax.common.shapes import Array, PyTree
from examine_jax.training.columns import RowSpec
from examine_jax.training.devices import data_mesh, replicate, replicated, sharded
from examine_jax.training.method import Trainable
from examine_jax.training.optimiser import LearningRate
from examine_jax.training.settings import PretrainSettings
from examine_jax.training.step import (
    Step,
    Steps,
    TrainState,
    initial_state,
    make_compiled_step,
    make_steps,
)


class Programs(NamedTuple):
    """The programs of a run.

    Attributes:
        learning_rate: the schedule.
        start: the state before step 0, from the initial key.
        start_from: the same, from parameters and the method's state.
        steps: for columns on the devices.
        step: for batches that are read ahead. On a CPU it is also what `steps` runs.
        compile_together: compiles `start` and `step` at once, on two cores, in place of one after
            the other at their first calls. A second call does nothing. With several processes, or
            where `steps` has a program of its own (on accelerators), it does nothing.
    """

    learning_rate: LearningRate
    start: Callable[[Array], TrainState]
    start_from: Callable[[PyTree, PyTree], TrainState]
    steps: Steps
    step: Step
    compile_together: Callable[[], None]


def programs_of(
    method: Trainable, settings: PretrainSettings, steps: tuple[int, ...], mesh: Mesh, row: RowSpec
) -> Programs:
    """The programs of a run. They are cached, so a run with another seed compiles nothing.

    Args:
        steps: the number of steps of each phase.
        row: of the training set.
    """
    with _making:  # a second thread waits, and gets the same programs
        return _programs(method, dataclasses.replace(settings, seed=0), steps, mesh, row)


_making = threading.Lock()


@functools.lru_cache(maxsize=8)
def _programs(
    method: Trainable, settings: PretrainSettings, steps: tuple[int, ...], mesh: Mesh, row: RowSpec
) -> Programs:
    learning_rate = settings.learning_rate(steps)
    optimiser = settings.optimiser_of(learning_rate)

    def start(key: Array) -> TrainState:
        return initial_state(method, optimiser, key, row.example_batch(settings.batch_size))

    def start_from(params: PyTree, method_state: PyTree) -> TrainState:
        zero = jnp.zeros((), jnp.int32)
        return TrainState(zero, params, method_state, optimiser.init(params))

    everywhere = replicated(mesh)
    compiled_start = jax.jit(start, out_shardings=everywhere, compiler_options=QUICKLY)
    one_step = make_compiled_step(method, optimiser, accumulate=settings.accumulate, mesh=mesh)
    compiling, is_compiled = threading.Lock(), False

    def compile_together() -> None:
        nonlocal is_compiled
        with compiling:
            if not is_compiled and _compiles_ahead(one_step):
                key, _ = run_keys(0, mesh)
                state = _placed(jax.eval_shape(compiled_start, key), everywhere)
                batch = _placed(row.batch_shapes(settings.batch_size), sharded(mesh))
                _compile_at_once((compiled_start, (key,)), (one_step, (state, batch, key)))
            is_compiled = True

    return Programs(
        learning_rate,
        compiled_start,
        jax.jit(start_from, out_shardings=everywhere, compiler_options=QUICKLY),
        make_steps(
            method, optimiser, accumulate=settings.accumulate, mesh=mesh, compiled_step=one_step
        ),
        one_step,
        compile_together,
    )


def run_keys(seed: int, mesh: Mesh) -> tuple[Array, Array]:
    """(key of the steps, key of the initial parameters), both on every device."""
    keys = jax.random.key_data(jax.random.split(jax.random.key(seed)))
    key, initial_key = (
        jax.random.wrap_key_data(replicate(mesh, data)) for data in np.asarray(keys)
    )
    return key, initial_key


def _compiles_ahead(step: Step) -> bool:
    return process_count() == 1 and jax.default_backend() == "cpu" and hasattr(step, "lower")


def _placed(shapes: PyTree, sharding: NamedSharding) -> PyTree:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )


def _compile_at_once(*programs: tuple[Any, tuple[Any, ...]]) -> None:
    """Compiles jitted functions for arguments of these shapes; their later calls find it done."""
    # Python traces one after the other. XLA compiles without Python's lock.
    lowered = [function.lower(*arguments) for function, arguments in programs]
    with ThreadPoolExecutor(len(lowered)) as threads:
        for _ in threads.map(lambda one: one.compile(), lowered):
            pass


def compile_meanwhile(method: Trainable, settings: PretrainSettings, row: RowSpec) -> None:
    """Begins to compile a run's first programs, and returns at once: images are read meanwhile.

    `train` waits for the end. It helps where phases have a number of steps, as a number of epochs
    needs the number of images. If `train` is called with other settings than these, the work is
    lost and nothing else changes. What cannot be compiled is no error here: `train` reports it.

    Args:
        method, settings: as for `train`.
        row: of the training set to come.
    """
    steps = tuple(phase.steps for phase in settings.phases if phase.steps is not None)
    if len(steps) < len(settings.phases):
        return

    def compile_programs() -> None:
        # As in `train`. A new thread has JAX's defaults.
        with contextlib.suppress(Exception), jax.enable_x64(False):
            mesh = data_mesh(settings.batch_size // settings.accumulate)
            programs_of(method, settings, steps, mesh, row).compile_together()

    threading.Thread(target=compile_programs, name="compile").start()
