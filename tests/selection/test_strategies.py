"""Each strategy against a plain loop, or against scikit-learn."""

import jax
import numpy as np
import pytest
from sklearn.cluster import KMeans

from examine_jax.scoring import examine
from examine_jax.selection import (
    Examine,
    FacilityLocation,
    KCentre,
    KMeansMedoids,
    MaxHerding,
    ProbCover,
    Random,
    Sampling,
    TypiClust,
    select,
)
from examine_jax.selection.distances import (
    host_squared_distances,
    nearest_centres,
    nearest_earlier,
    wide_types,
)
from examine_jax.selection.points import first_equals, points_of
from examine_jax.selection.pool import Choice, Pool
from examine_jax.selection.strategies.max_herding import kernel


def _clusters(count: int = 150, width: int = 9, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(8, width))
    return centres[random.integers(8, size=count)] + 0.4 * random.normal(size=(count, width))


FEATURES = _clusters()
UNIT = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
SQUARES = np.square(UNIT[:, None] - UNIT[None]).sum(axis=2)


def _plain_greedy(similarity: np.ndarray, budget: int, labelled: tuple[int, ...] = ()) -> list[int]:
    best = similarity[list(labelled)].max(axis=0, initial=0)
    chosen: list[int] = []
    for _ in range(budget):
        gain = np.maximum(similarity - best, 0).sum(axis=1)
        gain[[*chosen, *labelled]] = -1
        chosen.append(int(gain.argmax()))
        best = np.maximum(best, similarity[chosen[-1]])
    return chosen


@pytest.mark.parametrize("labelled", [(), (3, 40)])
def test_facility_location_is_the_plain_greedy_choice(labelled: tuple[int, ...]) -> None:
    expected = _plain_greedy(4 - SQUARES, 25, labelled)
    found = select(FEATURES, 25, strategy=FacilityLocation(), labelled=list(labelled))
    assert found.indices.tolist() == expected


def test_facility_location_keeps_to_the_groups_as_a_plain_loop_does() -> None:
    group = np.arange(150) % 25
    similarity = 4 - SQUARES
    best, chosen = np.zeros(150), []
    for _ in range(50):
        gain = np.maximum(similarity - best, 0).sum(axis=1)
        full = np.bincount(group[chosen], minlength=25) >= 2 if chosen else np.zeros(25, bool)
        gain[full[group]] = -1
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        best = np.maximum(best, similarity[chosen[-1]])
    found = select(FEATURES, 50, strategy=FacilityLocation(), groups=group, per_group=2)
    assert found.indices.tolist() == chosen


@pytest.mark.parametrize("budget", [28, 70, 150])
def test_as_many_candidates_as_choices(budget: int) -> None:
    for strategy in (KMeansMedoids(), FacilityLocation(), TypiClust(), MaxHerding()):
        assert len(set(select(FEATURES, budget, strategy=strategy).indices)) == budget


def test_max_herding_is_the_plain_greedy_choice_of_a_gaussian_kernel() -> None:
    similarity = np.exp(-SQUARES / 0.5**2)
    found = select(FEATURES, 20, strategy=MaxHerding(width=0.5)).indices
    # The kernel is rounded, so near ties may go the other way: compare what is covered.
    covered = similarity[found].max(axis=0).sum()
    best = similarity[_plain_greedy(similarity, 20)].max(axis=0).sum()
    assert covered == pytest.approx(best, rel=5e-3)


@pytest.mark.parametrize("halving", [1, 7, 1000, 2**22, 2**40])
def test_the_whole_number_kernel_is_a_gaussian(halving: int) -> None:
    distance = np.unique(np.linspace(0, 14 * halving, 500).astype(np.int64))
    with wide_types():
        found = np.asarray(jax.jit(kernel)(distance[None], np.int64(halving)))[0]
    np.testing.assert_allclose(found, 4096 * 2.0 ** (-distance / halving), atol=12)
    assert (np.diff(found) <= 0).all()


def test_prob_cover_is_the_plain_greedy_choice_of_balls() -> None:
    near = (SQUARES <= 0.6**2).astype(float)
    expected = _plain_greedy(near, 8)
    found = select(FEATURES, 8, strategy=ProbCover(radius=0.6))
    assert found.indices.tolist() == expected
    assert found.facts["radius"] == pytest.approx(0.6, rel=1e-4)


def test_prob_covers_own_radius_makes_pure_balls() -> None:
    found = select(FEATURES, 8, strategy=ProbCover(clusters=8))
    cluster = KMeans(8, n_init=10, random_state=0).fit(UNIT).labels_
    near = found.facts["radius"] ** 2 >= SQUARES
    pure = [len(set(cluster[row])) == 1 for row in near]
    assert np.mean(pure) > 0.8


def test_k_centre_is_the_plain_farthest_first_choice() -> None:
    first = int(np.square(UNIT - UNIT.mean(axis=0)).sum(axis=1).argmin())
    chosen = [first]
    for _ in range(19):
        chosen.append(int(SQUARES[chosen].min(axis=0).argmax()))
    assert select(FEATURES, 20, strategy=KCentre()).indices.tolist() == chosen


def test_examine_is_the_order_of_the_gap() -> None:
    order = np.argsort(np.asarray(examine(FEATURES.astype(np.float32)).gap), kind="stable")
    found = select(FEATURES.astype(np.float32), 10, strategy=Examine()).indices
    np.testing.assert_array_equal(found, order[:10])


def test_k_means_medoids_are_as_near_as_scikit_learns_clusters() -> None:
    found = select(FEATURES, 12, strategy=KMeansMedoids(preprocessing="l2"))
    theirs = KMeans(12, n_init=20, random_state=0).fit(UNIT)
    medoids = [
        np.flatnonzero(theirs.labels_ == own)[
            np.square(UNIT[theirs.labels_ == own] - centre).sum(axis=1).argmin()
        ]
        for own, centre in enumerate(theirs.cluster_centers_)
    ]
    cost, their_cost = (SQUARES[list(x)].min(axis=0).sum() for x in (found.indices, medoids))
    assert cost < 1.03 * their_cost


def test_typiclust_takes_the_most_typical_image_of_each_cluster() -> None:
    random = np.random.default_rng(5)
    sizes = (60, 50, 40, 30)
    centres = np.repeat(10 * np.eye(4), sizes, axis=0)
    rows = centres + random.normal(size=centres.shape)
    found = select(rows, 4, strategy=TypiClust(preprocessing="none", neighbours=10)).indices
    own = np.repeat(np.arange(4), sizes)
    assert own[found].tolist() == [0, 1, 2, 3]  # the largest first
    for image in found:
        members = np.flatnonzero(own == own[image])
        distance = np.linalg.norm(rows[members][:, None] - rows[members][None], axis=2)
        typical = members[np.sort(distance, axis=1)[:, 1:11].mean(axis=1).argmin()]
        assert image == typical


def test_random_differs_by_key_alone() -> None:
    one, same, other = (
        select(FEATURES, 20, strategy=Random(), key=key).indices for key in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert set(one) != set(other)


@pytest.mark.parametrize("strategy", [FacilityLocation, KMeansMedoids])
def test_a_sampled_choice_is_nearly_as_good_and_goes_on(strategy: type) -> None:
    sampled = strategy(
        preprocessing="l2", sampling=Sampling(exact_rows=10, candidates=60, covered=90)
    )
    exact = select(FEATURES, 10, strategy=strategy(preprocessing="l2"))
    found = select(FEATURES, 10, strategy=sampled)
    assert np.square(found.distance).mean() < 1.2 * np.square(exact.distance).mean()
    assert found.facts["covered"] == 90
    assert found.facts["coverage_error_bound"] == pytest.approx(np.sqrt(np.log(40) / 180))
    assert found.facts["candidates"] <= 60
    assert len(set(found.indices)) == 10


def test_medoids_that_cover_no_sampled_image_are_chosen_too() -> None:
    # 30 medoids and 30 images that are to be covered: some medoids cover none of these.
    sampling = Sampling(exact_rows=10, candidates=60, covered=30, covered_a_choice=1)
    choices = []

    class Remembering(KMeansMedoids):
        def choose(self, pool: Pool, budget: int, key: jax.Array) -> Choice:
            choices.append(super().choose(pool, budget, key))
            return choices[-1]

    select(FEATURES, 30, strategy=Remembering(sampling=sampling))
    assert len(set(choices[0].rows.tolist())) == 30


def test_a_sampled_choice_is_nested_where_the_samples_are_the_same() -> None:
    strategy = FacilityLocation(sampling=Sampling(exact_rows=10, candidates=80, covered=120))
    whole = select(FEATURES, 10, strategy=strategy)
    first = select(FEATURES, 4, strategy=strategy)
    second = select(FEATURES, 6, strategy=strategy, labelled=first.indices)
    np.testing.assert_array_equal(whole.indices, [*first.indices, *second.indices])


def test_k_centre_of_a_sample() -> None:
    found = select(FEATURES, 10, strategy=KCentre(exact_rows=50), labelled=[3, 9])
    assert len({*found.indices, 3, 9}) == 12


@pytest.mark.parametrize("preprocessing", ["none", "l2", "zscore"])
@pytest.mark.parametrize("rows", [FEATURES, FEATURES * 1e-3 + 50, FEATURES * 1e200])
def test_distances_of_points_are_those_of_the_features(
    preprocessing: str, rows: np.ndarray
) -> None:
    points = points_of(rows, np.arange(len(rows)), preprocessing)
    exact = rows
    if preprocessing == "l2":
        exact = rows / np.abs(rows).max()
        exact = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    if preprocessing == "zscore":
        exact = rows / np.abs(rows).max()
        exact = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    scale = np.abs(exact - exact.mean(axis=0)).max()
    exact = exact / scale
    expected = np.linalg.norm(exact[:, None] - exact[None], axis=2)
    found = np.sqrt(host_squared_distances(points, points).astype(float)) * points.unit / scale
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())


def test_many_rows_are_on_a_coarser_grid_with_exact_distances() -> None:
    rows = np.random.default_rng(0).normal(size=(17_000, 3))
    points = points_of(rows, np.arange(len(rows)), "none")
    assert points.rows.dtype == np.int16
    some, others = points.take(np.arange(40)), points.take(np.arange(9000, 9100))
    wide = some.rows.astype(np.int64)[:, None] - others.rows[None]
    np.testing.assert_array_equal(host_squared_distances(some, others), np.square(wide).sum(axis=2))
    index, near = nearest_centres(some, others)
    np.testing.assert_array_equal(index, np.square(wide).sum(axis=2).argmin(axis=1))
    np.testing.assert_array_equal(near, np.square(wide).sum(axis=2).min(axis=1))
    np.testing.assert_array_equal(
        nearest_earlier(points.take(np.array([7, 5, 7, 9])), 0)[:3], [-1, 0, 0]
    )


def test_equal_rows_are_found() -> None:
    rows = np.concatenate([FEATURES, FEATURES[::-1], FEATURES[:5]])
    found = first_equals(points_of(rows, np.arange(len(rows)), "none"))
    plain = [int(np.flatnonzero((rows == row).all(axis=1))[0]) for row in rows]
    np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sampling(candidates=0),
        lambda: MaxHerding(width=0),
        lambda: ProbCover(radius=-1),
        lambda: ProbCover(purity=2),
        lambda: TypiClust(neighbours=0),
        lambda: KMeansMedoids(iterations=0),
        lambda: select(FEATURES, 3, strategy=FacilityLocation(preprocessing="whiten")),
    ],
)
def test_settings_out_of_bounds(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises((ValueError, TypeError)):
        make()
