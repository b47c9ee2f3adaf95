"""The table of matrices that every solver is held to, and a reference that we did not write.

The reference is LAPACK in float64, with the row deleted.
"""

import numpy as np


def with_spectrum(count: int, width: int, singular_values: np.ndarray, seed: int) -> np.ndarray:
    """A random [count, width] matrix with these singular values (the rest are zero)."""
    generator = np.random.default_rng(seed)
    size = min(count, width)
    left = np.linalg.qr(generator.normal(size=(count, size)))[0]
    right = np.linalg.qr(generator.normal(size=(width, size)))[0]
    values = np.zeros(size)
    values[: len(singular_values)] = singular_values[:size]
    return (left * values) @ right.T


def _table() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    table = {}
    for count, width in ((200, 30), (40, 90), (50, 50)):
        size = min(count, width)
        index = np.arange(size)
        name = f"{count}x{width}"
        step = np.where(index < 3, np.r_[10, 9.99, 9.98, np.zeros(size - 3)], 1)
        table[f"decaying-{name}"] = with_spectrum(count, width, np.exp(-index / 5), 1)
        table[f"slowly-decaying-{name}"] = with_spectrum(count, width, 1 / (1 + index) ** 0.3, 2)
        table[f"step-{name}"] = with_spectrum(count, width, step, 3)
        table[f"low-rank-{name}"] = with_spectrum(count, width, np.array([5, 3, 1.0]), 4)
        table[f"nearly-tied-{name}"] = with_spectrum(
            count, width, np.r_[5, 4.9975, 4.997, np.ones(size)], 5
        )
        table[f"flat-{name}"] = with_spectrum(
            count, width, np.r_[1, np.full(size - 1, 1 - 5e-4)], 6
        )
        table[f"mean-dominated-{name}"] = generator.normal(size=(count, width)) + 30
        table[f"gaussian-{name}"] = generator.normal(size=(count, width))
    table["two-rows"] = generator.normal(size=(2, 5))
    table["one-column"] = generator.normal(size=(12, 1))
    # All of one shape, so that they share a compilation.
    table["orthogonal-rows"] = np.eye(12, 5) * [3.0, 2, 1, 0.5, 0.25]
    table["orthogonal-tied-rows"] = np.eye(12, 5)
    table["tied-and-a-larger-row"] = np.eye(12, 5) * [2.0, 2, 2, 1, 3]
    table["zeros"] = np.zeros((12, 5))
    table["a-repeated-row"] = np.ones((12, 5))
    table["zero-rows"] = np.r_[generator.normal(size=(8, 5)), np.zeros((4, 5))]
    table["rank-one"] = np.outer(generator.normal(size=12), generator.normal(size=5))
    table["ties"] = np.repeat(generator.normal(size=(6, 5)), 2, 0)
    table["huge"] = 1e30 * generator.normal(size=(12, 5))
    table["tiny"] = 1e-30 * generator.normal(size=(12, 5))
    table["huge-and-small"] = np.r_[
        1e30 * generator.normal(size=(6, 5)), generator.normal(size=(6, 5))
    ]
    return table


SPECTRA = _table()


def top_singular_value(matrix: np.ndarray, center: bool = False) -> float:
    if center:
        matrix = matrix - matrix.mean(0)
    return float(np.linalg.svd(matrix, compute_uv=False)[0]) if matrix.size else 0.0


def reference_gaps(features: np.ndarray, center: bool = False) -> tuple[np.ndarray, float]:
    """Gaps by an SVD for every row, in float64; and the size of that reference's own rounding."""
    exact = np.asarray(features, np.float64)
    sigma = top_singular_value(exact, center)
    gaps = np.array(
        [sigma - top_singular_value(np.delete(exact, i, 0), center) for i in range(len(exact))]
    )
    return gaps, 8e-16 * max(np.linalg.norm(exact), 1e-300)
