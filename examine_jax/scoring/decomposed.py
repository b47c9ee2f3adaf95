"""Direct calls with no more rows than columns: NumPy decomposes F F', one program does the rest.

An eigendecomposition is compiled for one size, and takes the time of that size. So it is left to
NumPy, at the size that was given. The secular equations are solved by a compiled program for one
of a few sizes, to which eigenvalues and eigenvectors are padded.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.eigensystem import with_bounds
from examine_jax.scoring.equations.float64 import float64_types
from examine_jax.scoring.equations.host_eigensystem import HostEigensystem, host_eigensystem
from examine_jax.scoring.equations.rows import Rows
from examine_jax.scoring.examination import Examination
from examine_jax.scoring.padding import here_on_cpu, is_cheap, padded_count, placed_as, trim
from examine_jax.scoring.solvers.solver import Decomposable, Solver


def can_be_decomposed(
    solver: Solver, rows: jax.Array | np.ndarray, where: jax.Array | np.ndarray | None
) -> bool:
    """Whether `examine_decomposed` takes less time than a compiled program for these shapes."""
    return (
        isinstance(solver, Decomposable)
        and rows.shape[0] <= rows.shape[1]
        and not is_cheap(rows)
        and here_on_cpu(rows)
        and here_on_cpu(where)
    )


def examine_decomposed(
    solver: Solver,
    rows: jax.Array | np.ndarray,
    center: bool,
    where: jax.Array | np.ndarray | None,
) -> Examination | None:
    """The examination of rows [N, D], if `can_be_decomposed`; None if they are not finite."""
    assert isinstance(solver, Decomposable)
    count, width = rows.shape
    given = np.asarray(rows)
    mask = np.ones(count, bool) if where is None else np.asarray(where)
    system = host_eigensystem(given if mask.all() else given[mask], center)
    if system is None:
        return None
    size = padded_count(count, (width,))
    arguments = _padded(system, size, mask)
    dtype = np.dtype(np.float64 if given.dtype == np.float64 else np.float32)
    compute = _program(solver, center, width, dtype)
    with float64_types():
        result = compute(*(placed_as(rows, array) for array in arguments))
    return trim(result, size, count)


def _padded(
    system: HostEigensystem, size: int, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values [size], vectors [size, size], the mask [size] and the scale, for `size` rows.

    Absent rows have no part in any vector.
    """
    count, given = len(system.values), len(mask)
    values, vectors, padded = np.zeros(size), np.zeros((size, size)), np.zeros(size, bool)
    values[:count] = system.values
    if count == given:
        vectors[:count, :count] = system.vectors
    else:
        vectors[np.flatnonzero(mask), :count] = system.vectors
    padded[:given] = mask
    return values, vectors, padded, np.array(system.scale)


@functools.cache
def _program(
    solver: Decomposable, center: bool, width: int, dtype: np.dtype
) -> Callable[..., Examination]:
    def solve(values: Array, vectors: Array, where: Array, scale: Array) -> Examination:
        present = jnp.sum(where, dtype=jnp.float64)
        # The mean is not needed any more, only that there is one.
        mean = jnp.zeros(width) if center else None
        shape = jax.ShapeDtypeStruct((values.shape[0], width), dtype)
        rows = Rows(shape, where, scale, mean, present)  # type: ignore[arg-type]
        return solver.solve_decomposed(rows, with_bounds(values, vectors, width))

    return jax.jit(solve)
