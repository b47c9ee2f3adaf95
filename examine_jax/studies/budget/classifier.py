"""What a classifier learns from the chosen images."""

import dataclasses

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.evaluation.metrics import balanced_accuracy
from examine_jax.features.preprocessing import FeatureStatistics, preprocess


@dataclasses.dataclass(frozen=True, eq=False)
class Exam:
    """A pool and held-out images, on which choices are compared.

    Attributes:
        pool: features [P, D], standardised over the pool: that needs no labels.
        labels: [P] of the pool.
        usable: [P] False for images that teach nothing.
        test: features [T, D] of the held-out images, standardised likewise.
        test_labels: [T].
        num_classes: of the labels.
        regularisation: C of the logistic regression.
    """

    pool: Float[np.ndarray, "p d"]
    labels: Int[np.ndarray, " p"]
    usable: np.ndarray
    test: Float[np.ndarray, "t d"]
    test_labels: Int[np.ndarray, " t"]
    num_classes: int
    regularisation: float

    def balanced_accuracy(self, chosen: Int[np.ndarray, " k"]) -> float:
        """Returns the balanced accuracy on the held-out images after labelling `chosen`.

        The classifier is scikit-learn's logistic regression with an L2 penalty. Images that are not
        usable are left out: their labels are spent for nothing. If one class alone is left, it is
        what the classifier always says; if none is, it always says class 0.
        """
        from sklearn.linear_model import LogisticRegression

        learnt = chosen[self.usable[chosen]]
        labels = self.labels[learnt]
        if len(np.unique(labels)) < 2:
            always = labels[0] if len(labels) else 0
            predicted = np.full(len(self.test_labels), always)
        else:
            model = LogisticRegression(C=self.regularisation, max_iter=2000)
            predicted = model.fit(self.pool[learnt], labels).predict(self.test)
        return balanced_accuracy(self.test_labels, predicted.astype(np.int64), self.num_classes)


def standardised(
    pool: Float[np.ndarray, "p d"], test: Float[np.ndarray, "t d"]
) -> tuple[Float[np.ndarray, "p d"], Float[np.ndarray, "t d"]]:
    """Returns both, z-scored by the pool's statistics, in double precision."""
    pool, test = pool.astype(np.float64), test.astype(np.float64)
    statistics = FeatureStatistics.of(pool)
    return preprocess(pool, "zscore", statistics), preprocess(test, "zscore", statistics)
