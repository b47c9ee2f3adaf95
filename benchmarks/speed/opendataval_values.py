"""OpenDataVal's leave-one-out and kNN-Shapley, timed: python opendataval_values.py ROWS.npz.

ROWS.npz is as for pydvl_values.py; k of kNN-Shapley is 5. The script runs in OpenDataVal's own
environment, without JAX; `valuation_speed --opendataval_python=…` starts it. It prints one JSON
object. OpenDataVal's TMC-Shapley follows other rules (the first five rows of an order get no value,
and means are by position), so it is not compared.
"""

import json
import sys
import time

import numpy as np
import torch
from opendataval.dataval import KNNShapley, LeaveOneOut
from opendataval.metrics import accuracy
from opendataval.model.api import ClassifierSkLearnWrapper
from sklearn.linear_model import LogisticRegression

with np.load(sys.argv[1], allow_pickle=False) as stored:
    arrays = dict(stored)
onehot = {
    name: torch.eye(2)[torch.as_tensor(arrays[name])] for name in ("labels", "validation_labels")
}
data = (
    torch.as_tensor(arrays["features"]),
    onehot["labels"],
    torch.as_tensor(arrays["validation"]),
    onehot["validation_labels"],
)


def leave_one_out(tolerance):
    model = ClassifierSkLearnWrapper(
        LogisticRegression, 2, solver="liblinear", max_iter=5000, tol=tolerance
    )
    valuer = LeaveOneOut().input_data(*data).input_model(model).input_metric(accuracy)
    return valuer.train_data_values().evaluate_data_values()


def knn_shapley(_):
    return (
        KNNShapley(k_neighbors=5, batch_size=4096)
        .input_data(*data)
        .train_data_values()
        .evaluate_data_values()
    )


results = {}
for name, job in (("loo", leave_one_out), ("knn_shapley", knn_shapley)):
    begin, cpu = time.perf_counter(), time.process_time()
    job(1e-4)  # scikit-learn's default
    results[name] = {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu,
    }
    results[name]["values"] = np.asarray(job(1e-12), np.float64).tolist()
print(json.dumps(results))
