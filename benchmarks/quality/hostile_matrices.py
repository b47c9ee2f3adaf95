"""Checks the error bounds of every solver on small hostile float32 matrices.

python -m benchmarks.quality.hostile_matrices --output=benchmarks/results/FILE.json
[--matrices=10000] [--seed=0]

The matrices are graded, nearly tied, clustered, denormal, huge, of rank one, with repeated and
sign-flipped rows, of Kahan, Läuchli and Hilbert, of small integers, of mixed exponents and of heavy
tails, or a product or sum of such. Each is scored as it is, and with a mask or centred in turn. The
reference is LAPACK's float64 singular values with the row deleted. Where an error seems to be above
its bound, mpmath's values of 120 digits decide: always where it is above by more than LAPACK's own
rounding, else for a few rows of a matrix. The others are counted as undecided.
"""

import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import mpmath
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.scoring import AdaptiveSecular, DenseSVD, MaskedPower, Secular, examine

_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)
_MATRICES = flags.DEFINE_integer("matrices", 10_000, "How many.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the generator.")
# Few shapes, so that little is compiled. `AdaptiveSecular` is `Secular` below 32 columns, and
# `DenseSVD` is slow above them.
SHAPES = ((16, 5), (6, 16), (40, 32))
_SHARES = (0.5, 0.45, 0.05)
_EVERYWHERE = (Secular(), MaskedPower())
SOLVERS = {
    (16, 5): (*_EVERYWHERE, DenseSVD()),
    (6, 16): (*_EVERYWHERE, DenseSVD()),
    (40, 32): (*_EVERYWHERE, AdaptiveSecular(max_passes=2)),
}
_DECIDED_A_MATRIX = 2
_TINY = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max)

Generator = np.random.Generator
Kind = Callable[[Generator, int, int], np.ndarray]


def graded(generator: Generator, count: int, width: int) -> np.ndarray:
    rows = generator.normal(size=(count, width))
    rows *= 10 ** np.linspace(0, -generator.uniform(1, 12), width)
    return rows * 10 ** np.linspace(0, -generator.uniform(0, 8), count)[:, None]


def nearly_tied(generator: Generator, count: int, width: int) -> np.ndarray:
    size = min(count, width)
    values = np.ones(size)
    tied = generator.integers(2, size + 1)
    values[:tied] += generator.normal(size=tied) * 10 ** -generator.uniform(3, 10)
    left = np.linalg.qr(generator.normal(size=(count, size)))[0]
    right = np.linalg.qr(generator.normal(size=(width, size)))[0]
    return (left * values) @ right.T


def clustered(generator: Generator, count: int, width: int) -> np.ndarray:
    centres = generator.normal(size=(generator.integers(1, 4), width))
    noise = generator.normal(size=(count, width)) * 10 ** -generator.uniform(1, 7)
    return centres[generator.integers(len(centres), size=count)] + noise


def denormal(generator: Generator, count: int, width: int) -> np.ndarray:
    return generator.normal(size=(count, width)) * _TINY * 10 ** generator.uniform(-6, 2)


def huge(generator: Generator, count: int, width: int) -> np.ndarray:
    return generator.uniform(-1, 1, (count, width)) * _LARGEST * 10 ** -generator.uniform(0, 3)


def rank_one(generator: Generator, count: int, width: int) -> np.ndarray:
    rows = np.outer(generator.normal(size=count), generator.normal(size=width))
    return rows + generator.normal(size=rows.shape) * 10 ** -generator.uniform(4, 12)


def repeated(generator: Generator, count: int, width: int) -> np.ndarray:
    some = generator.normal(size=(generator.integers(1, count + 1), width))
    signs = generator.choice([-1.0, 1.0], (count, 1))
    return signs * some[generator.integers(len(some), size=count)]


def kahan(generator: Generator, count: int, width: int) -> np.ndarray:
    angle = generator.uniform(0.1, 1.5)
    size = max(count, width)
    matrix = np.triu(-np.cos(angle) * np.ones((size, size)), 1) + np.eye(size)
    return (np.sin(angle) ** np.arange(size)[:, None] * matrix)[:count, :width]


def lauchli(generator: Generator, count: int, width: int) -> np.ndarray:
    rows = np.zeros((count, width))
    rows[0] = 1
    places = np.arange(min(count - 1, width))
    rows[1 + places, places] = 10 ** -generator.uniform(1, 12)
    return rows[generator.permutation(count)]


def hilbert(generator: Generator, count: int, width: int) -> np.ndarray:
    shift = generator.integers(1, 6)
    return 1 / (np.arange(count)[:, None] + np.arange(width)[None] + shift)


def integers(generator: Generator, count: int, width: int) -> np.ndarray:
    largest = generator.integers(1, 4)
    return generator.integers(-largest, largest + 1, (count, width)).astype(float)


def mixed_exponents(generator: Generator, count: int, width: int) -> np.ndarray:
    reach = generator.uniform(2, 35)
    return generator.normal(size=(count, width)) * 10 ** generator.uniform(
        -reach, reach, (count, width)
    )


def heavy_tails(generator: Generator, count: int, width: int) -> np.ndarray:
    return generator.standard_t(generator.uniform(0.3, 2), (count, width))


def far_away(generator: Generator, count: int, width: int) -> np.ndarray:
    centre = generator.normal(size=width) * 10 ** generator.uniform(1, 6)
    return generator.normal(size=(count, width)) + centre


def orthogonal(generator: Generator, count: int, width: int) -> np.ndarray:
    size = max(count, width)
    rows = np.linalg.qr(generator.normal(size=(size, size)))[0][:count, :width]
    return rows * 2.0 ** generator.integers(-3, 4)


KINDS: tuple[Kind, ...] = (
    graded, nearly_tied, clustered, denormal, huge, rank_one, repeated, kahan, lauchli, hilbert,
    integers, mixed_exponents, heavy_tails, far_away, orthogonal,
)  # fmt: skip


def matrix_of(generator: Generator, kind: Kind, count: int, width: int) -> np.ndarray:
    """A float32 matrix of a kind, now and then changed further."""
    rows = kind(generator, count, width)
    change = generator.integers(8)
    if change == 0:
        rows = rows + KINDS[generator.integers(len(KINDS))](generator, count, width)
    if change == 1:
        rows[generator.integers(count, size=2)] = rows[generator.integers(count, size=2)]
    if change == 2:
        rows[generator.integers(count)] *= 10 ** generator.uniform(-6, 6)
    if change == 3:
        rows[generator.integers(count)] = 0
    if change == 4:
        rows = rows * 2.0 ** generator.integers(-100, 100)
    return np.clip(rows, -_LARGEST / 4, _LARGEST / 4).astype(np.float32)


def centred(rows: np.ndarray) -> np.ndarray:
    """Rows less their mean, rounded to float64 once."""
    wide = rows.astype(np.longdouble)
    return (wide - wide.mean(0)).astype(np.float64)


def reference(rows: np.ndarray, center: bool) -> tuple[np.ndarray, float]:
    """Gaps from LAPACK's singular values, and a bound on their error."""
    prepare = centred if center else (lambda x: x)
    whole = prepare(rows)
    parts = np.stack([prepare(np.delete(rows, row, 0)) for row in range(len(rows))])
    top = np.linalg.svd(whole, compute_uv=False)[0]
    gaps = top - np.linalg.svd(parts, compute_uv=False)[:, 0]
    return gaps, 2.0**-52 * (4 + np.sqrt(rows.size)) * float(np.linalg.norm(whole))


def exact_gap(rows: np.ndarray, row: int, center: bool) -> float:
    """A gap from singular values of 120 digits."""
    with mpmath.workdps(120):

        def top(some: np.ndarray) -> Any:
            matrix = mpmath.matrix(some.tolist())
            if center:
                for column in range(matrix.cols):
                    mean = mpmath.fsum(matrix[:, column]) / matrix.rows
                    for place in range(matrix.rows):
                        matrix[place, column] -= mean
            if not any(matrix):
                return mpmath.mpf(0)
            return max(mpmath.svd_r(matrix, compute_uv=False))

        return float(top(rows) - top(np.delete(rows, row, 0)))


def main(_: list[str]) -> None:
    generator = np.random.default_rng(_SEED.value)
    names = sorted({type(solver).__name__ for some in SOLVERS.values() for solver in some})
    ways = ("as is", "centred", "masked", "masked and centred")
    found = {
        name: {
            "matrices": 0,
            "rows": 0,
            "exceeded": 0,
            "undecided": 0,
            "largest_share_of_bound": 0.0,
        }
        for name in names
    }
    record: dict[str, Any] = {
        "seed": _SEED.value,
        "matrices": 0,
        "by_kind": {kind.__name__: 0 for kind in KINDS},
        "by_way": dict.fromkeys(ways, 0),
        "solvers": found,
        "gaps_by_120_digits": 0,
        "not_finite": 0,
        "exceedances": [],
        "jax": jax.__version__,
    }
    begin = time.perf_counter()
    for number in range(_MATRICES.value):
        kind = KINDS[number % len(KINDS)]
        count, width = SHAPES[generator.choice(len(SHAPES), p=_SHARES)]
        features = matrix_of(generator, kind, count, width)
        # Devices read numbers below the normal range as 0 or as they are; the bound covers both.
        way = int(generator.choice(4, p=(0.35, 0.35, 0.15, 0.15)))
        center, masked = bool(way % 2), way >= 2
        where = generator.random(count) < 0.7 if masked else np.ones(count, bool)
        where[:2] = True
        given = features.copy()
        given[~where] = np.float32(3e38)  # what is masked out may be anything
        rows = features[where].astype(np.float64)
        gaps, noise = reference(rows, center)
        known: dict[int, float] = {}
        for solver in SOLVERS[count, width]:
            name = type(solver).__name__
            given_mask = where if masked or isinstance(solver, DenseSVD) else None
            result = examine(given, solver=solver, center=center, where=given_mask)
            gap = np.asarray(result.gap, np.float64)[where]
            bound = np.asarray(result.error_bound, np.float64)[where]
            record["not_finite"] += int((~np.isfinite(gap) | ~np.isfinite(bound)).sum())
            error, rounding = np.abs(gap - gaps), np.full(len(gap), noise)
            undecided = np.zeros(len(gap), bool)
            for row in np.flatnonzero(error > bound):
                few = len(known) < _DECIDED_A_MATRIX and rows.size <= 100
                if row in known or few or error[row] > bound[row] + noise:
                    if row not in known:
                        known[row] = exact_gap(rows, row, center)
                        record["gaps_by_120_digits"] += 1
                    error[row], rounding[row] = abs(gap[row] - known[row]), 0
                else:
                    undecided[row] = True
            bad = (error > bound) & ~undecided
            share = np.where(
                bound > 0, error / np.where(bound > 0, bound, 1), np.where(bad, 9e9, 0)
            )
            certain = rounding <= np.maximum(bound, 1e-300)
            entry = found[name]
            entry["matrices"] += 1
            entry["rows"] += len(gap)
            entry["exceeded"] += int(bad.sum())
            entry["undecided"] += int(undecided.sum())
            largest = float(share[certain].max(initial=0))
            entry["largest_share_of_bound"] = max(entry["largest_share_of_bound"], largest)
            for row in np.flatnonzero(bad):
                record["exceedances"].append(
                    {
                        "number": number, "kind": kind.__name__, "shape": [count, width],
                        "way": ways[way], "solver": name, "row": int(row),
                        "gap": gap[row], "error": error[row], "bound": bound[row],
                    }
                )  # fmt: skip
        record["matrices"] += 1
        record["by_kind"][kind.__name__] += 1
        record["by_way"][ways[way]] += 1
        if (number + 1) % 200 == 0 or number + 1 == _MATRICES.value:
            record["seconds"] = round(time.perf_counter() - begin, 1)
            record["exceedances"] = record["exceedances"][:100]
            write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")
            print(number + 1, record["seconds"], json.dumps(found), flush=True)


if __name__ == "__main__":
    app.run(main)
