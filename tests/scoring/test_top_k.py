"""Leave-one-out spectra against LAPACK: SVDs with the row deleted, and dlasd4, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg.lapack import dlasd4

from examine_jax.scoring import examine_ky_fan, leave_one_out_singular_values
from examine_jax.scoring.equations.interlaced_roots import eigenvalue_drops
from tests.support.spectra import SPECTRA

SHAPES = [(200, 30), (40, 90), (12, 5)]


def _reference(features: np.ndarray, k: int, center: bool) -> tuple[np.ndarray, np.ndarray]:
    """The k largest singular values of all rows [k], and without each [N, k]."""
    exact = np.asarray(features, np.float64)

    def spectrum(matrix: np.ndarray) -> np.ndarray:
        values = np.linalg.svd(matrix - matrix.mean(0) if center else matrix, compute_uv=False)
        return np.concatenate([values, np.zeros(k)])[:k]

    return spectrum(exact), np.array([spectrum(np.delete(exact, i, 0)) for i in range(len(exact))])


@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
@pytest.mark.parametrize("shape", SHAPES)
def test_whole_spectra_equal_svds_with_the_row_deleted(
    shape: tuple[int, int], center: bool
) -> None:
    for name in (name for name, features in SPECTRA.items() if features.shape == shape):
        features = SPECTRA[name]
        values, without = _reference(features, min(shape), center)
        scale = max(values[0], 1e-300)
        result = np.asarray(leave_one_out_singular_values(features, min(shape), center=center))
        error = np.abs(result - without)
        assert result.dtype == np.float64
        assert error.max() <= 1e-7 * scale, name
        # float64's rounding of the eigenvalue, seen from the singular value.
        assert (
            error[without > 1e-6 * scale] <= 1e-14 * scale**2 / without[without > 1e-6 * scale]
        ).all(), name


def test_float32_nuclear_norms_fall_by_what_svds_say() -> None:
    for name in (name for name, features in SPECTRA.items() if features.shape == (12, 5)):
        features = SPECTRA[name].astype(np.float32)
        values, without = _reference(features, 5, False)
        result = examine_ky_fan(features)
        gaps = values.sum() - without.sum(1)
        noise = 1e-14 * values.sum()
        assert result.gap.dtype == jnp.float32
        assert np.abs(result.gap - gaps).max() <= 2e-7 * gaps.max() + noise, name
        np.testing.assert_allclose(result.norm, values.sum(), rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(
            result.loo_norms,
            without.sum(1),
            rtol=1e-6,
            atol=1e-6 * values.sum() + 1e-38,
            err_msg=name,
        )


def test_falls_have_dlasd4s_relative_accuracy_whatever_their_size() -> None:
    generator = np.random.default_rng(0)
    size = 12
    poles = np.cumsum(np.sort(10.0 ** generator.uniform(-9, 0, size)))
    values = 100 - poles
    rows = generator.normal(size=(40, size)) * 10.0 ** generator.uniform(-8, 0, (40, size))
    with jax.enable_x64(True):
        every = jax.jit(
            lambda squares: jax.lax.map(
                lambda j: eigenvalue_drops(squares, jnp.asarray(values), j), jnp.arange(size)
            )
        )
        found = np.asarray(every(rows**2))
    # dlasd4 takes square roots of the poles, and gives a root s^2 as d_j - s and d_j + s.
    roots = np.sqrt(values[0] - values)
    for row, ours in zip(rows, found.T):
        length = np.linalg.norm(row)
        for j, t in enumerate(ours):
            less, _, more, info = dlasd4(j, roots, row / length, length**2)
            assert info == 0
            np.testing.assert_allclose(t, -less[j] * more[j], rtol=1e-11, err_msg=f"{j}")


def test_under_jit_and_vmap_masked_rows_are_as_if_deleted() -> None:
    batch = np.stack([SPECTRA["zero-rows"], SPECTRA["ties"]]).astype(np.float32)
    padded = np.concatenate([batch, np.full((2, 3, 5), np.nan, np.float32)], 1)
    where = np.arange(15) < 12
    compute = jax.jit(
        jax.vmap(lambda f: leave_one_out_singular_values(f, 3, center=True, where=where))
    )
    for features, result in zip(batch, np.asarray(compute(padded))):
        values, without = _reference(features, 3, True)
        np.testing.assert_allclose(result[:12], without, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(result[12:], np.broadcast_to(values, (3, 3)), rtol=1e-6)
    padded[0, 1, 2] = np.inf
    spoilt = np.asarray(compute(padded))
    assert np.isnan(spoilt[0]).all()
    assert np.isfinite(spoilt[1]).all()


def test_more_rows_masked_than_columns_leave_less_rank() -> None:
    features = SPECTRA["gaussian-200x30"][:12, :5]
    where = np.arange(12) < 4
    _, without = _reference(features[:4], 5, True)
    result = leave_one_out_singular_values(features, 5, center=True, where=where)
    np.testing.assert_allclose(result[:4], without, atol=1e-12)


@pytest.mark.parametrize("k", [0, 6, -1])
def test_k_out_of_its_range_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=r"k must be from 1 to min\(N, D\) = 5"):
        leave_one_out_singular_values(SPECTRA["ties"], k)


def test_rows_with_nan_are_named() -> None:
    features = SPECTRA["ties"].astype(np.float32).copy()
    features[7, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 12 rows: 7"):
        examine_ky_fan(features)
