"""Every solver, against LAPACK in float64 with the row deleted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.scoring import SOLVERS as SOLVERS_BY_NAME
from examine_jax.scoring import AdaptiveSecular, DenseSVD, MaskedPower, Secular, Solver, examine
from tests.support.spectra import SPECTRA, reference_gaps

SOLVERS = {"secular": Secular(), "masked-power": MaskedPower(), "dense": DenseSVD()}
FAST = {name: SOLVERS[name] for name in ("secular", "masked-power")}
# Tests share these programs for one shape, [12, 5].
JITTED = {
    name: jax.jit(lambda f, solver=solver: examine(f, solver=solver))
    for name, solver in FAST.items()
}


@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("solver", SOLVERS)
def test_float32_gaps_equal_svds_with_the_row_deleted(solver: str, name: str, center: bool) -> None:
    features = SPECTRA[name].astype(np.float32)
    gaps, noise = reference_gaps(features, center)
    result = examine(features, solver=SOLVERS[solver], center=center)
    error = np.abs(np.asarray(result.gap, np.float64) - gaps)
    largest = gaps.max()
    assert error.max() <= 1e-6 * largest + noise
    big = gaps > 0.01 * largest
    assert (error[big] <= 1e-5 * gaps[big] + noise).all()
    assert (error <= np.asarray(result.error_bound, np.float64) + noise).all(), (
        "the error bound is a bound"
    )
    assert result.gap.dtype == jnp.float32


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("solver", FAST)
def test_float64_numpy_gaps_are_float64_while_x64_is_off(solver: str, name: str) -> None:
    features = SPECTRA[name]
    gaps, noise = reference_gaps(features)
    result = examine(features, solver=FAST[solver])
    error = np.abs(np.asarray(result.gap) - gaps)
    assert result.gap.dtype == np.float64
    assert result.score.dtype == np.float64
    assert not jax.config.jax_enable_x64
    assert error.max() <= 2e-11 * gaps.max() + noise
    assert (error <= np.asarray(result.error_bound) + noise).all()


@pytest.mark.parametrize("solver", FAST)
def test_the_parts_of_an_examination_agree(solver: str) -> None:
    features = SPECTRA["gaussian-50x50"].astype(np.float32)
    result = examine(features, solver=FAST[solver])
    np.testing.assert_allclose(result.score, np.exp(-np.asarray(result.gap)), rtol=1e-6)
    np.testing.assert_allclose(result.singular_value, np.linalg.norm(features, 2), rtol=1e-6)
    np.testing.assert_allclose(
        result.loo_singular_values, result.singular_value - result.gap, rtol=1e-6
    )
    assert (result.gap >= 0).all()
    assert int(result.diagnostics.iterations) >= 1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("solver", FAST)
def test_half_precision_is_computed_in_float32(solver: str, dtype: jnp.dtype) -> None:
    features = jnp.asarray(SPECTRA["mean-dominated-50x50"][:12, :5] / 10, dtype)
    gaps, _ = reference_gaps(np.asarray(features.astype(jnp.float32)))
    result = examine(features, solver=FAST[solver])
    assert result.gap.dtype == jnp.float32
    assert np.abs(np.asarray(result.gap, np.float64) - gaps).max() <= 1e-6 * gaps.max()


@pytest.mark.parametrize("solver", FAST)
def test_the_order_of_rows_does_not_matter(solver: str) -> None:
    features = SPECTRA["gaussian-200x30"].astype(np.float32)
    order = np.random.default_rng(0).permutation(len(features))
    straight = np.asarray(examine(features, solver=FAST[solver]).gap)
    shuffled = np.asarray(examine(features[order], solver=FAST[solver]).gap)
    np.testing.assert_allclose(shuffled, straight[order], rtol=3e-7, atol=1e-7 * straight.max())


@pytest.mark.parametrize(
    ("solver", "center"), [("secular", False), ("secular", True), ("masked-power", True)]
)
def test_masked_rows_are_as_if_deleted_whatever_they_hold(solver: str, center: bool) -> None:
    features = SPECTRA["gaussian-50x50"][:12, :5].astype(np.float32)
    padded = np.concatenate([features, np.full((9, 5), np.nan, np.float32)])
    where = np.arange(len(padded)) < len(features)
    alone = examine(features, solver=FAST[solver], center=center)
    masked = examine(padded, solver=FAST[solver], center=center, where=where)
    np.testing.assert_allclose(masked.gap[: len(features)], alone.gap, rtol=1e-6)
    np.testing.assert_array_equal(masked.gap[len(features) :], 0)
    np.testing.assert_array_equal(masked.score[len(features) :], 1)
    np.testing.assert_allclose(masked.singular_value, alone.singular_value, rtol=1e-6)


@pytest.mark.parametrize("solver", FAST)
def test_works_inside_jit_vmap_and_scan(solver: str) -> None:
    batch = np.random.default_rng(0).normal(size=(3, 12, 5)).astype(np.float32)
    expected = np.stack([examine(matrix, solver=FAST[solver]).gap for matrix in batch])

    def gap(matrix: jax.Array) -> jax.Array:
        return examine(matrix, solver=FAST[solver]).gap

    alone = JITTED[solver](batch[0]).gap
    np.testing.assert_allclose(alone, expected[0], rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(JITTED[solver])(batch).gap, expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda b: jax.lax.map(gap, b))(batch), expected, rtol=1e-6)
    assert alone.dtype == jnp.float32


def test_equal_shapes_are_traced_once() -> None:
    traced = []

    class Counting(DenseSVD):
        def solve(self, rows):  # type: ignore[no-untyped-def]
            traced.append(rows.features.shape)
            return super().solve(rows)

    solver = Counting()
    generator = np.random.default_rng(0)
    for _ in range(3):
        examine(generator.normal(size=(12, 5)).astype(np.float32), solver=solver)
    assert len(traced) == 1


def test_inputs_are_not_changed() -> None:
    features = SPECTRA["gaussian-50x50"].astype(np.float32)
    before = features.copy()
    examine(features, center=True)
    np.testing.assert_array_equal(features, before)


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_with_nan_or_inf_are_named(solver: str) -> None:
    features = np.ones((12, 5), np.float32)
    features[4, 1], features[7, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"2 of 12 rows: 4, 7"):
        examine(features, solver=SOLVERS[solver])


@pytest.mark.parametrize("solver", FAST)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_under_jit_nan_or_inf_give_nan_and_never_a_number(solver: str, bad: float) -> None:
    features = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    features[4, 1] = bad
    result = JITTED[solver](features)
    assert np.isnan(result.gap).all()
    assert np.isnan(result.score).all()
    assert np.isnan(result.singular_value)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones(5, np.float32), r"matrix \[N, D\]"),
        (np.ones((2, 3, 4), np.float32), r"matrix \[N, D\]"),
        (np.ones((1, 3), np.float32), "at least two rows"),
        (np.ones((0, 3), np.float32), "at least two rows"),
        (np.ones((4, 0), np.float32), "no columns"),
        (np.ones((4, 3), np.int32), "floating"),
        (np.array([[None, 1], [2, 3]], object), "floating"),
    ],
)
def test_unusable_features_are_refused_with_the_reason(features: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        examine(features)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_byte_order_does_not_matter(dtype: type) -> None:
    features = SPECTRA["zero-rows"].astype(dtype)
    swapped = features.astype(features.dtype.newbyteorder(">"))
    np.testing.assert_array_equal(examine(swapped).gap, examine(features).gap)


def test_a_solver_s_class_in_place_of_a_value_is_refused_with_the_value() -> None:
    with pytest.raises(ValueError, match=r"the class Secular; pass an instance: Secular\(\)"):
        examine(np.ones((4, 3), np.float32), solver=Secular)


def test_solvers_have_names_for_commands() -> None:
    assert {
        "secular": Secular,
        "adaptive_secular": AdaptiveSecular,
        "masked_power": MaskedPower,
        "dense_svd": DenseSVD,
    } == SOLVERS_BY_NAME
    assert all(isinstance(solver(), Solver) for solver in SOLVERS_BY_NAME.values())


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="one entry per row"):
        examine(np.ones((4, 3), np.float32), where=np.ones(3, bool))


def test_solver_knobs_are_checked_where_they_are_made() -> None:
    with pytest.raises(ValueError, match="tolerance"):
        Secular(tolerance=0.0)
    with pytest.raises(ValueError, match="max_iterations"):
        MaskedPower(max_iterations=0)
