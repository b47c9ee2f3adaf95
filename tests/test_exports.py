"""Every public computation lowers for every platform inside a user's jit, with x64 off."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.pretraining.registry import METHODS
from examine_jax.scoring import (
    SOLVERS,
    SpectralSummary,
    examine,
    examine_groups,
    examine_ky_fan,
    leave_one_out_singular_values,
)
from examine_jax.training.method import IMAGE, required_columns
from examine_jax.training.step import initial_state, make_step
from tests.support.tiny_architecture import tiny

PLATFORMS = ("cpu", "cuda", "tpu", "rocm")
# A TPU gets an export of its own: in one for all, JAX lowers the others' branch for a TPU too.
TOGETHER = ("cpu", "cuda", "rocm")
# One export for several platforms needs the lowering of each, and takes the time of one.
EXPORTS = (TOGETHER, ("tpu",))
ALONE = tuple((platform,) for platform in TOGETHER)  # EXPORTS has the TPU
SMALL = ((20, 6), (6, 20))
LARGE = ((300, 257), (257, 300))  # a TPU's eigh takes another way above 256


def _ids(features):
    return jnp.arange(features.shape[0]) % 5


def _both(features):
    return SpectralSummary.of(features).merge(SpectralSummary.of(features[:3]))


SCORERS = {
    **{
        name: lambda features, solver=solver: examine(features, solver=solver())
        for name, solver in SOLVERS.items()
    },
    "centred": lambda features: examine(features, center=True, where=features[:, 0] < 1),
    "grad": jax.grad(lambda features: jnp.sum(examine(features).gap)),
    "groups": lambda features: examine_groups(features, _ids(features), num_groups=5),
    "of": SpectralSummary.of,
    "merge": _both,
    "remove": lambda features: SpectralSummary.of(features).remove(features[:3]),
    "members": lambda features: SpectralSummary.of(features).examine(features, center=True),
    "newcomers": lambda features: SpectralSummary.of(features).examine_new(features),
    "singular_values": lambda features: leave_one_out_singular_values(features, 3),
    "ky_fan": examine_ky_fan,
}
# Those that take another way if there are more columns than rows; the others are of one way, or are
# made of these.
BY_SHAPE = (*SOLVERS, "groups", "singular_values")


def _export(function, *arguments, exports=EXPORTS):
    """Exports for each tuple of platforms; JAX's 64-bit types are off."""
    assert not jax.config.jax_enable_x64
    jitted = jax.jit(function)
    for platforms in exports:
        assert jax.export.export(jitted, platforms=platforms)(*arguments).platforms == platforms


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, SMALL[0]) for name in SCORERS] + [(name, SMALL[1]) for name in (*BY_SHAPE, "grad")],
    ids=str,
)
def test_a_scorer_lowers_for_every_platform(name, shape):
    _export(SCORERS[name], jax.ShapeDtypeStruct(shape, jnp.float32))


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_lowers_for_each_platform_alone(name):
    _export(SCORERS[name], jax.ShapeDtypeStruct((20, 6), jnp.float32), exports=ALONE)


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, LARGE[0]) for name in SCORERS] + [(name, LARGE[1]) for name in BY_SHAPE],
    ids=str,
)
def test_a_scorer_of_many_columns_lowers_for_a_tpu(name, shape):
    _export(SCORERS[name], jax.ShapeDtypeStruct(shape, jnp.float32), exports=(("tpu",),))


def test_one_export_for_several_platforms_has_the_values_of_the_direct_call():
    features = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    for name, solver in SOLVERS.items():
        direct = examine(features, solver=solver())
        exported = jax.export.export(jax.jit(SCORERS[name]), platforms=TOGETHER)(
            jax.ShapeDtypeStruct(features.shape, features.dtype)
        )
        # Called through another jit, the program's platform is chosen where it is compiled.
        score, gap = jax.jit(lambda x, call=exported.call: jax.tree.leaves(call(x))[:2])(features)
        np.testing.assert_allclose(score, direct.score, rtol=1e-6)
        np.testing.assert_allclose(gap, direct.gap, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_train_step_lowers_for_every_platform(method):
    value, settings = method.presets["small"](tiny())
    batch = {"image": jnp.zeros((4, 16, 16, 3), jnp.uint8), "index": jnp.arange(4)}
    for column in required_columns(value):
        if column != IMAGE:
            batch[column] = jnp.arange(4) % 2
    optimiser = settings.optimiser.build(lambda step: 0.1)
    key = jax.random.key(0)
    state = jax.eval_shape(lambda: initial_state(value, optimiser, key, batch))
    # Nothing in a step depends on the platform, so one program serves all four.
    _export(make_step(value, optimiser), state, batch, key, exports=(PLATFORMS,))
