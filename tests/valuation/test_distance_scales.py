"""Valuers by distances give one value at any scale and offset of the features."""

import decimal

import jax
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from examine_jax.valuation import (
    FacilityLocation,
    KCentre,
    KNNDistance,
    KNNShapley,
    Leverage,
    Mahalanobis,
    ProbCover,
    PrototypeDistance,
    Typicality,
)

LABEL_FREE = [
    FacilityLocation(),
    KCentre(),
    KNNDistance(),
    Leverage(),
    Mahalanobis(),
    ProbCover(),
    PrototypeDistance(),
    Typicality(),
]
SCALES = [2.0**-560, 1e-170, 1e-8, 1e8, 1e160, 2.0**900]


def _integers(count: int, width: int = 5, seed: int = 0) -> np.ndarray:
    """Whole numbers: adding an offset to them rounds nothing."""
    return np.random.default_rng(seed).integers(-40, 41, (count, width)).astype(np.float64)


def _nearest_first(rows: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Orders by distance and then by index, in whole numbers without rounding."""
    whole, others = rows.astype(int), points.astype(int)
    distances = ((others[:, None] - whole[None]) ** 2).sum(axis=2)
    return np.array([sorted(range(len(rows)), key=lambda at: (row[at], at)) for row in distances])


def _shapley(order: np.ndarray, labels: np.ndarray, wanted: np.ndarray, k: int) -> np.ndarray:
    """Theorem 1 of Jia et al. 2019, from the farthest row to the nearest, one by one."""
    count, values = len(labels), np.zeros(len(labels))
    for ranked, label in zip(order, wanted):
        right = (labels[ranked] == label).astype(float)
        found = right[-1] / max(count, k)
        values[ranked[-1]] += found
        for rank in range(count - 1, 0, -1):
            found += (right[rank - 1] - right[rank]) / k * min(k, rank) / rank
            values[ranked[rank - 1]] += found
    return values / len(wanted)


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(2.0**power, 0.0) for power in (-560, -20, 20, 530, 900)] + [(1.0, 1e8), (1.0, -1e12)],
)
def test_knn_shapley_is_that_of_whole_numbers(scale: float, offset: float) -> None:
    # Few distinct values: many rows are equal, and many others at the same distance.
    rows, points = _integers(80, 2) // 20, _integers(30, 2, seed=1) // 20
    labels, wanted = np.arange(80) % 3, np.arange(30) % 3
    expected = _shapley(_nearest_first(rows, points), labels, wanted, 5)
    found = KNNShapley(points * scale + offset, wanted, 5).value(rows * scale + offset, labels)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)


@pytest.mark.parametrize(("scale", "offset"), [(s, 0.0) for s in SCALES] + [(1e-3, 1e8)])
def test_knn_shapley_is_that_of_scikit_learn_s_neighbours(scale: float, offset: float) -> None:
    generator = np.random.default_rng(0)
    rows, points = generator.normal(size=(60, 5)), generator.normal(size=(30, 5))
    labels, wanted = np.arange(60) % 3, np.arange(30) % 3
    given, others = rows * scale + offset, points * scale + offset
    centred = [(part - offset) / scale for part in (given, others)]
    order = NearestNeighbors(n_neighbors=60, algorithm="brute").fit(centred[0])
    expected = _shapley(order.kneighbors(centred[1])[1], labels, wanted, 5)
    found = KNNShapley(others, wanted, 5).value(given, labels)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)


def test_a_large_constant_column_changes_no_knn_shapley_value() -> None:
    rows, points = _integers(60), _integers(30, seed=1)
    labels, wanted = np.arange(60) % 3, np.arange(30) % 3
    far = [np.hstack([part, np.full((len(part), 1), 1e160)]) for part in (rows, points)]
    expected = _shapley(_nearest_first(rows, points), labels, wanted, 5)
    found = KNNShapley(far[1], wanted, 5).value(far[0], labels)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)


@pytest.mark.parametrize("valuer", LABEL_FREE, ids=lambda valuer: type(valuer).__name__)
@pytest.mark.parametrize("scale", SCALES)
def test_the_scale_changes_no_value(valuer, scale: float) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 5))
    expected = valuer.value(rows, key=jax.random.key(0)).values
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(
        valuer.value(rows * scale, key=jax.random.key(0)).values, expected, rtol=1e-9
    )


@pytest.mark.parametrize("valuer", [KCentre(), Leverage(), Mahalanobis()], ids=repr)
@pytest.mark.parametrize("offset", [1e8, -1e12])
def test_an_offset_changes_no_value_of_centred_features(valuer, offset: float) -> None:
    rows = _integers(60)
    np.testing.assert_allclose(
        valuer.value(rows + offset).values, valuer.value(rows).values, rtol=1e-9
    )


@pytest.mark.parametrize("offset", [1e5, 1e8])
def test_cosine_distances_at_an_offset_are_those_of_long_arithmetic(offset: float) -> None:
    rows = _integers(24, 4) + offset
    with decimal.localcontext(prec=60):
        exact = [[decimal.Decimal(float(entry)) for entry in row] for row in rows]
        norms = [sum(entry**2 for entry in row).sqrt() for row in exact]
        unit = [[entry / norm for entry in row] for row, norm in zip(exact, norms)]
        squares = [[sum((a - b) ** 2 for a, b in zip(u, v)) for v in unit] for u in unit]
        chord = np.array([[float(square.sqrt()) for square in row] for row in squares])
        cosine = np.array([[float(square / 2) for square in row] for row in squares])
    np.fill_diagonal(cosine, np.inf)
    np.fill_diagonal(chord, np.inf)
    nearest = np.sort(cosine, axis=1)[:, :3].mean(axis=1)
    np.testing.assert_allclose(KNNDistance(3).value(rows).values, -nearest, rtol=1e-5)
    typical = np.sort(chord, axis=1)[:, :3].mean(axis=1)
    np.testing.assert_allclose(Typicality(3).value(rows).values, 1 / typical, rtol=1e-5)
    np.fill_diagonal(cosine, 0)
    np.fill_diagonal(chord, 0)
    order = np.argsort(-FacilityLocation().value(rows).values)
    assert order[0] == cosine.sum(axis=0).argmin()
    second = np.maximum(cosine[:, [order[0]]] - cosine, 0).sum(axis=0)
    assert order[1] == second.argmax()
    radius = float(np.median(chord))
    covered = np.argsort(-ProbCover(radius).value(rows).values)[0]
    assert covered == (chord <= radius).sum(axis=0).argmax()


def test_a_row_of_zeros_has_cosine_0_with_every_row() -> None:
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [0.0, 0.0]])
    values = KNNDistance(4).value(rows).values
    corner = 1 - np.sqrt(0.5)
    expected = -np.array([4, 3 + corner, 3 + corner, 2 + 2 * corner, 4]) / 4
    np.testing.assert_allclose(values, expected, atol=1e-12)
