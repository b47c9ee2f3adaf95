"""One training step, or several steps in one dispatch: pure functions of arrays."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from examine_jax.common.shapes import Array, Float, Int, Key, PyTree, Shaped
from examine_jax.training.devices import replicated, sharded
from examine_jax.training.method import Batch, Trainable


class TrainState(NamedTuple):
    """Everything that the next step depends on, except the seed and the training set."""

    step: Int[Array, ""]  # the number of steps so far
    params: PyTree
    method_state: PyTree
    optimiser_state: PyTree


Metrics = dict[str, Array]
Step = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]
Steps = Callable[
    [TrainState, Mapping[str, Array], Array, Array, Array],
    tuple[TrainState, Metrics | dict[str, np.ndarray]],
]


def initial_state(
    method: Trainable, optimiser: optax.GradientTransformation, key: Key[Array, ""], batch: Batch
) -> TrainState:
    """The state before step 0."""
    params, method_state = method.init(key, batch)
    return TrainState(jnp.zeros((), jnp.int32), params, method_state, optimiser.init(params))


def make_step(
    method: Trainable,
    optimiser: optax.GradientTransformation,
    *,
    accumulate: int = 1,
    mesh: Mesh | None = None,
) -> Step:
    """Makes step(state, batch, key) -> (state, metrics), not jitted, for use inside other programs.

    The key is the run's; step k draws from fold_in(key, k). Metrics are float32 scalars: "loss",
    "gradient_norm" and the method's own.

    With several micro-batches, gradients, losses and metrics are means over them. If the loss is a
    mean over images, the mean gradient is that of the whole batch. Losses that compare images, and
    batch norms, use one micro-batch at a time. Micro-batch a draws from fold_in(fold_in(key, k),
    a). Each micro-batch receives the method's state from the previous one.

    Args:
        method: what is trained.
        optimiser: an optax transformation.
        accumulate: the number of equal micro-batches per batch.
        mesh: a mesh of one axis over which every (micro-)batch is sharded; None: the batch is not
            moved.
    """
    whole, updated = _gradient(method, mesh), _update(method, optimiser)

    def in_micro_batches(
        params: PyTree, method_state: PyTree, batch: Batch, key: Array
    ) -> tuple[PyTree, PyTree, Metrics]:
        parts = jax.tree.map(
            lambda x: jnp.moveaxis(x, 1, 0), _micro_batches(batch, accumulate, mesh)
        )

        def body(
            carry: tuple[PyTree, PyTree], part: tuple[Array, Batch]
        ) -> tuple[tuple[PyTree, PyTree], Metrics]:
            total, method_state = carry
            number, micro_batch = part
            gradient, method_state, metrics = whole(
                params, method_state, micro_batch, jax.random.fold_in(key, number)
            )
            return (jax.tree.map(jnp.add, total, gradient), method_state), metrics

        nothing = jax.tree.map(jnp.zeros_like, params)
        (total, method_state), metrics = jax.lax.scan(
            body, (nothing, method_state), (jnp.arange(accumulate), parts)
        )
        gradient = jax.tree.map(lambda leaf: leaf / accumulate, total)
        return gradient, method_state, {name: jnp.mean(values) for name, values in metrics.items()}

    def step(
        state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        step_key = jax.random.fold_in(key, state.step)
        gradient, method_state, metrics = (whole if accumulate == 1 else in_micro_batches)(
            state.params, state.method_state, batch, step_key
        )
        return updated(state._replace(method_state=method_state), gradient, metrics)

    return step


def make_compiled_step(
    method: Trainable,
    optimiser: optax.GradientTransformation,
    *,
    accumulate: int = 1,
    mesh: Mesh | None = None,
) -> Step:
    """`make_step`, compiled. The state is donated.

    On a CPU, if the method has convolutions, each micro-batch is a separate dispatch; see
    `make_steps`.
    """
    placed = None if mesh is None else replicated(mesh)
    whole = jax.jit(
        make_step(method, optimiser, accumulate=accumulate, mesh=mesh),
        donate_argnums=0,
        out_shardings=placed,
    )
    if accumulate == 1 or jax.default_backend() != "cpu":
        return whole
    chosen: Step | None = None

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        nonlocal chosen
        if chosen is None:
            program = jax.make_jaxpr(method.loss)(state.params, state.method_state, batch, key)
            by_parts = "conv_general_dilated" in str(program)
            chosen = (
                step_by_parts(method, optimiser, accumulate=accumulate, mesh=mesh)
                if by_parts
                else whole
            )
        return chosen(state, batch, key)

    return step


def step_by_parts(
    method: Trainable,
    optimiser: optax.GradientTransformation,
    *,
    accumulate: int,
    mesh: Mesh | None,
) -> Step:
    """`make_compiled_step` with one dispatch per micro-batch and one for the update."""
    gradient_of, updated = _gradient(method, mesh), _update(method, optimiser)

    def part(
        total: PyTree,
        params: PyTree,
        method_state: PyTree,
        batch: Batch,
        number: Array,
        step: Array,
        key: Array,
    ) -> tuple[PyTree, PyTree, Metrics]:
        micro_batch = jax.tree.map(lambda x: x[:, number], _micro_batches(batch, accumulate, mesh))
        key = jax.random.fold_in(jax.random.fold_in(key, step), number)
        gradient, method_state, metrics = gradient_of(params, method_state, micro_batch, key)
        return jax.tree.map(jnp.add, total, gradient), method_state, metrics

    def update(
        state: TrainState, total: PyTree, metrics: list[Metrics]
    ) -> tuple[TrainState, Metrics]:
        gradient = jax.tree.map(lambda leaf: leaf / accumulate, total)
        means = {name: jnp.mean(jnp.stack([own[name] for own in metrics])) for name in metrics[0]}
        return updated(state, gradient, means)

    placed = None if mesh is None else replicated(mesh)
    compiled_zeros = jax.jit(
        lambda params: jax.tree.map(jnp.zeros_like, params), out_shardings=placed
    )
    compiled_part = jax.jit(part, donate_argnums=0, out_shardings=placed)
    compiled_update: Callable[[TrainState, PyTree, list[Metrics]], tuple[TrainState, Metrics]] = (
        jax.jit(update, donate_argnums=0, out_shardings=placed)
    )

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        total, method_state, metrics = compiled_zeros(state.params), state.method_state, []
        for number in range(accumulate):
            total, method_state, own = compiled_part(
                total, state.params, method_state, batch, np.int32(number), state.step, key
            )
            metrics.append(own)
        return compiled_update(state._replace(method_state=method_state), total, metrics)

    return step


Gradient = Callable[[PyTree, PyTree, Batch, Array], tuple[PyTree, PyTree, Metrics]]


def _gradient(method: Trainable, mesh: Mesh | None) -> Gradient:
    """(params, method_state, batch, key) -> (gradient, method_state, metrics)."""
    differentiate = jax.value_and_grad(method.loss, has_aux=True)

    def gradient_of(
        params: PyTree, method_state: PyTree, batch: Batch, key: Array
    ) -> tuple[PyTree, PyTree, Metrics]:
        (loss, (method_state, metrics)), gradient = differentiate(
            params, method_state, _sharded(batch, mesh), key
        )
        return gradient, method_state, {"loss": loss, **metrics}

    return gradient_of


def _update(
    method: Trainable, optimiser: optax.GradientTransformation
) -> Callable[[TrainState, PyTree, Metrics], tuple[TrainState, Metrics]]:
    """(state, gradient, metrics) -> (state, metrics).

    The method's state in `state` is the one that the loss returned.
    """

    def updated(
        state: TrainState, gradient: PyTree, metrics: Metrics
    ) -> tuple[TrainState, Metrics]:
        updates, optimiser_state = optimiser.update(gradient, state.optimiser_state, state.params)
        params = optax.apply_updates(state.params, updates)
        done = state.step + 1
        method_state = method.after_update(params, state.method_state, done)
        metrics = {"loss": metrics["loss"], "gradient_norm": optax.global_norm(gradient), **metrics}
        return TrainState(done, params, method_state, optimiser_state), metrics

    return updated


def _sharded(batch: Batch, mesh: Mesh | None) -> Batch:
    if mesh is not None:
        batch = jax.lax.with_sharding_constraint(batch, sharded(mesh))
    return batch


def _micro_batches(batch: Batch, accumulate: int, mesh: Mesh | None) -> Batch:
    """Reshapes [B, ...] to [B / accumulate, accumulate, ...].

    A micro-batch has every `accumulate`-th image, so that every image stays on its device.
    """
    parts: Batch = jax.tree.map(
        lambda x: x.reshape(-1, accumulate, *x.shape[1:]), _sharded(batch, mesh)
    )
    return parts


def make_steps(
    method: Trainable,
    optimiser: optax.GradientTransformation,
    *,
    accumulate: int = 1,
    mesh: Mesh | None = None,
    compiled_step: Step | None = None,
) -> Steps:
    """Makes steps(state, columns, indices, count, key) -> (state, metrics): `count` compiled steps.

    The columns [N, ...] are on the device. indices [M, B] int32 holds the row numbers of each
    batch; the function trains on the first `count` <= M batches. Progress, checkpoints or a kill
    may divide a run into dispatches of any lengths: the same compiled steps run, and nothing is
    compiled again. Metrics have at least `count` entries, of which the first `count` are valid. The
    state is donated.

    An accelerator runs all steps in one dispatch. A CPU runs one step per dispatch, for two
    reasons. Inside a loop, XLA compiles the gradients of convolutions for a CPU without its fast
    kernels: for a ResNet-18 they are seventeen times slower (jax-ml/jax issue 12868). And a
    dispatch on a CPU takes little time. Micro-batches are a loop too. Without convolutions they are
    faster inside the loop.

    Args:
        method, optimiser, accumulate, mesh: as for `make_step`.
        compiled_step: the result of `make_compiled_step` for the same, which a CPU runs; None: it
            is made.
    """
    if jax.default_backend() == "cpu":
        if compiled_step is None:
            compiled_step = make_compiled_step(method, optimiser, accumulate=accumulate, mesh=mesh)
        return steps_one_by_one(compiled_step, mesh)
    return steps_together(make_step(method, optimiser, accumulate=accumulate, mesh=mesh), mesh)


def steps_together(step: Step, mesh: Mesh | None) -> Steps:
    """`make_steps` with all steps in one dispatch.

    Args:
        step: the result of `make_step` for the same mesh.
        mesh: as for `make_step`.
    """

    def steps(
        state: TrainState,
        columns: Mapping[str, Shaped[Array, "count ..."]],
        indices: Int[Array, "most batch"],
        count: Int[Array, ""],
        key: Key[Array, ""],
    ) -> tuple[TrainState, dict[str, Float[Array, " most"]]]:
        # `count` is an argument of the program, so another count needs no compilation.
        def body(i: Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
            state, history = carry
            state, metrics = step(state, _batch(columns, indices, i, mesh), key)
            return state, {name: history[name].at[i].set(value) for name, value in metrics.items()}

        shapes = jax.eval_shape(
            lambda: step(state, _batch(columns, indices, jnp.int32(0), mesh), key)[1]
        )
        history = {name: jnp.zeros((len(indices),), jnp.float32) for name in shapes}
        state, history = jax.lax.fori_loop(0, count, body, (state, history))
        return state, history

    return jax.jit(
        steps, donate_argnums=0, out_shardings=None if mesh is None else replicated(mesh)
    )


def steps_one_by_one(step: Step, mesh: Mesh | None) -> Steps:
    """`make_steps` with one dispatch per step. No dispatch waits for the end of the previous one.

    Args:
        step: the result of `make_compiled_step` for the same mesh.
        mesh: as for `make_step`.
    """
    batch_of = jax.jit(
        functools.partial(_batch, mesh=mesh),
        out_shardings=None if mesh is None else sharded(mesh),
    )

    def steps(
        state: TrainState,
        columns: Mapping[str, Array],
        indices: Array,
        count: Int[Array, ""],
        key: Array,
    ) -> tuple[TrainState, dict[str, np.ndarray]]:
        history = []
        for i in range(int(count)):
            state, metrics = step(state, batch_of(columns, indices, np.int32(i)), key)
            history.append(metrics)
        return state, {
            name: np.array([np.asarray(row[name]) for row in history]) for name in history[0]
        }

    return steps


def _batch(
    columns: Mapping[str, Array], indices: Array, i: Array | np.integer, mesh: Mesh | None
) -> Batch:
    index = indices[i]
    if mesh is not None:  # each device gathers only its own rows
        index = jax.lax.with_sharding_constraint(index, sharded(mesh))
    return {**{name: column[index] for name, column in columns.items()}, "index": index}
