"""One step of training, and several of them in one dispatch: pure functions of arrays."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from examine_jax.common.shapes import Array, Float, Int, Key, PyTree, Shaped
from examine_jax.training.devices import on_each, over_batch
from examine_jax.training.method import Batch, Method


class TrainState(NamedTuple):
    """All that a run's next step depends on, beside its seed and its images."""

    step: Int[Array, ""]  # steps done
    params: PyTree
    method_state: PyTree
    optimiser_state: PyTree


Metrics = dict[str, Array]
Step = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]
Steps = Callable[[TrainState, Array, Array, Array, Array], tuple[TrainState, Metrics | dict[str, np.ndarray]]]


def initial_state(
    method: Method, optimiser: optax.GradientTransformation, key: Key[Array, ""], batch: Batch
) -> TrainState:
    """The state before step 0."""
    params, method_state = method.init(key, batch)
    return TrainState(jnp.zeros((), jnp.int32), params, method_state, optimiser.init(params))


def make_step(
    method: Method, optimiser: optax.GradientTransformation, *, accumulate: int = 1, mesh: Mesh | None = None
) -> Step:
    """step(state, batch, key) -> (state, metrics); not jitted, so that it can be put inside loops and other codes' jit.

    The key is the run's; step k draws from fold_in(key, k). Metrics are float32 scalars: "loss", "gradient_norm" and the method's own.

    Args:
        accumulate: the batch is cut into that many equal micro-batches, one after the other; gradients, losses and metrics are their means.
            Where a loss is a mean over images, that is the whole batch's gradient; losses that compare images, and batch norms, see
            a micro-batch alone. Micro-batch a of several draws from fold_in(fold_in(key, k), a); the method's state goes through
            them in turn.
        mesh: of one axis, over which every (micro-)batch is spread; None: the batch stays as it is placed.
    """
    whole, updated = _gradient(method, mesh), _update(method, optimiser)

    def in_parts(params: PyTree, method_state: PyTree, batch: Batch, key: Array) -> tuple[PyTree, PyTree, Metrics]:
        parts = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), _micro_batches(batch, accumulate, mesh))

        def body(carry: tuple[PyTree, PyTree], part: tuple[Array, Batch]) -> tuple[tuple[PyTree, PyTree], Metrics]:
            total, method_state = carry
            number, micro_batch = part
            gradient, method_state, metrics = whole(params, method_state, micro_batch, jax.random.fold_in(key, number))
            return (jax.tree.map(jnp.add, total, gradient), method_state), metrics

        nothing = jax.tree.map(jnp.zeros_like, params)
        (total, method_state), metrics = jax.lax.scan(body, (nothing, method_state), (jnp.arange(accumulate), parts))
        gradient = jax.tree.map(lambda leaf: leaf / accumulate, total)
        return gradient, method_state, {name: jnp.mean(values) for name, values in metrics.items()}

    def step(state: TrainState, batch: Batch, key: Key[Array, ""]) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        step_key = jax.random.fold_in(key, state.step)
        gradient, method_state, metrics = (whole if accumulate == 1 else in_parts)(
            state.params, state.method_state, batch, step_key
        )
        return updated(state._replace(method_state=method_state), gradient, metrics)

    return step


def make_compiled_step(
    method: Method, optimiser: optax.GradientTransformation, *, accumulate: int = 1, mesh: Mesh | None = None
) -> Step:
    """As `make_step`, compiled, the state donated.

    On a CPU the micro-batches of a method with convolutions are a dispatch each; `make_steps` says why.
    """
    placed = None if mesh is None else on_each(mesh)
    whole = jax.jit(
        make_step(method, optimiser, accumulate=accumulate, mesh=mesh), donate_argnums=0, out_shardings=placed
    )
    if accumulate == 1 or jax.default_backend() != "cpu":
        return whole
    chosen: Step | None = None

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        nonlocal chosen
        if chosen is None:
            program = jax.make_jaxpr(method.loss)(state.params, state.method_state, batch, key)
            by_parts = "conv_general_dilated" in str(program)
            chosen = step_by_parts(method, optimiser, accumulate=accumulate, mesh=mesh) if by_parts else whole
        return chosen(state, batch, key)

    return step


def step_by_parts(
    method: Method, optimiser: optax.GradientTransformation, *, accumulate: int, mesh: Mesh | None
) -> Step:
    """As `make_compiled_step`: a dispatch for each micro-batch and one for the update."""
    gradient_of, updated = _gradient(method, mesh), _update(method, optimiser)

    def part(
        total: PyTree, params: PyTree, method_state: PyTree, batch: Batch, number: Array, step: Array, key: Array
    ) -> tuple[PyTree, PyTree, Metrics]:
        micro_batch = jax.tree.map(lambda x: x[:, number], _micro_batches(batch, accumulate, mesh))
        key = jax.random.fold_in(jax.random.fold_in(key, step), number)
        gradient, method_state, metrics = gradient_of(params, method_state, micro_batch, key)
        return jax.tree.map(jnp.add, total, gradient), method_state, metrics

    def update(state: TrainState, total: PyTree, metrics: list[Metrics]) -> tuple[TrainState, Metrics]:
        gradient = jax.tree.map(lambda leaf: leaf / accumulate, total)
        means = {name: jnp.mean(jnp.stack([own[name] for own in metrics])) for name in metrics[0]}
        return updated(state, gradient, means)

    placed = None if mesh is None else on_each(mesh)
    compiled_zeros = jax.jit(lambda params: jax.tree.map(jnp.zeros_like, params), out_shardings=placed)
    compiled_part = jax.jit(part, donate_argnums=0, out_shardings=placed)
    compiled_update = jax.jit(update, donate_argnums=0, out_shardings=placed)

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


def _gradient(method: Method, mesh: Mesh | None) -> Gradient:
    """(params, method_state, batch, key) -> (gradient, method_state, metrics), of a batch or a micro-batch."""
    differentiate = jax.value_and_grad(method.loss, has_aux=True)

    def gradient_of(params: PyTree, method_state: PyTree, batch: Batch, key: Array) -> tuple[PyTree, PyTree, Metrics]:
        (loss, (method_state, metrics)), gradient = differentiate(params, method_state, _spread(batch, mesh), key)
        return gradient, method_state, {"loss": loss, **metrics}

    return gradient_of


def _update(
    method: Method, optimiser: optax.GradientTransformation
) -> Callable[[TrainState, PyTree, Metrics], tuple[TrainState, Metrics]]:
    """(state, gradient, metrics) -> (state, metrics); the state has the method's state after the loss."""

    def updated(state: TrainState, gradient: PyTree, metrics: Metrics) -> tuple[TrainState, Metrics]:
        updates, optimiser_state = optimiser.update(gradient, state.optimiser_state, state.params)
        params = optax.apply_updates(state.params, updates)
        done = state.step + 1
        method_state = method.after_update(params, state.method_state, done)
        metrics = {"loss": metrics["loss"], "gradient_norm": optax.global_norm(gradient), **metrics}
        return TrainState(done, params, method_state, optimiser_state), metrics

    return updated


def _spread(batch: Batch, mesh: Mesh | None) -> Batch:
    return batch if mesh is None else jax.lax.with_sharding_constraint(batch, over_batch(mesh))


def _micro_batches(batch: Batch, accumulate: int, mesh: Mesh | None) -> Batch:
    """[B, ...] as [B / accumulate, accumulate, ...]: every `accumulate`-th image makes a micro-batch; so each device keeps its images."""
    return jax.tree.map(lambda x: x.reshape(-1, accumulate, *x.shape[1:]), _spread(batch, mesh))


def make_steps(
    method: Method, optimiser: optax.GradientTransformation, *, accumulate: int = 1, mesh: Mesh | None = None
) -> Steps:
    """steps(state, images, indices, count, key) -> (state, metrics): `count` steps, compiled; the state is donated.

    images [N, H, W, C] uint8 live on the device; indices [M, B] int32 say which of them make up each batch; count <= M of these are
    trained on. However a run is cut into dispatches, by progress, checkpoints or a kill, the same compiled steps run, and nothing
    recompiles. Metrics are arrays, the first `count` filled.

    An accelerator runs them all in one dispatch. A CPU runs each by itself: inside a loop, XLA compiles the gradients of convolutions for
    it without its fast kernels, seventeen times slower for a ResNet-18 (jax-ml/jax issue 12868); there a dispatch costs next to nothing.
    Micro-batches are a loop too; one without convolutions is faster in it, as its memory is at hand.
    """
    if jax.default_backend() == "cpu":
        return steps_one_by_one(make_compiled_step(method, optimiser, accumulate=accumulate, mesh=mesh), mesh)
    return steps_together(make_step(method, optimiser, accumulate=accumulate, mesh=mesh), mesh)


def steps_together(step: Step, mesh: Mesh | None) -> Steps:
    """As `make_steps`, in one dispatch; the step is that of `make_step` for the same mesh."""

    def steps(
        state: TrainState,
        images: Shaped[Array, "count height width channels"],
        indices: Int[Array, "most batch"],
        count: Int[Array, ""],
        key: Key[Array, ""],
    ) -> tuple[TrainState, dict[str, Float[Array, " most"]]]:
        # The count is an argument of the program and no part of its shape.
        def body(i: Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
            state, history = carry
            state, metrics = step(state, _batch(images, indices, i, mesh), key)
            return state, {name: history[name].at[i].set(value) for name, value in metrics.items()}

        shapes = jax.eval_shape(lambda: step(state, _batch(images, indices, jnp.int32(0), mesh), key)[1])
        history = {name: jnp.zeros((len(indices),), jnp.float32) for name in shapes}
        return jax.lax.fori_loop(0, count, body, (state, history))

    return jax.jit(steps, donate_argnums=0, out_shardings=None if mesh is None else on_each(mesh))


def steps_one_by_one(step: Step, mesh: Mesh | None) -> Steps:
    """As `make_steps`, each dispatched without waiting for the one before; the step is that of `make_compiled_step` for the same mesh."""
    batch_of = jax.jit(functools.partial(_batch, mesh=mesh))

    def steps(
        state: TrainState, images: Array, indices: Array, count: Int[Array, ""], key: Array
    ) -> tuple[TrainState, dict[str, np.ndarray]]:
        history = []
        for i in range(int(count)):
            state, metrics = step(state, batch_of(images, indices, np.int32(i)), key)
            history.append(metrics)
        return state, {name: np.array([np.asarray(row[name]) for row in history]) for name in history[0]}

    return steps


def _batch(images: Array, indices: Array, i: Array | np.integer, mesh: Mesh | None) -> Batch:
    index = indices[i]
    if mesh is not None:  # so that each device gathers its own share alone
        index = jax.lax.with_sharding_constraint(index, over_batch(mesh))
    return {"image": images[index], "index": index}
