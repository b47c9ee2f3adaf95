"""A model of time and memory on many processes, checked against measurements in one process.

    python -m benchmarks.speed.cluster_model --output=benchmarks/results/FILE.json \
        [--rows=100000,300000,1000000] [--width=192] [--processes=64] [--corpus=100000000]

Scores of features in a file cost a + b N: the first two numbers of rows fix a and b, and the others
check the prediction. On P processes each reads and scores N / P
rows; besides, all merge P summaries of width x width numbers, one after the other, and the first
process ranks and writes all N. Times are CPU
seconds of all threads of the process, which a busy machine changes little; memory is the peak
beyond that of a process that has compiled and scored a few rows. Features have a spectrum that
decays, as an encoder's.
"""

import dataclasses
import json
import pathlib
import resource
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.jobs.score import ScoreSettings, _write, score_features
from examine_jax.reporting.page import package_versions
from examine_jax.reporting.tables import SCORES_HEADER, rank_by_gap
from examine_jax.scoring import SpectralSummary

_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the record; printed alone if not given."
)
_ROWS = flags.DEFINE_list("rows", ["100000", "300000", "1000000"], "Numbers of rows to measure.")
_WIDTH = flags.DEFINE_integer("width", 192, "Features.", lower_bound=1)
_PROCESSES = flags.DEFINE_integer("processes", 64, "Of the prediction.", lower_bound=1)
_CORPUS = flags.DEFINE_integer("corpus", 100_000_000, "Rows of the prediction.", lower_bound=1)

_AT_ONCE = 50_000


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a command takes: fixed, and a row."""

    fixed: float
    a_row: float

    @classmethod
    def of(cls, few: tuple[int, float], many: tuple[int, float]) -> "Cost":
        a_row = (many[1] - few[1]) / (many[0] - few[0])
        return cls(few[1] - a_row * few[0], a_row)

    def __call__(self, rows: float) -> float:
        return self.fixed + self.a_row * rows


def main(arguments: list[str]) -> None:
    del arguments
    rows, width = sorted(map(int, _ROWS.value)), _WIDTH.value
    measured = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        _score(folder, 20_000, width, 0)  # compiles
        before = _peak_bytes()
        for count in rows:
            measured[count] = _score(folder, count, width, before)
            print(count, measured[count], flush=True)
        writing = _writing_seconds(folder, rows[-1]) / rows[-1]
    first = rows[:2]
    seconds, memory = (
        Cost.of(*((count, measured[count][what]) for count in first))
        for what in ("cpu_seconds", "peak_mib")
    )
    merge = _merge_seconds(width)
    share, many = _CORPUS.value / _PROCESSES.value, _PROCESSES.value
    record = {
        "what": f"launch.score of N x {width} float32 features in an .npy file, one process",
        "measured": {str(count): one for count, one in measured.items()},
        "seconds": dataclasses.asdict(seconds),
        "mib": dataclasses.asdict(memory),
        "predicted": {
            str(count): {"cpu_seconds": seconds(count), "peak_mib": memory(count)}
            for count in rows[2:]
        },
        "merge_seconds_a_summary": merge,
        "writing_seconds_a_row": writing,
        "cluster": {
            "rows": _CORPUS.value,
            "processes": many,
            "cpu_seconds_a_process": seconds(share) - writing * share + merge * many,
            "cpu_seconds_of_writing": writing * _CORPUS.value,
            # Each process gets all results: score, gap, error bound and rank.
            "results_mib": _CORPUS.value * (3 * 4 + 8) / 2**20,
            "summaries_mib": many * 2 * 8 * width**2 / 2**20,
            "features_gib": _CORPUS.value * width * 4 / 2**30,
        },
        "device": str(jax.devices()[0]),
        "versions": package_versions(),
    }
    print(json.dumps(record, indent=1))
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


def _score(folder: pathlib.Path, rows: int, width: int, before: int) -> dict[str, float]:
    features = folder / f"{rows}.npy"
    _write_features(features, rows, width)
    settings = ScoreSettings(features, folder / "scores.parquet")
    begin, wall = time.process_time(), time.perf_counter()
    score_features(settings, progress=False)
    found = {
        "cpu_seconds": time.process_time() - begin,
        "wall_seconds": time.perf_counter() - wall,
        "peak_mib": (_peak_bytes() - before) / 2**20,
    }
    features.unlink()
    return found


def _writing_seconds(folder: pathlib.Path, rows: int) -> float:
    """Of the ranks and of the table, without names."""
    gap = np.random.default_rng(2).random(rows, dtype=np.float32)

    def written() -> None:
        names = [f"row {row}" for row in range(rows)]
        columns = [names, range(rows), gap, gap, gap, rank_by_gap(gap)]
        _write(folder / "written.parquet", SCORES_HEADER, columns)

    return _seconds(written, 3)


def _merge_seconds(width: int) -> float:
    rows = np.random.default_rng(1).standard_normal((2_000, width), dtype=np.float32)
    parts = [SpectralSummary.of(part) for part in np.array_split(rows, 2)]

    def merged() -> None:
        jax.block_until_ready(parts[0].merge(parts[1]))

    return _seconds(merged)


def _seconds(function: Callable[[], None], times: int = 20) -> float:
    function()
    begin = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - begin) / times


def _write_features(path: pathlib.Path, rows: int, width: int) -> None:
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, width))
    random = np.random.default_rng(0)
    scale = np.exp(-np.arange(width, dtype=np.float32) / (width / 6))
    for start in range(0, rows, _AT_ONCE):
        part = features[start : start + _AT_ONCE]
        part[:] = random.standard_normal(part.shape, dtype=np.float32) * scale + scale[0] / 4
    features.flush()


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    app.run(main)
