"""EXAMINE, LOO and TMC-Shapley on the same features, beside a loop over scikit-learn.

    python -m benchmarks.speed.valuation_speed --output=FILE.json \
        [--rows=500 --width=1024 --validation=20000 --permutations=100] \
        [--pydvl_python=PYTHON] [--opendataval_python=PYTHON]

Of the scikit-learn loop, only `--sampled` fits are timed (fit and score, at the default tolerance);
their mean is extrapolated to all fits. As many fits at tol=1e-12 show whether the values agree. Our
times are of a run after compilation; the record has the first run's too. With --pydvl_python, an
interpreter with pyDVL, its leave-one-out and one permutation of its Shapley on the first
`--sampled` rows are timed and compared with ours; likewise OpenDataVal's leave-one-out and
kNN-Shapley.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression as Sklearn

from examine_jax.common.atomic_files import write_text
from examine_jax.reporting.page import package_versions
from examine_jax.valuation import Examine, KNNShapley, LeaveOneOut, TMCShapley, Utility
from examine_jax.valuation.valuation import seeds_of

_ROWS = flags.DEFINE_integer("rows", 500, "Rows to value.")
_WIDTH = flags.DEFINE_integer("width", 1024, "Columns of features.")
_VALIDATION = flags.DEFINE_integer("validation", 20_000, "Validation points.")
_PERMUTATIONS = flags.DEFINE_integer(
    "permutations", 100, "Permutations of TMC-Shapley, without truncation."
)
_SAMPLED = flags.DEFINE_integer("sampled", 40, "scikit-learn fits to time for each valuer.")
_PYDVL = flags.DEFINE_string(
    "pydvl_python", None, "The interpreter of an environment that has pyDVL."
)
_OPENDATAVAL = flags.DEFINE_string(
    "opendataval_python", None, "The interpreter of an environment that has OpenDataVal."
)
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.")


@dataclasses.dataclass(frozen=True)
class Data:
    features: Any
    labels: Any
    validation: Any
    validation_labels: Any


def synthetic(rows: int, width: int, validation: int) -> Data:
    """Makes features of a decaying spectrum and unit variance; labels are linear plus noise."""
    generator = np.random.default_rng(0)
    mixing = (
        generator.normal(size=(width, width)) * np.exp(-np.arange(width) / (width / 16))[:, None]
    )
    features = generator.normal(size=(rows + validation, width)) @ mixing
    features = (features / features.std(0)).astype(np.float32)
    direction = generator.normal(size=width)
    signal = features @ direction / np.std(features @ direction)
    labels = (signal + 0.7 * generator.normal(size=len(features)) > 0).astype(np.int64)
    return Data(features[:rows], labels[:rows], features[rows:], labels[rows:])


def timed(job: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The job's result and its time: wall seconds, and CPU seconds over all cores."""
    begin, cpu = time.perf_counter(), time.process_time()
    found = job()
    return found, {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu}


def after_compilation(job: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The job's result and times: the first run's, and the fastest of up to five more."""
    found, first = timed(job)
    runs = [timed(job)[1]]
    while len(runs) < 5 and sum(run["seconds"] for run in runs) < 2:
        runs.append(timed(job)[1])
    return found, {
        **min(runs, key=lambda run: run["seconds"]),
        "seconds_with_compilation": first["seconds"],
    }


def sklearn_worths(data: Data, sets: list[Any], tolerance: float) -> list[float]:
    """The accuracy of a fit to each set of rows."""
    worths = []
    for rows in sets:
        model = Sklearn(solver="liblinear", max_iter=5000, tol=tolerance).fit(
            data.features[rows], data.labels[rows]
        )
        worths.append(float(model.score(data.validation, data.validation_labels)))
    return worths


def compare(data: Data, sets: list[Any], worths: Any, fits: int) -> dict[str, Any]:
    """The extrapolated time of a scikit-learn loop, and its agreement with our worths."""
    _, spent = timed(lambda: sklearn_worths(data, sets, 1e-4))
    exact = sklearn_worths(data, sets, 1e-12)
    return {
        "sklearn_fits_sampled": len(sets),
        "sklearn_seconds_a_fit_sampled": spent["seconds"] / len(sets),
        "sklearn_seconds_extrapolated": spent["seconds"] / len(sets) * fits,
        "sklearn_cpu_seconds_extrapolated": spent["cpu_seconds"] / len(sets) * fits,
        "largest_difference_of_a_worth": float(np.max(np.abs(np.array(exact) - worths))),
        "rank_correlation_of_worths": float(spearmanr(exact, worths).statistic),
    }


def times_faster(result: dict[str, Any]) -> dict[str, float]:
    return {
        "times_faster": result["sklearn_seconds_extrapolated"] / result["seconds"],
        "times_less_cpu": result["sklearn_cpu_seconds_extrapolated"] / result["cpu_seconds"],
    }


def main(_: list[str]) -> None:
    data = synthetic(_ROWS.value, _WIDTH.value, _VALIDATION.value)
    count, generator, key = _ROWS.value, np.random.default_rng(1), jax.random.key(0)
    utility = Utility(data.validation, data.validation_labels)
    results: dict[str, dict[str, Any]] = {}

    _, spent = after_compilation(lambda: Examine().value(data.features))
    results["examine"] = {**spent, "fits": 0}
    print("examine", results["examine"], flush=True)

    found, spent = after_compilation(lambda: LeaveOneOut(utility).value(data.features, data.labels))
    chosen = generator.permutation(count)[: _SAMPLED.value]
    worths = found.diagnostics["full_worth"] - found.values[chosen]
    sets = [np.delete(np.arange(count), row) for row in chosen]
    results["loo"] = {
        **spent,
        "fits": found.diagnostics["fits"],
        **compare(data, sets, worths, int(found.diagnostics["fits"])),
    }
    results["loo"] |= times_faster(results["loo"])
    print("loo", results["loo"], flush=True)

    valuer = TMCShapley(utility, permutations=_PERMUTATIONS.value, truncation=None, stopping=None)
    dataclasses.replace(valuer, permutations=valuer.at_once).value(
        data.features, data.labels, key
    )  # compiles
    found, spent = timed(lambda: valuer.value(data.features, data.labels, key))
    game = utility.game(data.features, data.labels)
    order = seeds_of(key, np.arange(valuer.at_once))
    orders = np.stack([seed.permutation(count) for seed in order])
    prefixes = np.concatenate([worth for worth, _ in game.prefixes(orders)], axis=1)
    which = generator.integers(valuer.at_once, size=_SAMPLED.value)
    sizes = np.linspace(10, count, _SAMPLED.value).astype(
        int
    )  # evenly over the sizes: the loop's mean cost
    sets = [orders[q][:size] for q, size in zip(which, sizes)]
    fits = int(found.diagnostics["fits"])
    results["tmc_shapley"] = {
        **spent,
        "permutations": found.diagnostics["permutations"],
        "fits": fits,
        "milliseconds_a_fit": 1e3 * spent["seconds"] / fits,
        **compare(data, sets, prefixes[which, sizes - 1], fits),
    }
    results["tmc_shapley"] |= times_faster(results["tmc_shapley"])
    print("tmc_shapley", results["tmc_shapley"], flush=True)
    few = max(_SAMPLED.value, 20)
    for name, python in (("pydvl", _PYDVL.value), ("opendataval", _OPENDATAVAL.value)):
        if python is not None:
            results[name] = beside(data, name, python, few)
            print(name, results[name], flush=True)
    machine = {
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
        "versions": package_versions(),
    }
    shape = {"rows": count, "width": _WIDTH.value, "validation": _VALIDATION.value}
    record = {"machine": machine, "load": os.getloadavg(), "shape": shape, "results": results}
    if _OUTPUT.value is not None:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=2) + "\n")


def beside(data: Data, peer: str, python: str, few: int) -> dict[str, Any]:
    """The values of the first rows by another library, in a process of its own, beside ours."""
    features, labels = data.features[:few], data.labels[:few]
    utility = Utility(data.validation, data.validation_labels)
    order = np.random.default_rng(2).permutation(few)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rows.npz"
        validation = {"validation": data.validation, "validation_labels": data.validation_labels}
        np.savez(path, features=features, labels=labels, order=order, **validation)
        script = pathlib.Path(__file__).with_name(f"{peer}_values.py")
        done = subprocess.run(
            [python, "-W", "ignore", script, path], stdout=subprocess.PIPE, check=True
        )
    theirs = json.loads(done.stdout)

    def permutation() -> Any:
        game = utility.game(features, labels)
        worth = np.concatenate([worth for worth, _ in game.prefixes(order[None])], axis=1)[0]
        values = np.zeros(few)
        values[order] = np.diff(worth, prepend=game.empty)
        return values

    jobs = {
        "loo": lambda: LeaveOneOut(utility).value(features, labels).values,
        "permutation": permutation,
        "knn_shapley": lambda: (
            KNNShapley(data.validation, data.validation_labels).value(features, labels).values
        ),
    }
    found: dict[str, Any] = {"rows": few}
    for name in theirs:
        ours, spent = after_compilation(jobs[name])
        values = np.array(theirs[name].pop("values"))
        found[name] = {
            "ours": spent,
            peer: theirs[name],
            "largest_difference_of_a_value": float(np.max(np.abs(values - ours))),
            "rank_correlation": float(spearmanr(values, ours).statistic),
        }
    return found


if __name__ == "__main__":
    app.run(main)
