"""`examine`: the one entry point of the scorer."""

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.derivative import differentiable
from examine_jax.scoring.equations.float64 import with_float64
from examine_jax.scoring.equations.inputs import check_inputs, non_finite_rows
from examine_jax.scoring.equations.rows import Rows, prepare
from examine_jax.scoring.equations.sharded import row_sharding, spread
from examine_jax.scoring.examination import Examination
from examine_jax.scoring.solvers.adaptive_secular import AdaptiveSecular
from examine_jax.scoring.solvers.secular import CHEAP_PRODUCT, Secular


@runtime_checkable
class Solver(Protocol):
    """A hashable value that knows how to examine rows."""

    def solve(self, rows: Rows) -> Examination: ...

    def __hash__(self) -> int: ...


def examine(features: Any, *, solver: Solver | None = None, center: bool = False, where: Any = None) -> Examination:
    """EXAMINE of every row: how much the features' top singular value falls when the row is left out.

        gap_i = sigma(F) - sigma(F without row i),    score_i = exp(-gap_i)

    Works inside jit, vmap, scan and grad (first derivatives with respect to the features, forward or reverse; where a singular value is
    tied, along one of its vectors: a subgradient). float64 features (NumPy's too) are computed in float64 and everything else in
    float32 with float64 where it conditions the result, whatever JAX's own 64-bit setting.

    Args:
        features: [N, D] floating, N >= 2. bfloat16 and float16 are computed as float32. Nothing is done to them first: scale and
            normalisation change the score, so they are the caller's explicit choice. A JAX array whose rows are spread over the
            devices of a mesh, of one host or many, is examined where its rows are, and the results are spread likewise (pad with `where`
            to a number of rows that the devices divide).
        solver: `Secular()`, `AdaptiveSecular()`, `MaskedPower()` or `DenseSVD()`; None: `default_solver` chooses by shape.
        center: examine the rows less their mean, exactly: the mean too is that of the other rows when a row is left out.
        where: [N] bool, rows that are there; the others may hold anything. Ragged sets padded to one shape share a compilation.

    Returns:
        `Examination`, in float64 for float64 features, else in float32.

    Raises:
        ValueError: features not [N, D] floating with N >= 2 and D >= 1; NaN or infinite entries (which rows). Under jit, where values
            cannot be looked at, such entries give NaN throughout.

    Source: Huang, Lei & Li, Efficient Medical Image Assessment via Self-supervised Learning, 2022, equation 3.
    """
    traced = isinstance(features, jax.core.Tracer) or isinstance(where, jax.core.Tracer)
    features, where = check_inputs(features, where)
    solver = default_solver(features.shape, features.dtype) if solver is None else solver
    if not isinstance(solver, Solver):
        raise ValueError(f"solver must be a solver such as Secular() or MaskedPower(), got {solver!r}")
    compute, compiled = _examiner(solver, bool(center), where is not None, row_sharding(features))
    if not traced:
        compute = compiled
    with jax.enable_x64(True):  # or JAX would make float64 NumPy features float32 on their way in
        result = compute(features) if where is None else compute(features, where)
    if not traced and np.isnan(result.singular_value):
        raise ValueError(non_finite_rows(features, where))
    return result


def default_solver(shape: tuple[int, ...], dtype: Any) -> Solver:
    """`AdaptiveSecular` for a tall float32 matrix whose Gram matrix would be the main cost, else `Secular`."""
    count, width = shape
    tall = count >= 16 * width and count * width * width > CHEAP_PRODUCT
    return AdaptiveSecular() if tall and dtype != np.float64 else Secular()


@functools.cache
def _examiner(
    solver: Solver, center: bool, masked: bool, sharding: Any
) -> tuple[Callable[..., Examination], Callable[..., Examination]]:
    """The computation, for use in a trace, and compiled as a whole, which saves an eager call its interpretation."""
    if sharding is not None:
        compute = spread(solver, center, masked, *sharding)
        return compute, compute
    if masked:
        compute = with_float64(lambda features, where: solver.solve(prepare(features, where, center)))
    else:
        compute = with_float64(lambda features: solver.solve(prepare(features, None, center)))
    compute = differentiable(compute, center)
    return compute, jax.jit(compute)


__all__ = ["Array", "Examination", "Solver", "examine", "non_finite_rows"]
