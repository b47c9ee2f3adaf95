"""The schedule and the optimiser against their formulas."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.models import architecture
from examine_jax.pretraining import MAE, AdamW, Phase, PretrainSettings, WarmupCosine
from examine_jax.pretraining.optimiser import decayed


def by_formula(step, peak, warmup, total):
    """facebookresearch/mae, util/lr_sched.py, in steps, minimum zero."""
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


@pytest.mark.parametrize(
    ("rate", "share", "batch", "steps"), [(1.5e-4, 0.05, 256, 200), (1e-3, 0.0, 64, 30), (3e-4, 0.5, 1024, 11)]
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
        kind: np.array([PretrainSettings(phases, phase_schedule=kind).learning_rate((10, 20))(i) for i in range(30)])
        for kind in ("continued", "restarted")
    }
    whole = WarmupCosine().build(256, 30)
    np.testing.assert_allclose(rates["continued"], [whole(i) for i in range(30)])
    parts = [WarmupCosine().build(256, count) for count in (10, 20)]
    np.testing.assert_allclose(rates["restarted"], [parts[0](i) for i in range(10)] + [parts[1](i) for i in range(20)])


def test_weight_decay_spares_biases_norms_and_tokens():
    method = MAE.of(architecture("vit_s8"))
    shapes = jax.eval_shape(method.init, jax.random.key(0), {"image": jax.ShapeDtypeStruct((1, 72, 72, 3), jnp.uint8)})[
        0
    ]
    decay = {
        jax.tree_util.keystr(path): flag for path, flag in jax.tree_util.tree_flatten_with_path(decayed(shapes))[0]
    }
    assert all(flag == name.endswith("['kernel']") for name, flag in decay.items())
    assert sum(decay.values()) == 2 + 2 + 4 * (12 + 8) - 1  # embeddings of both networks, pixels, four a block
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
    updates, _ = optimiser.update({"kernel": jnp.full((2, 2), 100.0)}, optimiser.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.5 / 1.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
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
