"""One step of training, and several of them in one dispatch: pure functions of arrays."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from examine_jax._shapes import Array, Float, Int, Key, PyTree, Shaped
from examine_jax.pretraining.method import Batch, Method


class TrainState(NamedTuple):
    """All that a run's next step depends on, beside its seed and its images."""

    step: Int[Array, ""]  # steps done
    params: PyTree
    method_state: PyTree
    optimiser_state: PyTree


Step = Callable[[TrainState, Batch, Array], tuple[TrainState, dict[str, Array]]]
Steps = Callable[[TrainState, Array, Array, Array, Array], tuple[TrainState, dict[str, Array]]]


def initial_state(
    method: Method, optimiser: optax.GradientTransformation, key: Key[Array, ""], batch: Batch
) -> TrainState:
    """The state before step 0."""
    params, method_state = method.init(key, batch)
    return TrainState(jnp.zeros((), jnp.int32), params, method_state, optimiser.init(params))


def make_step(method: Method, optimiser: optax.GradientTransformation) -> Step:
    """step(state, batch, key) -> (state, metrics); not jitted, so that it can be put inside loops and other codes' jit.

    The key is the run's; step k draws from fold_in(key, k). Metrics are float32 scalars: "loss", "gradient_norm" and the method's own.
    """

    def step(state: TrainState, batch: Batch, key: Key[Array, ""]) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        step_key = jax.random.fold_in(key, state.step)
        differentiate = jax.value_and_grad(method.loss, has_aux=True)
        (loss, (method_state, metrics)), gradient = differentiate(state.params, state.method_state, batch, step_key)
        updates, optimiser_state = optimiser.update(gradient, state.optimiser_state, state.params)
        params = optax.apply_updates(state.params, updates)
        done = state.step + 1
        method_state = method.after_update(params, method_state, done)
        metrics = {"loss": loss, "gradient_norm": optax.global_norm(gradient), **metrics}
        return TrainState(done, params, method_state, optimiser_state), metrics

    return step


def make_steps(method: Method, optimiser: optax.GradientTransformation) -> Steps:
    """steps(state, images, indices, count, key) -> (state, metrics): `count` steps in one dispatch, jitted; the state is donated.

    images [N, H, W, C] uint8 live on the device; indices [M, B] int32 say which of them make up each batch; count <= M of these are
    trained on. The count is an argument of the program and no part of its shape: however a run is cut into dispatches, by progress,
    checkpoints or a kill, the same compiled steps run, and nothing recompiles. Metrics are arrays [M], the first `count` filled.
    """
    step = make_step(method, optimiser)

    def steps(
        state: TrainState,
        images: Shaped[Array, "count height width channels"],
        indices: Int[Array, "most batch"],
        count: Int[Array, ""],
        key: Key[Array, ""],
    ) -> tuple[TrainState, dict[str, Float[Array, " most"]]]:
        def batch_of(i: Array) -> Batch:
            index = indices[i]
            return {"image": images[index], "index": index}

        def body(i: Array, carry: tuple[TrainState, dict[str, Array]]) -> tuple[TrainState, dict[str, Array]]:
            state, history = carry
            state, metrics = step(state, batch_of(i), key)
            return state, {name: history[name].at[i].set(value) for name, value in metrics.items()}

        shapes = jax.eval_shape(lambda state: step(state, batch_of(jnp.int32(0)), key)[1], state)
        history = {name: jnp.zeros((len(indices),), jnp.float32) for name in shapes}
        return jax.lax.fori_loop(0, count, body, (state, history))

    return jax.jit(steps, donate_argnums=0)
