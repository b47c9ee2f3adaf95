"""Times pyDVL's leave-one-out and one whole permutation of its Shapley.

python pydvl_values.py ROWS.npz

ROWS.npz holds features, labels, validation, validation_labels, and order, a permutation. The script
runs in pyDVL's own environment, without JAX; `valuation_speed --pydvl_python=…` starts it. It
prints one JSON object.
"""

import json
import sys
import time

import numpy as np
from pydvl.valuation import Dataset, LOOValuation, ModelUtility, ShapleyValuation, SupervisedScorer
from pydvl.valuation.samplers import PermutationSampler
from pydvl.valuation.stopping import NoStopping
from pydvl.valuation.types import Sample
from sklearn.linear_model import LogisticRegression

with np.load(sys.argv[1], allow_pickle=False) as stored:
    arrays = dict(stored)
data = Dataset(arrays["features"], arrays["labels"])
test = Dataset(arrays["validation"], arrays["validation_labels"])
default = float(
    np.bincount(arrays["validation_labels"]).max() / len(test)
)  # a set of one class is worth the majority's rate
scorer = SupervisedScorer("accuracy", test, default=default)


def utility(tolerance):
    return ModelUtility(
        LogisticRegression(solver="liblinear", max_iter=5000, tol=tolerance),
        scorer,
        show_warnings=False,
    )


def leave_one_out(tolerance):
    return LOOValuation(utility(tolerance)).fit(data).result.values


def permutation(tolerance):
    shapley = ShapleyValuation(
        utility(tolerance).with_dataset(data), PermutationSampler(), NoStopping()
    )
    strategy = shapley.sampler.make_strategy(shapley.utility, None)
    found = np.zeros(len(arrays["order"]))
    for update in strategy.process([Sample(None, arrays["order"])], lambda: False):
        found[update.idx] = update.sign * np.exp(update.log_update)
    return found


results = {}
for name, job in (("loo", leave_one_out), ("permutation", permutation)):
    begin, cpu = time.perf_counter(), time.process_time()
    job(1e-4)  # scikit-learn's default
    results[name] = {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu,
    }
    results[name]["values"] = job(1e-12).tolist()
print(json.dumps(results))
