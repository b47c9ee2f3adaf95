"""Nearest neighbours, against scikit-learn's and an explicit sort."""

from fractions import Fraction

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from examine_jax.features import neighbours as knn
from examine_jax.features.neighbours import (
    UniformEuclidean,
    WeightedCosine,
    knn_predict,
    knn_scores,
    nearest_neighbours,
)


def _features(count, width=12, seed=0, offset=0.0):
    return (np.random.default_rng(seed).standard_normal((count, width)) + offset).astype(np.float32)


@pytest.fixture(
    params=[(8192, 1024, "cpu"), (64, 16, "cpu"), (64, 16, "accelerator")],
    ids=["one block", "many blocks", "many blocks as on an accelerator"],
)
def blocks(request, monkeypatch):
    monkeypatch.setattr(knn, "_TRAIN_BLOCK", request.param[0])
    monkeypatch.setattr(knn, "_QUERY_BLOCK", request.param[1])
    if request.param[2] == "accelerator":
        monkeypatch.setattr(knn, "_merge_on_cpu", knn._merge)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("k", [1, 7, 150, 200])
@pytest.mark.parametrize("offset", [0.0, 300.0], ids=["centred", "far from the origin"])
def test_uniform_votes_agree_with_scikit_learn(k, offset):
    train, queries = _features(200, offset=offset), _features(45, seed=1, offset=offset)
    labels = np.random.default_rng(2).integers(0, 4, 200)
    model = KNeighborsClassifier(k, algorithm="brute").fit(train.astype(np.float64), labels)
    distances, indices = model.kneighbors(queries.astype(np.float64))
    found, near = nearest_neighbours(train, queries, k=k)
    np.testing.assert_array_equal(found, indices)
    np.testing.assert_allclose(near, distances, rtol=2e-5)
    np.testing.assert_allclose(
        knn_scores(train, labels, queries, k=k, num_classes=4),
        model.predict_proba(queries),
        atol=1e-6,
    )
    np.testing.assert_array_equal(
        knn_predict(train, labels, queries, k=k, num_classes=4), model.predict(queries)
    )


@pytest.mark.usefixtures("blocks")
def test_weighted_cosine_votes_agree_with_scikit_learn():
    train, queries = _features(200), _features(45, seed=1)
    labels = np.random.default_rng(2).integers(0, 4, 200)
    model = KNeighborsClassifier(20, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.07))
    model.fit(train, labels)
    scores = knn_scores(train, labels, queries, k=20, num_classes=4, voting=WeightedCosine())
    np.testing.assert_allclose(scores, model.predict_proba(queries), atol=2e-5)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_equal_distances_are_taken_in_the_order_of_the_training_images(metric):
    rows = np.random.default_rng(0).integers(-2, 3, (10, 5)).astype(np.float32)
    if (
        metric == "cosine"
    ):  # products of normalised rows are rounded: only copies are sure to be equally near
        rows = _features(10, 5)
    train = np.tile(rows, (20, 1))  # every row twenty times
    found, _ = nearest_neighbours(train, rows, k=60, metric=metric)
    for query, indices in zip(rows.astype(np.float64), found):
        if metric == "euclidean":
            far = np.square(train - query).sum(1)
        else:
            norms = np.linalg.norm(train, axis=1) * np.linalg.norm(query)
            far = -np.round(train.astype(np.float64) @ query / norms, 12)
        np.testing.assert_array_equal(indices, np.argsort(far, kind="stable")[:60])


def _near_copies():
    rng = np.random.default_rng(0)
    return (
        1
        + 1e-4 * rng.standard_normal((300, 32))
        + np.repeat(rng.standard_normal((30, 32)), 10, axis=0)
    )


def _far_clusters():
    rng = np.random.default_rng(1)
    return rng.standard_normal((300, 64)) + 1000.0 * rng.integers(0, 2, (300, 1))


def _one_wide_column():
    rng = np.random.default_rng(2)
    return np.concatenate(
        [rng.standard_normal((300, 16)), 1e4 * rng.choice([-1.0, 1.0], (300, 1))], axis=1
    )


def _collapsed():
    rng = np.random.default_rng(3)
    return rng.standard_normal(48) + 3e-4 * rng.standard_normal((300, 48))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("make", [_near_copies, _far_clusters, _one_wide_column, _collapsed])
def test_neighbours_of_awkward_float32_features_are_scikit_learn_s_in_float64(make, metric):
    features = make().astype(np.float32)
    train, queries = features[::2], features[1::2]
    model = NearestNeighbors(n_neighbors=20, algorithm="brute", metric=metric).fit(
        train.astype(np.float64)
    )
    _, expected = model.kneighbors(queries.astype(np.float64))
    found, near = nearest_neighbours(train, queries, k=20, metric=metric)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(expected, axis=1))
    exact = train.astype(np.float64)[found]
    if metric == "euclidean":
        distances = np.linalg.norm(exact - queries.astype(np.float64)[:, None], axis=2)
        np.testing.assert_allclose(near, distances, rtol=1e-5)


def test_large_integers_keep_their_differences():
    train = np.random.default_rng(0).integers(0, 50, (40, 6)) + 2**30
    found, _ = nearest_neighbours(train, train, k=1)
    np.testing.assert_array_equal(found[:, 0], np.arange(40))


def test_a_draw_goes_to_the_lowest_class():
    assert (
        knn_predict(
            np.array([[1.0], [-1.0]]), np.array([2, 1]), np.array([[0.0]]), k=2, num_classes=3
        )
        == 1
    )


def test_small_temperature_and_rows_of_zeros_stay_finite():
    train, queries = (
        _features(30),
        np.concatenate([_features(3, seed=1), np.zeros((1, 12), np.float32)]),
    )
    scores = knn_scores(
        train, np.arange(30) % 3, queries, k=30, num_classes=3, voting=WeightedCosine(1e-4)
    )
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[3], 1 / 3, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_scale_of_the_features_does_not_matter(factor):
    train, queries = _features(60), _features(9, seed=1)
    expected, _ = nearest_neighbours(train, queries, k=5)
    found, near = nearest_neighbours(train * np.float32(factor), queries * np.float32(factor), k=5)
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(near).all()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("factor", [2.0**-700, 2.0**700], ids=["tiny", "huge"])
def test_squares_outside_float64_change_no_neighbour(factor, metric):
    train, queries = (
        _features(60, offset=3).astype(np.float64),
        _features(9, seed=1).astype(np.float64),
    )
    expected, _ = nearest_neighbours(train, queries, k=5, metric=metric)
    np.testing.assert_array_equal(
        nearest_neighbours(train * factor, queries * factor, k=5, metric=metric)[0], expected
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_all_dtypes_of_features(dtype):
    train = np.random.default_rng(0).integers(0, 50, (40, 6)).astype(dtype)
    found, near = nearest_neighbours(train, train[:5], k=1)
    np.testing.assert_array_equal(found[:, 0], np.arange(5))
    np.testing.assert_array_equal(near, 0)


def test_no_query_gives_no_prediction():
    assert knn_predict(_features(5), np.zeros(5, int), _features(0), k=2, num_classes=2).shape == (
        0,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 21}, "k is 21, but there are 20 training images"),
        ({"k": 0}, "k is 0"),
        ({"train_labels": np.full(20, 2)}, "label 2 of row 0 is outside 0 .. 1"),
        ({"train_labels": np.full(20, -1)}, "label -1 of row 0"),
        ({"features": np.full((2, 12), np.nan)}, "features: row 0 is not finite"),
        ({"train_features": np.full((20, 12), -np.inf)}, "training features: row 0 is not finite"),
    ],
)
def test_what_cannot_be_classified_is_refused(change, message):
    arguments = {
        "train_features": _features(20),
        "train_labels": np.zeros(20, int),
        "features": _features(3),
    }
    with pytest.raises(ValueError, match=message):
        knn_predict(
            **{**arguments, "k": 3, "num_classes": 2, "voting": UniformEuclidean(), **change}
        )


@pytest.mark.parametrize(
    "change", [{"features": _features(3, 5)}, {"train_labels": np.zeros(19, int)}]
)
def test_shapes_that_do_not_fit_are_refused(change):
    arguments = {
        "train_features": _features(20),
        "train_labels": np.zeros(20, int),
        "features": _features(3),
    }
    with pytest.raises((ValueError, TypeError), match=r"features|labels"):
        knn_predict(**{**arguments, **change}, k=3, num_classes=2)


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match="temperature"):
        WeightedCosine(0.0)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("factor", [1.0, 2.0**-560, 2.0**530])
def test_equally_near_rows_of_whole_numbers_are_taken_by_index(metric, factor):
    generator = np.random.default_rng(0)
    train = generator.integers(-2, 3, (1500, 4))
    queries = np.concatenate([generator.integers(-2, 3, (20, 4)), np.zeros((1, 4), int)])

    def distance(row, query):
        if metric == "euclidean":
            return Fraction(int(((row - query) ** 2).sum()))
        product, square = int(row @ query), int(row @ row)
        return -Fraction(product * abs(product), square) if square else Fraction(0)

    # Under cosine the two sets need not have one scale.
    scaled = queries * (factor if metric == "euclidean" else 3.0)
    found, _ = nearest_neighbours(train * factor, scaled, k=40, metric=metric)
    for query, indices in zip(queries, found):
        distances = [distance(row, query) for row in train]
        expected = sorted(range(len(train)), key=lambda at: (distances[at], at))[:40]
        np.testing.assert_array_equal(indices, expected)


def test_a_query_of_zeros_has_cosine_0_with_the_first_rows():
    indices, cosines = nearest_neighbours(_features(30), np.zeros((1, 12)), k=5, metric="cosine")
    np.testing.assert_array_equal(indices, [range(5)])
    np.testing.assert_array_equal(cosines, np.zeros((1, 5)))
