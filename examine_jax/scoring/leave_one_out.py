"""`examine`: the scorer's entry point."""

import functools
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from examine_jax.scoring.decomposed import can_be_decomposed, examine_decomposed
from examine_jax.scoring.equations.blas_threads import call_for
from examine_jax.scoring.equations.derivative import differentiable
from examine_jax.scoring.equations.float64 import float64_types, with_float64
from examine_jax.scoring.equations.inputs import check_inputs, non_finite_rows
from examine_jax.scoring.equations.rows import prepare
from examine_jax.scoring.equations.sharded import row_sharding, sharded_examiner
from examine_jax.scoring.examination import Examination
from examine_jax.scoring.padding import is_traced, pad
from examine_jax.scoring.solvers.adaptive_secular import AdaptiveSecular
from examine_jax.scoring.solvers.secular import CHEAP_PRODUCT, Secular
from examine_jax.scoring.solvers.solver import Solver, has_few_sizes, row_limits


def examine(
    features: ArrayLike,
    *,
    solver: Solver | None = None,
    center: bool = False,
    where: ArrayLike | None = None,
) -> Examination:
    """EXAMINE of every row: how much the features' top singular value falls without the row.

        gap_i = sigma(F) - sigma(F without row i),    score_i = exp(-gap_i)

    Works inside jit, vmap, scan and grad. It has first derivatives with respect to the features,
    forward and reverse. Where a singular value is tied, the derivative is a subgradient: it is
    computed from one of the tied singular vectors. float64 features (also NumPy's) are computed in
    float64. All others are computed in float32, with float64 wherever float32 would lose accuracy.
    JAX's own 64-bit setting has no effect.

    Args:
        features: [N, D] floating, N >= 2. bfloat16 and float16 are computed as float32. They are
            scored without preprocessing: scale and normalisation change the score, so the caller
            chooses them. If a JAX array's rows are sharded over the devices of a mesh, on one host
            or many, each device computes with its own rows, and the results are sharded in the
            same way. (The number of devices must divide the number of rows: pad, and mask with
            `where`.)
        solver: `Secular()`, `AdaptiveSecular()`, `MaskedPower()`, `DenseSVD()` or your own
            `Solver`. None: `default_solver` chooses by shape and dtype.
        center: subtract the rows' mean. When a row is left out, the mean is that of the other rows.
        where: [N] bool, True for rows that are present; the others may hold any values. Under jit,
            sets of different sizes that are padded to one shape share a compilation. (Outside of
            jit, rows are padded so that many different N share a few compilations.)

    Returns:
        `Examination`, in float64 for float64 features, else in float32.

    Raises:
        ValueError: features are not [N, D] floating with N >= 2 and D >= 1; they hold NaN or
            infinite entries (the message names the rows); `solver` is not a solver. Under jit,
            where values are unknown, NaN or infinite entries make all results NaN.

    Source: Huang, Lei & Li, Efficient Medical Image Assessment via Self-supervised Learning, 2022,
        equation 3.
    """
    traced = isinstance(features, jax.core.Tracer) or isinstance(where, jax.core.Tracer)
    rows, mask = check_inputs(features, where)
    solver = default_solver(rows.shape, rows.dtype) if solver is None else solver
    if isinstance(solver, type):
        raise ValueError(
            f"solver is the class {solver.__name__}; pass an instance: {solver.__name__}()"
        )
    if not isinstance(solver, Solver):
        raise ValueError(
            f"solver must be a solver such as Secular() or MaskedPower(), got {solver!r}"
        )
    if not traced and can_be_decomposed(solver, rows, mask):
        found = examine_decomposed(solver, rows, bool(center), mask)
        if found is None:
            raise ValueError(non_finite_rows(rows, mask))
        return found
    padded = pad(
        rows,
        mask,
        row_limits(solver, rows.shape[1]),
        costly_too=rows.shape[0] > rows.shape[1] and has_few_sizes(solver),
    )
    masked = padded.where is not None
    compute, compiled = _examiner(solver, bool(center), masked, row_sharding(padded.rows))
    if not traced:
        compute = compiled
    with float64_types():  # or JAX would turn float64 NumPy features into float32
        arguments = (padded.rows, padded.where) if masked else (padded.rows,)
        result = call_for(min(rows.shape), compute, *arguments)
    if not is_traced(result) and np.isnan(result.singular_value):
        raise ValueError(non_finite_rows(rows, mask))
    return padded.trim(result)


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
    """The computation in two forms: one to call inside a trace, and the same one jitted.

    An eager call uses the jitted form: otherwise Python would run the custom derivative rule's
    wrapper at every call.
    """
    if sharding is not None:
        compute = sharded_examiner(solver, center, masked, *sharding)
        return differentiable(compute, center), compute
    if masked:
        compute = with_float64(
            lambda features, where: solver.solve(prepare(features, where, center))
        )
    else:
        compute = with_float64(lambda features: solver.solve(prepare(features, None, center)))
    compute = differentiable(compute, center)
    return compute, jax.jit(compute)
