import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from examine_jax.studies.budget.classifier import Exam, standardised


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    features = (rng.normal(size=(90, 5)) + 1.2 * labels[:, None]).astype(np.float32)
    features[:, 4] = 7.0  # a feature that never changes
    return features[:60], labels[:60], features[60:], labels[60:]


def exam_of(data, usable=None):
    pool, labels, test, test_labels = data
    usable = np.ones(len(pool), bool) if usable is None else usable
    return Exam(*_parts(pool, test, labels, usable), test_labels, 3, 1.0)


def _parts(pool, test, labels, usable):
    pool, test = standardised(pool, test)
    return pool, labels, usable, test


def test_the_accuracy_equals_scikit_learns_pipeline(data):
    pool, labels, test, test_labels = data
    scaler = StandardScaler().fit(pool.astype(np.float64))
    chosen = np.arange(0, 60, 4)
    model = LogisticRegression(C=1.0, max_iter=2000).fit(
        scaler.transform(pool[chosen].astype(np.float64)), labels[chosen]
    )
    expected = balanced_accuracy_score(
        test_labels, model.predict(scaler.transform(test.astype(np.float64)))
    )
    assert exam_of(data).balanced_accuracy(chosen) == pytest.approx(expected)


def test_spoilt_images_teach_nothing(data):
    usable = np.arange(60) % 2 == 0
    chosen = np.arange(30)
    assert exam_of(data, usable).balanced_accuracy(chosen) == exam_of(data).balanced_accuracy(
        chosen[usable[chosen]]
    )


def test_one_class_or_none_is_chance(data):
    _, labels, _, _ = data
    one = np.flatnonzero(labels == 2)[:4]
    assert exam_of(data).balanced_accuracy(one) == pytest.approx(1 / 3)
    spoilt = exam_of(data, np.zeros(60, bool))
    assert spoilt.balanced_accuracy(np.arange(10)) == pytest.approx(1 / 3)
