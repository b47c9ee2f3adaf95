"""Makes pydvl.npz: pyDVL's values of ten rows in a tabulated game, and its kNN-Shapley.

A table has the worth of every set of the rows. The game is scikit-learn's logistic regression, by
accuracy and by minus the log-loss. A set that lacks a class is worth the majority's rate or the
classes' own rates. pyDVL looks the worth of a set up, so that two libraries play the same game.

Run in an environment of its own: pip install pyDVL==0.10.0 scikit-learn==1.9.1; python
make_pydvl.py
"""

import pathlib

import numpy as np
from pydvl.valuation import (
    BanzhafValuation,
    BetaShapleyValuation,
    Dataset,
    KNNShapleyValuation,
    LOOValuation,
    MSRBanzhafValuation,
    ShapleyValuation,
)
from pydvl.valuation.result import ValuationResult
from pydvl.valuation.samplers import (
    DeterministicUniformSampler,
    FiniteSequentialIndexIteration,
    PermutationSampler,
)
from pydvl.valuation.samplers.truncation import NoTruncation, RelativeTruncation
from pydvl.valuation.stopping import HistoryDeviation, MaxSamples, MinUpdates, NoStopping
from pydvl.valuation.types import Sample
from pydvl.valuation.utility.base import UtilityBase
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier

players, width, points, permutations = 10, 3, 100, 600
generator = np.random.default_rng(0)


def labelled(rows):
    features = generator.normal(size=(rows, width))
    return features, (features[:, 0] + 0.8 * generator.normal(size=rows) > 0).astype(np.int64)


features, labels = labelled(players)
validation, validation_labels = labelled(points)
rate = np.bincount(validation_labels) / points
tables = {
    "accuracy": np.full(2**players, rate.max()),
    "log_loss": np.full(2**players, np.sum(rate * np.log(rate))),
}
for bits in range(2**players):
    rows = np.flatnonzero(bits >> np.arange(players) & 1)
    if len(np.unique(labels[rows])) == 2:
        model = LogisticRegression(solver="liblinear", tol=1e-12, max_iter=100_000).fit(
            features[rows], labels[rows]
        )
        tables["accuracy"][bits] = model.score(validation, validation_labels)
        tables["log_loss"][bits] = -log_loss(validation_labels, model.predict_proba(validation))


class Table(UtilityBase):
    """The worth of a set, at its bits."""

    def __init__(self, worth):
        self.worth = worth

    def __call__(self, sample):
        subset = () if sample is None else sample.subset
        return float(self.worth[sum(1 << int(row) for row in subset)])


orders = np.stack([generator.permutation(players) for _ in range(permutations)])
data = Dataset(features, labels)
arrays = {
    "features": features,
    "labels": labels,
    "validation": validation,
    "validation_labels": validation_labels,
    "orders": orders,
}
truncations = {
    "whole": NoTruncation(),
    "truncated": RelativeTruncation(rtol=0.05),
    "truncated_after_burn_in": RelativeTruncation(rtol=0.05, burn_in_fraction=0.5),
}


def updates(valuation):
    """Returns what each order adds to each row's sum, [permutations, players].

    pyDVL itself evaluates the orders.
    """
    strategy = valuation.sampler.make_strategy(
        valuation.utility.with_dataset(data), valuation.log_coefficient
    )
    found = np.zeros(orders.shape)
    for row, order in zip(found, orders):
        for update in strategy.process([Sample(None, order)], lambda: False):
            row[update.idx] = update.sign * np.exp(update.log_update)
    return found


def keep(name, valuation):
    arrays[f"{name}.values"] = valuation.result.values
    arrays[f"{name}.standard_error"] = valuation.result.stderr


for metric, worth in tables.items():
    arrays[metric] = worth
    utility = Table(worth)
    for name, truncation in truncations.items():
        shapley = ShapleyValuation(utility, PermutationSampler(truncation=truncation), NoStopping())
        arrays[f"{metric}.{name}"] = updates(shapley)
    sampler = PermutationSampler()
    arrays[f"{metric}.beta"] = updates(
        BetaShapleyValuation(utility, sampler, NoStopping(), alpha=4.0, beta=1.0)
    )
    sampler = PermutationSampler(seed=1)
    keep(
        f"{metric}.tmc",
        ShapleyValuation(utility, sampler, MaxSamples(sampler, 2000), progress=False).fit(data),
    )
    keep(f"{metric}.msr", MSRBanzhafValuation(utility, MinUpdates(1500), seed=2).fit(data))
    keep(f"{metric}.loo", LOOValuation(utility).fit(data))
    for name, kind in (("shapley", ShapleyValuation), ("banzhaf", BanzhafValuation)):
        every = DeterministicUniformSampler(index_iteration=FiniteSequentialIndexIteration)
        keep(f"{metric}.exact_{name}", kind(utility, every, NoStopping(every)).fit(data))
    every = DeterministicUniformSampler(index_iteration=FiniteSequentialIndexIteration)
    keep(
        f"{metric}.exact_beta",
        BetaShapleyValuation(utility, every, NoStopping(every), alpha=4.0, beta=1.0).fit(data),
    )

# Its stopping rule divides by signed values: it is asked about orders whose means are all positive.
positive = np.abs(arrays["accuracy.whole"]) + 0.01
for steps, rtol in ((20, 0.05), (100, 0.02)):
    rule = HistoryDeviation(n_steps=steps, rtol=rtol)
    for count in range(1, permutations + 1):
        part = positive[:count]
        counts = np.full(players, count)
        if (
            rule(ValuationResult(values=part.mean(0), variances=part.var(0), counts=counts)).value
            == "converged"
        ):
            break
    arrays[f"stopped.{steps}"] = np.array([rtol, count])

for k in (1, 3, 5):
    model = KNeighborsClassifier(n_neighbors=k)
    knn = KNNShapleyValuation(model, Dataset(validation, validation_labels), progress=False).fit(
        data
    )
    arrays[f"knn.{k}"] = knn.result.values
np.savez_compressed(pathlib.Path(__file__).with_name("pydvl.npz"), **arrays)
print({name: array.shape for name, array in arrays.items()})
for name in truncations:
    print(name, (arrays[f"accuracy.{name}"] == 0).mean(), (arrays[f"log_loss.{name}"] == 0).mean())
print({name: array for name, array in arrays.items() if name.startswith("stopped")})
