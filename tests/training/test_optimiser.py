"""The schedule and the optimiser against their formulas."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from examine_jax.models import architecture
from examine_jax.pretraining import MAE, AdamW, Phase, PretrainSettings, WarmupCosine
from examine_jax.training.optimiser import (
    LARS,
    SGD,
    Adam,
    Constant,
    LearningRate,
    WarmupMilestones,
    decayed,
)


def by_formula(step, peak, warmup, total):
    """facebookresearch/mae, util/lr_sched.py, in steps, minimum zero."""
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


@pytest.mark.parametrize(
    ("rate", "share", "batch", "steps"),
    [(1.5e-4, 0.05, 256, 200), (1e-3, 0.0, 64, 30), (3e-4, 0.5, 1024, 11)],
)
def test_the_learning_rate_follows_its_formula(rate, share, batch, steps):
    schedule = WarmupCosine(rate, share).build(batch, steps)
    for step in range(steps + 1):
        assert float(schedule(step)) == pytest.approx(
            by_formula(step, rate * batch / 256, round(share * steps), steps), rel=1e-5, abs=1e-10
        )


def test_phases_continue_or_restart_the_schedule():
    phases = (Phase(steps=10), Phase(steps=20))
    rates = {
        kind: np.array(
            [
                PretrainSettings(phases, phase_schedule=kind).learning_rate((10, 20))(i)
                for i in range(30)
            ]
        )
        for kind in ("continued", "restarted")
    }
    whole = WarmupCosine().build(256, 30)
    np.testing.assert_allclose(rates["continued"], [whole(i) for i in range(30)])
    parts = [WarmupCosine().build(256, count) for count in (10, 20)]
    np.testing.assert_allclose(
        rates["restarted"], [parts[0](i) for i in range(10)] + [parts[1](i) for i in range(20)]
    )


def test_weight_decay_spares_biases_norms_and_tokens():
    method = MAE.of(architecture("vit_s8"))
    shapes = jax.eval_shape(
        method.init, jax.random.key(0), {"image": jax.ShapeDtypeStruct((1, 72, 72, 3), jnp.uint8)}
    )[0]
    decay = {
        jax.tree_util.keystr(path): flag
        for path, flag in jax.tree_util.tree_flatten_with_path(decayed(shapes))[0]
    }
    assert all(flag == name.endswith("['kernel']") for name, flag in decay.items())
    assert (
        sum(decay.values()) == 2 + 2 + 4 * (12 + 8) - 1
    )  # embeddings of both networks, pixels, four a block
    assert not decayed({"positions": jnp.ones((4, 4)), "mask_token": jnp.ones((1, 4))})["positions"]


def test_one_step_of_adamw_equals_the_formula():
    settings = AdamW(weight_decay=0.1)
    optimiser = settings.build(lambda step: 0.01)
    params = {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}
    gradient = {"kernel": jnp.full((2, 2), 0.3), "bias": jnp.full(2, -0.3)}
    updates, _ = optimiser.update(gradient, optimiser.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.01 * (0.3 / (0.3 + 1e-8) + 0.1 * 2), rtol=1e-6)
    np.testing.assert_allclose(updates["bias"], 0.01, rtol=1e-6)


def test_clipping_bounds_the_gradient():
    params = {"kernel": jnp.zeros((2, 2))}
    optimiser = AdamW(clip_norm=1.0, epsilon=1.0, weight_decay=0.0).build(lambda step: 1.0)
    updates, _ = optimiser.update(
        {"kernel": jnp.full((2, 2), 100.0)}, optimiser.init(params), params
    )
    np.testing.assert_allclose(updates["kernel"], -0.5 / 1.5, rtol=1e-6)


def gradients(params, step):
    """As in the PyTorch runs below: they depend on the parameters and on the step."""
    kernel = np.array([[0.3, -0.1], [0.2, 0.05]]) * (step + 1) - 0.1 * np.asarray(
        params["kernel"], np.float64
    )
    return {"kernel": kernel, "bias": np.array([-0.2, 0.4]) + 0.1 * step}


START = {"kernel": np.array([[1.0, -2.0], [0.5, 3.0]]), "bias": np.array([0.3, -0.7])}
FALLING = LearningRate(lambda step: 0.1 * (1 - step / 4), peak=0.1)


def run(optimiser, steps, params=START):
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    state = optimiser.init(params)
    for step in range(steps):
        gradient = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float32), gradients(params, step)
        )
        updates, state = optimiser.update(gradient, state, params)
        params = jax.tree.map(jnp.add, params, updates)
    return params


@pytest.mark.parametrize(
    ("settings", "kernel", "bias"),
    [
        (
            Adam(weight_decay=0.05),
            [[0.7573152314989217, -1.8810648874093905], [0.25695995487972756, 3.2200630700242634]],
            [0.5028201054597141, -0.9500231164895678],
        ),
        (
            SGD(weight_decay=0.05),
            [[0.7752531969726562, -1.9639202890625], [0.34628520897460935, 3.028563212617187]],
            [0.34948579896289067, -0.9045729804707031],
        ),
    ],
    ids=["torch.optim.Adam", "torch.optim.SGD"],
)
def test_four_steps_under_a_falling_rate_equal_pytorch(settings, kernel, bias):
    """Values of torch 2.13 in float64: lr 0.1 * (1 - step / 4), weight_decay 0.05, momentum 0.9."""
    found = run(settings.build(FALLING), 4)
    # 1 - b2 ** step has four digits left in float32.
    np.testing.assert_allclose(found["kernel"], kernel, rtol=1e-5)
    np.testing.assert_allclose(found["bias"], bias, rtol=1e-5)


def lars_by_formula(settings, steps):
    """deepmind-research/byol/utils/optimizers.py.

    SimCLR's tf2/lars_optimizer.py where the rate is inside the buffer. NumPy, float64.
    """
    params = {name: leaf.copy() for name, leaf in START.items()}
    buffers = {name: np.zeros_like(leaf) for name, leaf in START.items()}
    for step in range(steps):
        rate = FALLING(step)
        for name, gradient in gradients(params, step).items():
            if name != "bias":
                gradient = gradient + settings.weight_decay * params[name]
                ratio = (
                    settings.trust_coefficient
                    * np.linalg.norm(params[name])
                    / np.linalg.norm(gradient)
                )
                gradient = gradient * ratio
            inside, outside = (rate, 1.0) if settings.rate_in_momentum else (1.0, rate)
            buffers[name] = settings.momentum * buffers[name] + inside * gradient
            params[name] = params[name] - outside * buffers[name]
    return params


@pytest.mark.parametrize("rate_in_momentum", [False, True])
def test_lars_equals_its_formula(rate_in_momentum):
    settings = LARS(weight_decay=0.05, trust_coefficient=0.3, rate_in_momentum=rate_in_momentum)
    found, expected = run(settings.build(FALLING), 4), lars_by_formula(settings, 4)
    for name, leaf in expected.items():
        np.testing.assert_allclose(found[name], leaf, rtol=2e-6)
    other = lars_by_formula(LARS(0.9, 0.05, 0.3, not rate_in_momentum), 4)
    assert np.abs(other["kernel"] - expected["kernel"]).max() > 0.01, (
        "the schedule tells the two apart"
    )


def test_lars_with_the_rate_inside_equals_optax():
    settings = LARS(weight_decay=0.05, trust_coefficient=0.3, rate_in_momentum=True)
    theirs = optax.lars(
        FALLING, 0.05, decayed, trust_coefficient=0.3, trust_ratio_mask=decayed, momentum=0.9
    )
    for found, expected in zip(
        *(jax.tree.leaves(run(each, 4)) for each in (settings.build(FALLING), theirs))
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_lars_moves_a_matrix_of_zeros():
    """A zero-initialised one would never leave zero were its rate proportional to its norm."""
    zeros = {"kernel": np.zeros((2, 2)), "bias": np.zeros(2)}
    moved = run(LARS().build(FALLING), 1, zeros)
    np.testing.assert_allclose(moved["kernel"], -0.1 * gradients(zeros, 0)["kernel"], rtol=1e-6)


def test_parameters_of_a_fixed_rate_keep_the_peak():
    both = {"encoder": START["kernel"], "predictor": START["kernel"]}
    optimiser = SGD(momentum=0.0, weight_decay=0.0, fixed_rate=("predictor",)).build(FALLING)
    params = jax.tree.map(jnp.asarray, both)
    state = optimiser.init(params)
    for step in range(4):
        updates, state = optimiser.update(jax.tree.map(jnp.ones_like, params), state, params)
        np.testing.assert_allclose(updates["encoder"], -FALLING(step), rtol=1e-6)
        np.testing.assert_allclose(updates["predictor"], -0.1, rtol=1e-6)


def test_a_fixed_rate_names_parameters_that_there_are():
    with pytest.raises(ValueError, match="'predictor'; there are: kernel, bias"):
        SGD(fixed_rate=("predictor",)).build(FALLING).init(START)
    with pytest.raises(ValueError, match="needs the peak"):
        SGD(fixed_rate=("predictor",)).build(lambda step: 0.1)


def test_the_rate_knows_its_peak():
    settings = PretrainSettings(
        (Phase(steps=10), Phase(steps=20)), batch_size=512, phase_schedule="restarted"
    )
    rate = settings.learning_rate((10, 20))
    assert rate.peak == pytest.approx(3e-4)
    assert max(float(rate(step)) for step in range(30)) == pytest.approx(rate.peak, rel=0.02)
    constant = Constant(0.02).build(1024, 7)
    assert constant.peak == float(constant(0)) == float(constant(6)) == 0.02


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(learning_rate=-1.0), "learning_rate"),
        (
            lambda: PretrainSettings((Phase(steps=1),), batch_size=10, accumulate=4),
            "equal micro-batches",
        ),
        (lambda: PretrainSettings((Phase(steps=1),), accumulate=0), "equal micro-batches"),
        (lambda: WarmupCosine(learning_rate=0.0), "learning_rate"),
        (lambda: WarmupCosine(warmup=1.0), "warmup"),
        (lambda: AdamW(clip_norm=0.0), "clip_norm"),
        (lambda: Phase(), "either steps or epochs"),
        (lambda: Phase(steps=3, epochs=1.0), "either steps or epochs"),
        (lambda: Phase(steps=0), "positive"),
        (lambda: PretrainSettings(phases=()), "at least one Phase"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_milestones_multiply_the_rate_and_the_warmup_is_torchvisions():
    steps = 30
    rate = WarmupMilestones(0.02, 5, (8 / 15, 11 / 15)).build(4, steps)
    found = np.array([float(rate(step)) for step in range(steps)])
    # torch.optim.lr_scheduler.LinearLR(start_factor=1/1000, total_iters=5)
    rise = 0.02 * (1 / 1000 + (1 - 1 / 1000) * np.arange(5) / 5)
    np.testing.assert_allclose(found[:5], rise, atol=2e-9)
    np.testing.assert_allclose(found[5:16], 0.02, rtol=1e-6)
    np.testing.assert_allclose(found[17:22], 0.002, rtol=1e-6)
    np.testing.assert_allclose(found[23:], 0.0002, rtol=1e-6)
    assert rate.peak == 0.02


@pytest.mark.parametrize("milestones", [(0.0,), (1.0,), (0.5, 2.0)])
def test_milestones_that_are_no_shares_are_refused(milestones):
    with pytest.raises(ValueError, match="shares of the steps"):
        WarmupMilestones(0.1, 0, milestones)


def test_sgd_clips_the_whole_gradient_before_the_decay():
    gradients = {"a": jnp.array([3.0, 4.0])}
    params = {"a": jnp.array([1.0, 1.0])}
    transform = SGD(0.0, 0.5, clip_norm=1.0).build(optax.constant_schedule(1.0))
    updates, _ = transform.update(gradients, transform.init(params), params)
    np.testing.assert_allclose(updates["a"], [-0.6 - 0.5, -0.8 - 0.5], rtol=1e-6)
