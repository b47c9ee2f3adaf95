"""Gradient accumulation: micro-batches against the whole batch."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from examine_jax.training.step import (
    initial_state,
    make_compiled_step,
    make_step,
    step_by_parts,
    steps_one_by_one,
    steps_together,
)

KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class MeanBrightness:
    """A method in three lines: per-image losses, and a state that averages the batches' means."""

    encoder: None = None

    def init(self, key, batch):
        return {"weight": jax.random.normal(key, batch["image"].shape[1:])}, {
            "seen": jnp.zeros(()),
            "updates": jnp.int32(0),
        }

    def loss(self, params, state, batch, key):
        images = batch["image"].astype(jnp.float32) / 255
        each = jnp.square((images * params["weight"]).sum((1, 2, 3)) - batch["index"])
        state = state | {"seen": 0.9 * state["seen"] + images.mean()}
        return each.mean(), (state, {"draw": jax.random.uniform(key), "brightness": images.mean()})

    def after_update(self, params, state, step):
        return state | {"updates": state["updates"] + 1}

    def embed(self, params, state, images):
        return images.reshape(len(images), -1).astype(jnp.float32)


class BlurredBrightness(MeanBrightness):
    """The same with a convolution: on a CPU its micro-batches are dispatched one by one."""

    def loss(self, params, state, batch, key):
        kernel = jax.nn.softmax(params["weight"].reshape(9)).reshape(3, 3, 1, 1)
        images = batch["image"].astype(jnp.float32)
        blurred = jax.lax.conv_general_dilated(
            images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return super().loss(params, state, batch | {"image": blurred}, key)


METHOD = MeanBrightness()
OPTIMISER = optax.sgd(0.01, momentum=0.9)


@pytest.fixture(scope="module")
def batch():
    generator = np.random.default_rng(0)
    return {
        "image": jnp.asarray(generator.integers(0, 256, (12, 3, 3, 1), dtype=np.uint8)),
        "index": jnp.arange(12),
    }


@pytest.mark.parametrize("accumulate", [2, 3, 12])
def test_micro_batches_of_a_per_image_loss_step_as_the_whole_batch(batch, accumulate):
    state = initial_state(METHOD, OPTIMISER, KEY, batch)
    whole, whole_metrics = make_step(METHOD, OPTIMISER)(state, batch, KEY)
    parts, metrics = jax.jit(make_step(METHOD, OPTIMISER, accumulate=accumulate))(state, batch, KEY)
    np.testing.assert_allclose(parts.params["weight"], whole.params["weight"], rtol=1e-5)
    for name in ("loss", "gradient_norm", "brightness"):
        np.testing.assert_allclose(metrics[name], whole_metrics[name], rtol=1e-5, err_msg=name)


def test_the_state_goes_through_the_micro_batches_in_turn(batch):
    state = initial_state(METHOD, OPTIMISER, KEY, batch)
    after, _ = make_step(METHOD, OPTIMISER, accumulate=3)(state, batch, KEY)
    seen = 0.0
    for part in range(3):
        seen = 0.9 * seen + np.asarray(batch["image"], np.float64)[part::3].mean() / 255
    np.testing.assert_allclose(after.method_state["seen"], seen, rtol=1e-5)
    assert after.method_state["updates"] == after.step == 1


def test_micro_batches_draw_from_keys_of_their_own(batch):
    state = initial_state(METHOD, OPTIMISER, KEY, batch)
    _, metrics = make_step(METHOD, OPTIMISER, accumulate=4)(state, batch, KEY)
    step_key = jax.random.fold_in(KEY, 0)
    draws = [float(jax.random.uniform(jax.random.fold_in(step_key, part))) for part in range(4)]
    assert len(set(draws)) == 4
    np.testing.assert_allclose(metrics["draw"], np.mean(draws), rtol=1e-6)


@pytest.mark.parametrize(
    "method", [METHOD, BlurredBrightness()], ids=["no convolution", "a convolution"]
)
@pytest.mark.parametrize("accumulate", [2, 4])
def test_the_compiled_step_is_the_plain_one_however_micro_batches_are_dispatched(
    batch, method, accumulate
):
    state = initial_state(method, OPTIMISER, KEY, batch)
    expected, expected_metrics = make_step(method, OPTIMISER, accumulate=accumulate)(
        state, batch, KEY
    )
    step = make_compiled_step(method, OPTIMISER, accumulate=accumulate)
    found, metrics = step(jax.tree.map(jnp.copy, state), batch, KEY)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5),
        (found, metrics),
        (expected, expected_metrics),
    )


@pytest.mark.parametrize(
    "method", [METHOD, BlurredBrightness()], ids=["no convolution", "a convolution"]
)
def test_micro_batches_that_are_dispatched_one_by_one_are_those_of_the_loop(batch, method):
    state = initial_state(method, OPTIMISER, KEY, batch)
    expected, expected_metrics = make_step(method, OPTIMISER, accumulate=3)(state, batch, KEY)
    found, metrics = step_by_parts(method, OPTIMISER, accumulate=3, mesh=None)(
        jax.tree.map(jnp.copy, state), batch, KEY
    )
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5),
        (found, metrics),
        (expected, expected_metrics),
    )


@pytest.mark.parametrize("make", [make_step, make_compiled_step])
def test_steps_of_resident_images_equal_steps_of_batches_from_outside(batch, make):
    indices = np.random.default_rng(1).permutation(12).reshape(3, 4).astype(np.int32)
    state = initial_state(METHOD, OPTIMISER, KEY, batch)
    one_by_one, losses = state, []
    step = make_compiled_step(METHOD, OPTIMISER)
    one_by_one = jax.tree.map(jnp.copy, state)
    for index in indices:
        one_by_one, metrics = step(
            one_by_one, {"image": batch["image"][index], "index": jnp.asarray(index)}, KEY
        )
        losses.append(float(metrics["loss"]))
    steps = (steps_together if make is make_step else steps_one_by_one)(
        make(METHOD, OPTIMISER), None
    )
    together, metrics = steps(
        state, {"image": batch["image"]}, jnp.asarray(indices), jnp.int32(3), KEY
    )
    np.testing.assert_allclose(metrics["loss"], losses, rtol=1e-6)
    for found, expected in zip(jax.tree.leaves(together), jax.tree.leaves(one_by_one), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
