"""Label-free values against other libraries' figures and greedy rules written out."""

import jax
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from examine_jax.scoring import examine
from examine_jax.valuation import (
    Examine,
    FacilityLocation,
    KCentre,
    KNNDistance,
    Leverage,
    Mahalanobis,
    ProbCover,
    PrototypeDistance,
    Random,
    Typicality,
    Valuer,
)
from examine_jax.valuation.valuers.label_free import unit_rows

KEY = jax.random.key(0)
ROWS = np.random.default_rng(0).normal(size=(60, 8))
ALL: list[Valuer] = [
    Examine(),
    FacilityLocation(),
    KCentre(),
    KNNDistance(),
    Leverage(),
    Mahalanobis(),
    ProbCover(),
    PrototypeDistance(),
    Random(),
    Typicality(),
]


@pytest.mark.parametrize("valuer", ALL, ids=lambda valuer: type(valuer).__name__)
@pytest.mark.parametrize(
    "kind", ["ordinary", "constant", "two rows", "wide", "float32", "repeated"]
)
def test_every_row_gets_a_finite_value_and_the_same_one_again(valuer: Valuer, kind: str) -> None:
    rows = {
        "ordinary": ROWS,
        "constant": np.ones((12, 3)),
        "two rows": ROWS[:2],
        "wide": np.random.default_rng(1).normal(size=(10, 40)),
        "float32": ROWS.astype(np.float32),
        "repeated": np.repeat(ROWS[:6], 3, axis=0),
    }[kind]
    before = rows.copy()
    found = valuer.value(rows, None, KEY)
    assert found.values.shape == (len(rows),)
    assert np.isfinite(found.values).all()
    np.testing.assert_array_equal(found.values, valuer.value(rows, None, KEY).values)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("valuer", ALL, ids=lambda valuer: type(valuer).__name__)
def test_rows_that_are_not_finite_are_named(valuer: Valuer) -> None:
    rows = ROWS.copy()
    rows[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"rows \[3\]"):
        valuer.value(rows, None, KEY)


@pytest.mark.parametrize(
    "valuer",
    [
        Examine(),
        KNNDistance(),
        Leverage(),
        Mahalanobis(),
        PrototypeDistance(clusters=1),
        Typicality(),
    ],
    ids=lambda valuer: type(valuer).__name__,
)
def test_an_outlier_is_worth_least(valuer: Valuer) -> None:
    rows = np.concatenate([ROWS + 5, [[-80.0, 60, -90, 80, -70, 60, -50, 90]]])
    assert np.argmin(valuer.value(rows, None, KEY).values) == 60


def test_examine_is_minus_the_gap() -> None:
    np.testing.assert_allclose(Examine().value(ROWS).values, -np.asarray(examine(ROWS).gap))


def test_leverage_is_the_hat_matrix_diagonal() -> None:
    hat = ROWS @ np.linalg.pinv(ROWS)
    np.testing.assert_allclose(Leverage(center=False, ridge=0.0).value(ROWS).values, -np.diag(hat))


def test_nearest_neighbours_are_scikit_learns() -> None:
    for valuer, metric, shape in (
        (KNNDistance(k=5), "cosine", lambda mean: -mean),
        (Typicality(k=5), "euclidean", lambda mean: 1 / mean),
    ):
        rows = unit_rows(ROWS)
        distance, _ = NearestNeighbors(n_neighbors=5, metric=metric).fit(rows).kneighbors()
        np.testing.assert_allclose(valuer.value(ROWS).values, shape(distance.mean(1)), rtol=1e-6)


def test_lazy_facility_location_is_the_greedy_rule() -> None:
    similar = unit_rows(ROWS) @ unit_rows(ROWS).T + 1
    nearest, chosen = np.zeros(60), []
    while len(chosen) < 60:
        gain = np.maximum(similar - nearest[:, None], 0).sum(0)
        gain[chosen] = -1
        chosen.append(int(np.argmax(gain)))
        nearest = np.maximum(nearest, similar[:, chosen[-1]])
    order = np.argsort(-FacilityLocation().value(ROWS).values)
    assert order[:20].tolist() == chosen[:20]


def test_k_centre_takes_the_farthest() -> None:
    order = np.argsort(-KCentre().value(ROWS).values)
    for step in (1, 5, 30):
        distance = np.linalg.norm(ROWS[:, None] - ROWS[order[:step]], axis=2).min(1)
        assert distance[order[step]] == pytest.approx(distance.max())


def test_prob_cover_takes_first_what_covers_most() -> None:
    centres = np.repeat(np.eye(4), [9, 5, 3, 1], axis=0)
    rows = centres + np.random.default_rng(0).normal(size=centres.shape) * 1e-3
    order = np.argsort(-ProbCover(radius=0.1).value(rows).values)
    assert [int(np.argmax(centres[row])) for row in order[:4]] == [0, 1, 2, 3]
