"""Gaps of groups against LAPACK in float64, the group's rows deleted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.scoring import GroupExamination, Path, examine_groups
from tests.support.spectra import SPECTRA, top_singular_value

SMALL = [name for name, features in SPECTRA.items() if features.shape == (12, 5)]
TALL = [name for name, features in SPECTRA.items() if features.shape == (200, 30)]
WIDE = [name for name, features in SPECTRA.items() if features.shape == (40, 90)]
# One group holds most rows, one a single row, one (5) none.
IDS = np.array([0, 1, 1, 1, 2, 3, 1, 1, 2, 4, 1, 3])


def _reference(
    features: np.ndarray, ids: np.ndarray, num_groups: int, center: bool
) -> tuple[np.ndarray, float]:
    exact = np.asarray(features, np.float64)
    sigma = top_singular_value(exact, center)
    without = [top_singular_value(exact[ids != group], center) for group in range(num_groups)]
    # Groups without rows: nothing is left out, so nothing changes, to the last bit.
    gaps = np.where(np.isin(np.arange(num_groups), ids), sigma - np.array(without), 0)
    return gaps, 8e-16 * max(np.linalg.norm(exact), 1e-300)


def _hold(
    result: GroupExamination, gaps: np.ndarray, noise: float, relative: float, name: str
) -> None:
    error = np.abs(np.asarray(result.gap, np.float64) - gaps)
    assert error.max() <= relative * gaps.max() + noise, name
    assert (error <= np.asarray(result.error_bound, np.float64) + noise).all(), (
        f"{name}: the error bound is a bound"
    )


def _groups_of(count: int, num_groups: int) -> np.ndarray:
    """Groups of very different sizes, the last without rows."""
    generator = np.random.default_rng(0)
    return np.where(generator.random(count) < 0.3, 2, generator.integers(0, num_groups - 1, count))


@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
def test_float32_gaps_equal_svds_with_the_groups_deleted(center: bool) -> None:
    for name in SMALL:
        features = SPECTRA[name].astype(np.float32)
        result = examine_groups(features, IDS, num_groups=6, center=center)
        _hold(result, *_reference(features, IDS, 6, center), 1e-7, name)
        assert result.gap.dtype == jnp.float32
        assert result.gap[5] == 0
        assert result.score[5] == 1
        sigma = np.float64(result.singular_value)
        np.testing.assert_allclose(
            result.loo_singular_values, sigma - result.gap, rtol=1e-6, atol=1e-6 * sigma
        )


@pytest.mark.parametrize(
    ("names", "center"), [(TALL, False), (WIDE, True)], ids=["tall", "wide-centred"]
)
def test_float64_gaps_equal_svds_with_the_groups_deleted(names: list[str], center: bool) -> None:
    for name in names:
        features = SPECTRA[name]
        ids = _groups_of(len(features), 9)
        result = examine_groups(features, ids, num_groups=9, center=center)
        _hold(result, *_reference(features, ids, 9, center), 1e-11, name)
        assert result.gap.dtype == np.float64


def test_under_jit_masked_rows_are_as_if_deleted_and_the_group_of_all_rows_leaves_nothing() -> None:
    features = np.concatenate([SPECTRA["zero-rows"], np.full((3, 5), np.nan)]).astype(np.float32)
    ids = np.concatenate([IDS, [-7, 2, 99]])
    compute = jax.jit(lambda f, g, w: examine_groups(f, g, num_groups=6, center=True, where=w))
    result = compute(features, ids, np.arange(15) < 12)
    _hold(result, *_reference(features[:12], IDS, 6, True), 1e-7, "masked")
    together = compute(features, np.where(np.arange(15) < 12, 4, -1), np.arange(15) < 12)
    np.testing.assert_array_equal(together.loo_singular_values[4], 0)
    np.testing.assert_array_equal(together.gap[4], together.singular_value)
    np.testing.assert_array_equal(np.delete(together.gap, 4), 0)
    astray = compute(features, ids, np.arange(15) < 13)
    assert np.isnan(astray.gap).all(), "an id that is no group, and a row of NaN"


def test_500_groups_of_34_000_float32_rows_are_right_to_rounding() -> None:
    generator = np.random.default_rng(1)
    # Just enough multiplications for the path through a float32 Gram matrix.
    count, width = 34_000, 256
    scales = np.exp(-np.arange(width) / 30).astype(np.float32)
    ids = generator.integers(0, 500, count)
    features = generator.standard_normal((count, width), np.float32)
    features += 0.3 * generator.standard_normal((500, width), np.float32)[ids]
    features = features * scales + 2 * np.eye(width, dtype=np.float32)[3]
    result = examine_groups(features, ids, num_groups=500)
    assert result.diagnostics.path == Path.FULL_FLOAT32
    assert float(result.error_bound.max()) <= 5e-6 * float(result.gap.max())
    exact = features.astype(np.float64)
    gram = exact.T @ exact
    largest = np.linalg.eigvalsh(gram)[-1]
    some = np.argsort(result.gap)[:: 499 // 24]
    left = np.array(
        [np.linalg.eigvalsh(gram - exact[ids == g].T @ exact[ids == g])[-1] for g in some]
    )
    gaps = (largest - left) / (np.sqrt(largest) + np.sqrt(left))
    _hold(jax.tree.map(lambda x: x[some] if x.ndim else x, result), gaps, 0.0, 1e-6, "34,000 rows")


def test_equal_shapes_are_compiled_once() -> None:
    compilations = []

    def listen(event: str, duration: float, **_: object) -> None:
        if "backend_compile" in event:
            compilations.append(event)

    examine_groups(SPECTRA["ties"].astype(np.float32), IDS, num_groups=6)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        examine_groups(SPECTRA["rank-one"].astype(np.float32), IDS[::-1], num_groups=6)
    finally:
        jax.monitoring.clear_event_listeners()
    assert not compilations


@pytest.mark.parametrize(
    ("ids", "num_groups", "message"),
    [
        (np.where(np.arange(12) == 3, -1, IDS), 6, r"0 \.\. 5 .*1 of 12 do not: rows 3 \(id -1\)"),
        (np.where(np.arange(12) == 11, 6, IDS), 6, r"rows 11 \(id 6\)"),
        (IDS[:5], 6, r"shape \(12,\)"),
        (IDS.astype(np.float32), 6, "integers"),
        (IDS.astype(str), 6, "return_inverse"),
        (IDS, 0, "at least 1"),
    ],
)
def test_unusable_group_ids_are_refused_with_the_reason(
    ids: np.ndarray, num_groups: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        examine_groups(SPECTRA["ties"].astype(np.float32), ids, num_groups=num_groups)


def test_ids_and_features_of_any_byte_order_and_integer_dtype_are_the_same() -> None:
    features = SPECTRA["zero-rows"].astype(np.float32)
    expected = examine_groups(features, IDS, num_groups=6)
    found = examine_groups(features.astype(">f4"), IDS.astype(">u8"), num_groups=6)
    np.testing.assert_array_equal(found.gap, expected.gap)


def test_256_groups_are_more_than_a_byte_of_ids_can_count() -> None:
    features = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    ids = np.array([255, *range(11)], np.uint8)
    result = examine_groups(features, ids, num_groups=256)
    _hold(result, *_reference(features, ids, 256, False), 1e-7, "256 groups")
    assert result.gap[255] > 0


def test_rows_with_nan_are_named() -> None:
    features = SPECTRA["ties"].astype(np.float32).copy()
    features[7, 0] = np.inf
    with pytest.raises(ValueError, match="1 of 12 rows: 7"):
        examine_groups(features, IDS, num_groups=6)
