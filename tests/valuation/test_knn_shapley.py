"""The closed form against Shapley's sum over all sets of ten rows."""

import itertools
import math

import numpy as np
import pytest

from examine_jax.valuation import KNNShapley


@pytest.mark.parametrize(("players", "k"), [(10, 1), (10, 3), (4, 6)])
def test_it_is_brute_force_shapley(players: int, k: int) -> None:
    generator = np.random.default_rng(players)
    rows, labels = generator.normal(size=(players, 2)), np.arange(players) % 3
    points, wanted = generator.normal(size=(3, 2)), np.array([0, 1, 2])

    def worth(members: tuple[int, ...]) -> float:
        total = 0.0
        for point, label in zip(points, wanted):
            nearest = sorted(members, key=lambda row: np.sum((rows[row] - point) ** 2))[:k]
            total += sum(labels[row] == label for row in nearest) / k
        return total / len(points)

    table = {
        members: worth(members)
        for size in range(players + 1)
        for members in itertools.combinations(range(players), size)
    }
    expected = np.zeros(players)
    for player in range(players):
        others = [row for row in range(players) if row != player]
        for size in range(players):
            for members in itertools.combinations(others, size):
                gain = table[tuple(sorted((*members, player)))] - table[members]
                expected[player] += gain / (players * math.comb(players - 1, size))
    found = KNNShapley(points, wanted, k).value(rows, labels)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)


def test_values_add_up_to_the_worth_of_all_rows() -> None:
    generator = np.random.default_rng(0)
    rows, labels = generator.normal(size=(60, 4)), generator.integers(2, size=60)
    points, wanted = generator.normal(size=(50, 4)), np.arange(50) % 2
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=5).fit(rows).kneighbors(points, return_distance=False)
    expected = np.mean(labels[nearest] == wanted[:, None])
    assert KNNShapley(points, wanted).value(rows, labels).values.sum() == pytest.approx(expected)


def test_k_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        KNNShapley(np.ones((2, 1)), np.array([0, 1]), 0)
