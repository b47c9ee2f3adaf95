"""`examine`: the scorer's entry point."""

import functools
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from examine_jax.scoring.equations.derivative import differentiable
from examine_jax.scoring.equations.float64 import with_float64
from examine_jax.scoring.equations.inputs import check_inputs, non_finite_rows
from examine_jax.scoring.equations.rows import prepare
from examine_jax.scoring.equations.sharded import row_sharding, sharded_examiner
from examine_jax.scoring.examination import Examination
from examine_jax.scoring.solvers.adaptive_secular import AdaptiveSecular
from examine_jax.scoring.solvers.secular import CHEAP_PRODUCT, Secular
from examine_jax.scoring.solvers.solver import Solver


def examine(
    features: ArrayLike,
    *,
    solver: Solver | None = None,
    center: bool = False,
    where: ArrayLike | None = None,
) -> Examination:
    """EXAMINE of every row: how much the features' top singular value falls without the row.

        gap_i = sigma(F) - sigma(F without row i),    score_i = exp(-gap_i)

    Works inside jit, vmap, scan and grad: first derivatives with respect to the features, forward
    or reverse. Where a singular value is tied, the derivative is that along one of its vectors: a
    subgradient. float64 features (NumPy's too) are computed in float64. All others are computed in
    float32, with float64 wherever float32 would lose accuracy. JAX's own 64-bit setting does not
    matter.

    Args:
        features: [N, D] floating, N >= 2. bfloat16 and float16 are computed as float32. Features
            are scored as they come: scale and normalisation change the score, so they are the
            caller's explicit choice. A JAX array whose rows are sharded over the devices of a mesh,
            on one host or many, is examined where its rows are, and the results are sharded
            likewise. (Pad with `where` to a number of rows that the devices divide.)
        solver: `Secular()`, `AdaptiveSecular()`, `MaskedPower()`, `DenseSVD()` or your own
            `Solver`. None: `default_solver` chooses by shape.
        center: examine the rows less their mean, exactly: when a row is left out, the mean is that
            of the other rows.
        where: [N] bool, rows that are present; the others may hold anything. Sets of different
            sizes that are padded to one shape share a compilation.

    Returns:
        `Examination`, in float64 for float64 features, else in float32.

    Raises:
        ValueError: features that are not [N, D] floating with N >= 2 and D >= 1; NaN or infinite
            entries (the message names the rows); a solver that is none. Under jit, where values are
            unknown, NaN or infinite entries make all results NaN.

    Source: Huang, Lei & Li, Efficient Medical Image Assessment via Self-supervised Learning, 2022,
        equation 3.
    """
    traced = isinstance(features, jax.core.Tracer) or isinstance(where, jax.core.Tracer)
    rows, mask = check_inputs(features, where)
    solver = default_solver(rows.shape, rows.dtype) if solver is None else solver
    if isinstance(solver, type):
        raise ValueError(
            f"solver is the class {solver.__name__}, give a value: {solver.__name__}()"
        )
    if not isinstance(solver, Solver):
        raise ValueError(
            f"solver must be a solver such as Secular() or MaskedPower(), got {solver!r}"
        )
    compute, compiled = _examiner(solver, bool(center), mask is not None, row_sharding(rows))
    if not traced:
        compute = compiled
    with jax.enable_x64(True):  # or JAX would turn float64 NumPy features into float32
        result = compute(rows) if mask is None else compute(rows, mask)
    if not traced and np.isnan(result.singular_value):
        raise ValueError(non_finite_rows(rows, mask))
    return result


def default_solver(shape: tuple[int, ...], dtype: DTypeLike) -> Solver:
    """The solver for a shape and dtype.

    `AdaptiveSecular` for a tall float32 matrix whose Gram matrix would be the main cost, else
    `Secular`.
    """
    count, width = shape
    tall = count >= 16 * width and count * width * width > CHEAP_PRODUCT
    return AdaptiveSecular() if tall and dtype != np.float64 else Secular()


@functools.cache
def _examiner(
    solver: Solver,
    center: bool,
    masked: bool,
    sharding: tuple[Mesh | AbstractMesh, tuple[str, ...]] | None,
) -> tuple[Callable[..., Examination], Callable[..., Examination]]:
    """The computation twice: for use inside a trace, and compiled as a whole.

    Compiled as a whole, an eager call does not interpret the derivative rule around the
    computation.
    """
    if sharding is not None:
        compute = sharded_examiner(solver, center, masked, *sharding)
        return compute, compute
    if masked:
        compute = with_float64(
            lambda features, where: solver.solve(prepare(features, where, center))
        )
    else:
        compute = with_float64(lambda features: solver.solve(prepare(features, None, center)))
    compute = differentiable(compute, center)
    return compute, jax.jit(compute)
