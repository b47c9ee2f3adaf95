"""Time of facility location, beside submodlib's and apricot's lazy greedy algorithms.

    python -m benchmarks.speed.selection_speed --output=benchmarks/results/FILE.json \
        [--rows=4000,20000] [--compared=4000]

Ours starts from features: it includes preprocessing, all distances and what each image represents.
The others start from the similarity (1 + cosine) / 2 of all pairs, whose time is not counted.
submodlib takes the similarity as lists of Python numbers, 32 bytes each, so it is compared at
`--compared` rows only; its time grows at least with the square of the rows. Times are CPU seconds,
which other load on the machine hardly affects. The objective is the sum over all rows of the
similarity to the most similar chosen row, in float64.
"""

import json
import pathlib
import time
from collections.abc import Callable

import jax
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.reporting.page import package_versions
from examine_jax.selection import FacilityLocation, select

_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the record; printed alone if not given."
)
_ROWS = flags.DEFINE_list("rows", ["4000", "20000"], "Images of our runs.")
_COMPARED = flags.DEFINE_list("compared", ["4000"], "Images of all libraries' runs.")

_WIDTH, _K = 192, 200


def main(arguments: list[str]) -> None:
    del arguments
    runs: dict[int, dict[str, dict[str, float]]] = {}
    compared = {int(text) for text in _COMPARED.value}
    for rows in sorted({*compared, *map(int, _ROWS.value)}):
        features = _features(rows)
        _ours(features)  # compiles
        chosen, seconds = _timed(lambda features=features: _ours(features))
        runs[rows] = {"examine_jax": _result(features, chosen, seconds)}
        _write(runs)
        if rows in compared:
            similarity = _similarity(features)
            for name, library in (("submodlib", _submodlib), ("apricot", _apricot)):
                chosen, seconds = library(similarity)
                runs[rows][name] = _result(features, chosen, seconds)
                _write(runs)


def _result(features: np.ndarray, chosen: np.ndarray, seconds: float) -> dict[str, float]:
    return {"cpu_seconds": seconds, "objective": _objective(features, chosen)}


def _write(runs: dict[int, dict[str, dict[str, float]]]) -> None:
    """Writes what is done so far: the last runs may take long."""
    record = {
        "what": f"facility location: {_K} of N rows of {_WIDTH} float32 features in 50 clusters",
        "runs": runs,
        "device": str(jax.devices()[0]),
        "versions": package_versions(),
    }
    print(json.dumps(runs), flush=True)
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


def _features(rows: int) -> np.ndarray:
    random = np.random.default_rng(0)
    centres = random.standard_normal((50, _WIDTH), dtype=np.float32)
    noise = random.standard_normal((rows, _WIDTH), dtype=np.float32)
    return centres[random.integers(50, size=rows)] + noise


def _similarity(features: np.ndarray) -> np.ndarray:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return ((1 + unit @ unit.T) / 2).astype(np.float32)


def _objective(features: np.ndarray, chosen: np.ndarray) -> float:
    wide = features.astype(np.float64)
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return float(((1 + unit @ unit[chosen].T) / 2).max(axis=1).sum())


def _ours(features: np.ndarray) -> np.ndarray:
    return select(features, _K, strategy=FacilityLocation()).indices


def _submodlib(similarity: np.ndarray) -> tuple[np.ndarray, float]:
    from submodlib import FacilityLocationFunction

    function = FacilityLocationFunction(
        n=len(similarity), mode="dense", sijs=similarity, separate_rep=False
    )
    found, seconds = _timed(
        lambda: function.maximize(budget=_K, optimizer="LazyGreedy", show_progress=False)
    )
    return np.array([row for row, _ in found]), seconds


def _apricot(similarity: np.ndarray) -> tuple[np.ndarray, float]:
    from apricot import FacilityLocationSelection

    wide = similarity.astype(np.float64)

    def fit() -> np.ndarray:
        selector = FacilityLocationSelection(_K, metric="precomputed", optimizer="lazy")
        return selector.fit(wide).ranking

    fit()  # compiles
    return _timed(fit)


def _timed(job: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    begin = time.process_time()
    result = job()
    return result, time.process_time() - begin


if __name__ == "__main__":
    app.run(main)
