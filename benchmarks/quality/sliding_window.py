"""Slides a window over a stream by one-row updates and removals, and measures the summary's error.

python -m benchmarks.quality.sliding_window --output=benchmarks/results/FILE.json
[--steps=1000000] [--window=200] [--columns=16]

The rows are integers, so that the last window's mean and scatter are known exactly, as fractions.
"""

import fractions
import json
import pathlib
import time
from typing import Any

import jax
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.scoring import SpectralSummary

_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_STEPS = flags.DEFINE_integer("steps", 1_000_000, "One-row updates, and as many removals.")
_WINDOW = flags.DEFINE_integer("window", 200, "Rows in the window.")
_COLUMNS = flags.DEFINE_integer("columns", 16, "Columns of a row.")
_STEPS_A_CALL = 10_000


@jax.jit
def slide(summary: SpectralSummary, coming: jax.Array, going: jax.Array) -> SpectralSummary:
    """Each row of `coming` is added, and then that of `going` removed."""

    def step(summary: SpectralSummary, rows: Any) -> tuple[SpectralSummary, None]:
        return summary.update(rows[0][None]).remove(rows[1][None]), None

    return jax.lax.scan(step, summary, (coming, going))[0]


def errors(summary: SpectralSummary, window: np.ndarray) -> dict[str, float]:
    """The errors of mean and scatter with their rests, and the bounds, as shares of the trace."""
    rows = window.astype(np.int64)
    count, scale = len(rows), fractions.Fraction(float(summary.scale))
    total = rows.sum(0)
    products = count * (rows.T @ rows) - np.outer(total, total)

    def difference(high: Any, low: Any, number: Any, unit: fractions.Fraction) -> float:
        stored = fractions.Fraction(float(high)) + fractions.Fraction(float(low))
        return float(stored - int(number) * unit / count)

    of_scatter = np.vectorize(difference)(
        summary.scatter, summary.scatter_rest, products, scale * scale
    )
    of_mean = np.vectorize(difference)(summary.mean, summary.mean_rest, total, scale)
    trace = float(np.trace(summary.scatter))
    rest_errors = np.asarray(summary.rest_errors)
    return {
        "scatter_error_of_trace": float(np.linalg.norm(of_scatter, 2)) / trace,
        "scatter_bound_of_trace": float(rest_errors[1]) / trace,
        "published_bound_of_trace": float(summary.scatter_error) / trace,
        "mean_error": float(np.linalg.norm(of_mean)),
        "mean_bound": float(rest_errors[0]),
    }


def main(_: list[str]) -> None:
    generator = np.random.default_rng(0)
    window = generator.integers(-1000, 1001, (_WINDOW.value, _COLUMNS.value)) + 3000
    summary = SpectralSummary.of(window.astype(np.float32))
    record: dict[str, Any] = {
        "window": _WINDOW.value,
        "columns": _COLUMNS.value,
        "jax": jax.__version__,
        "steps": {"0": errors(summary, window)},
    }
    begin, done = time.perf_counter(), 0
    while done < _STEPS.value:
        number = min(_STEPS_A_CALL, _STEPS.value - done)
        new = generator.integers(-1000, 1001, (number, _COLUMNS.value)) + 3000
        stream = np.concatenate([window, new])
        summary = slide(summary, new.astype(np.float32), stream[:number].astype(np.float32))
        window = stream[-_WINDOW.value :]
        # An eager removal raises an error where rounding errors are too large.
        summary = summary.update(window[:1].astype(np.float32))
        summary = summary.remove(window[:1].astype(np.float32))
        done += number
        record["steps"][str(done)] = found = errors(summary, window)
        assert found["scatter_error_of_trace"] <= found["scatter_bound_of_trace"]
        assert found["mean_error"] <= found["mean_bound"]
        print(done, json.dumps(found), flush=True)
        record["seconds"] = round(time.perf_counter() - begin, 1)
        # The first, and then each tenth.
        kept = [key for key in record["steps"] if int(key) % (10 * _STEPS_A_CALL) == 0]
        content = {**record, "steps": {key: record["steps"][key] for key in [*kept, str(done)]}}
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
