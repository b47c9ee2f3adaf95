"""Small labelled sets, and scikit-learn's own fit to the same objective."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier


def labelled_rows(
    rows: int, width: int, classes: int, dtype: Any = np.float64, seed: int = 0
) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, width))
    noisy = features[:, :classes] + generator.normal(size=(rows, classes))
    return features.astype(dtype), noisy.argmax(1)


def sklearn_fit(features: Any, labels: Any, objective: str, weight: Any = None) -> Any:
    """Fits to the optimum; `coef_` and `intercept_` have a row a class where there are several."""
    model = LogisticRegression(solver=objective, tol=1e-12, max_iter=1_000_000)
    features = features.astype(np.float64)
    if objective == "liblinear" and len(np.unique(labels)) > 2:
        fitted = OneVsRestClassifier(model).fit(features, labels)
        fitted.coef_ = np.concatenate([one.coef_ for one in fitted.estimators_])
        fitted.intercept_ = np.concatenate([one.intercept_ for one in fitted.estimators_])
        return fitted
    return model.fit(features, labels, sample_weight=weight)
