"""Speed and error of the scorer together, against loops over dense SVDs.

pytest benchmarks/speed/bench_scoring.py --sizes=500x1024,5000x768 --peers
--benchmark-json=benchmarks/results/FILE.json

Every row is warmed up and blocked on. The error beside each time is that of the gap, relative to
the largest, against float64 SVDs with the row deleted (on 20 rows) or, for the loops, is theirs.
Loops are timed on a few rows and scaled to all of them; `extra_info` says so.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.speed.timing import median_seconds
from examine_jax.scoring import AdaptiveSecular, MaskedPower, Secular, examine

Size = tuple[int, int]
SPECTRA = ("gaussian", "decaying", "encoder")

# Of the features [4000, 192] that a trained MAE (`small`, on the sample picture) gives histology
# tiles: eigenvalues of their covariance, and how much of the features' energy is in their mean.
_MEASURED_RANKS = (0, 1, 2, 5, 10, 20, 40, 80, 120, 191)
_MEASURED_EIGENVALUES = (1, 5.63e-2, 2.03e-2, 1.71e-3, 2.97e-4, 8.7e-5, 3.04e-5, 7e-6, 2.2e-6, 2e-7)
_MEASURED_MEAN_SHARE = 0.966


def features(size: Size, spectrum: str) -> np.ndarray:
    """Returns random rows of one of three spectra.

    In "gaussian" rows, no direction stands out. "decaying" rows have a mean and a slow decay.
    "encoder" rows have the mean and the spectrum of a trained encoder's features, stretched over
    the width.
    """
    _, width = size
    generator = np.random.default_rng(0)
    rows = generator.standard_normal(size, dtype=np.float32)
    if spectrum == "gaussian":
        return rows
    mean = generator.standard_normal(width, dtype=np.float32)
    if spectrum == "decaying":
        rows *= np.exp(-np.arange(width, dtype=np.float32) / 30) + np.float32(0.01)
    else:
        ranks = np.linspace(0, _MEASURED_RANKS[-1], width)
        variance = np.exp(np.interp(ranks, _MEASURED_RANKS, np.log(_MEASURED_EIGENVALUES)))
        rows *= np.sqrt(variance).astype(np.float32)
        mean *= np.sqrt(
            variance.sum() * _MEASURED_MEAN_SHARE / (1 - _MEASURED_MEAN_SHARE)
        ) / np.linalg.norm(mean)
    rows += mean
    return rows


def reference(rows: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Returns the gaps of some rows in float64, from LAPACK with the row deleted."""
    exact = rows.astype(np.float64)
    if len(exact) > 2000:  # the Gram matrix without the row has the squared singular values
        gram = exact.T @ exact
        sigma = np.sqrt(np.linalg.eigvalsh(gram)[-1])
        return np.array(
            [
                sigma - np.sqrt(np.linalg.eigvalsh(gram - np.outer(exact[i], exact[i]))[-1])
                for i in indices
            ]
        )
    sigma = np.linalg.svd(exact, compute_uv=False)[0]
    return np.array(
        [sigma - np.linalg.svd(np.delete(exact, i, 0), compute_uv=False)[0] for i in indices]
    )


def record(benchmark: Any, rows: np.ndarray, gap: np.ndarray) -> None:
    indices = np.unique(np.linspace(0, len(rows) - 1, 20).astype(int))
    exact = reference(rows, indices)
    error = np.abs(np.asarray(gap, np.float64)[indices] - exact).max() / np.asarray(gap).max()
    # LAPACK's own rounding of a difference of two singular values of this size.
    noise = 1e-15 * np.linalg.norm(rows.astype(np.float64)) / np.asarray(gap).max()
    benchmark.extra_info |= {
        "error_of_largest_gap": float(error),
        "reference_noise": float(noise),
        "device": str(jax.devices()[0]),
        "jax": jax.__version__,
        "numpy": np.__version__,
    }


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(
    "solver",
    [Secular(), AdaptiveSecular(), MaskedPower()],
    ids=lambda solver: type(solver).__name__,
)
def test_solver(benchmark: Any, size: Size, solver: Any, spectrum: str) -> None:
    if isinstance(solver, MaskedPower) and size[0] > 10_000:
        pytest.skip("minutes at this size")
    rows = features(size, spectrum)
    on_device = jnp.asarray(rows)
    result = examine(on_device, solver=solver)  # compiles
    benchmark.pedantic(
        lambda: jax.block_until_ready(examine(on_device, solver=solver)), rounds=5, warmup_rounds=1
    )
    benchmark.extra_info |= {
        "path": int(result.diagnostics.path),
        "steps": int(result.diagnostics.iterations),
    }
    record(benchmark, rows, np.asarray(result.gap))


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_two_products_alone(benchmark: Any, size: Size, spectrum: str) -> None:
    """Times what the full path must do: the Gram matrix and the projection on its eigenvectors."""
    count, width = size
    rows = jnp.asarray(features(size, spectrum))
    vectors = jnp.asarray(
        np.linalg.qr(np.random.default_rng(0).normal(size=(min(size), min(size))))[0], jnp.float32
    )

    @jax.jit
    def products(rows: jax.Array, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        tall = rows if count >= width else rows.T
        return jnp.matmul(tall.T, tall, precision="highest"), jnp.matmul(
            tall, vectors, precision="highest"
        )

    benchmark.pedantic(
        lambda: jax.block_until_ready(products(rows, vectors)), rounds=5, warmup_rounds=2
    )


@pytest.mark.parametrize("kind", ["numpy", "jax"])
def test_dense_loop(benchmark: Any, request: pytest.FixtureRequest, size: Size, kind: str) -> None:
    """An SVD for every row, in float32; timed on three rows."""
    if not request.config.getoption("--peers"):
        pytest.skip("peers are timed with --peers")
    rows = features(size, "gaussian")

    @jax.jit
    def largest(matrix: jax.Array) -> jax.Array:
        return jnp.linalg.svd(matrix, compute_uv=False)[0]

    def numpy_three() -> None:
        for i in range(3):
            np.linalg.svd(np.delete(rows, i, 0), compute_uv=False)

    def jax_three() -> None:
        for i in range(3):
            largest(jnp.asarray(np.delete(rows, i, 0))).block_until_ready()

    benchmark.pedantic(numpy_three if kind == "numpy" else jax_three, rounds=3, warmup_rounds=1)
    benchmark.extra_info |= {
        "rows_timed": 3,
        "seconds_for_all_rows": median_seconds(benchmark) * size[0] / 3,
    }


def test_lapack_secular_equation_a_row(
    benchmark: Any, request: pytest.FixtureRequest, size: Size
) -> None:
    """LAPACK's dlasd4 for each of a hundred rows, the eigendecomposition given."""
    if not request.config.getoption("--peers"):
        pytest.skip("peers are timed with --peers")
    from scipy.linalg.lapack import dlasd4

    rows = features(size, "gaussian").astype(np.float64)
    gram = rows.T @ rows if size[0] >= size[1] else rows @ rows.T
    values, vectors = np.linalg.eigh(gram)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    z = rows[:100] @ vectors if size[0] >= size[1] else vectors[:100] * np.sqrt(values)
    poles = np.sqrt(values[0] - values)

    def hundred() -> None:
        for row in z:
            dlasd4(0, poles, row / np.linalg.norm(row), np.dot(row, row))

    benchmark.pedantic(hundred, rounds=3, warmup_rounds=1)
    benchmark.extra_info |= {
        "rows_timed": 100,
        "seconds_for_all_rows": median_seconds(benchmark) * size[0] / 100,
    }
