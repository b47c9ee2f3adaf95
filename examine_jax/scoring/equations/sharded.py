"""Rows spread over the devices of a mesh, of one host or of many: sums over rows become sums over devices.

Each device holds some rows and examines these. The Gram matrix (or each pass of a Krylov space) is one all-reduce; the small
eigenproblem is solved on every device alike, and no row leaves its device. Where there are no more rows than columns, or for solvers
that need all rows at once, the rows are gathered first: they are few.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.float64 import with_float64
from examine_jax.scoring.equations.rows import prepare
from examine_jax.scoring.examination import Diagnostics, Examination
from examine_jax.scoring.solvers.adaptive_secular import AdaptiveSecular
from examine_jax.scoring.solvers.masked_power import MaskedPower
from examine_jax.scoring.solvers.secular import Secular

# Solvers whose sums and maxima over rows all go through `Rows`.
_SPREAD = (AdaptiveSecular, MaskedPower, Secular)


def row_sharding(features: Any) -> tuple[Mesh | AbstractMesh, tuple[str, ...]] | None:
    """The mesh and those of its axes over which an array's rows lie; None where all are on one device.

    Of a traced array this is known for Explicit axes alone. Over Auto axes the compiler spreads the computation as it sees fit.
    """
    if not isinstance(features, jax.Array):
        return None
    sharding = jax.typeof(features).sharding if isinstance(features, jax.core.Tracer) else features.sharding
    if not isinstance(sharding, NamedSharding) or not sharding.spec:
        return None
    first = sharding.spec[0]
    axes = (first,) if isinstance(first, str) else tuple(first or ())
    return (sharding.mesh, axes) if any(sharding.mesh.shape[axis] > 1 for axis in axes) else None


def spread(
    solver: Any, center: bool, masked: bool, mesh: Mesh | AbstractMesh, axes: tuple[str, ...]
) -> Callable[..., Examination]:
    """`compute(features, [where]) -> Examination`, its arrays of N spread over the devices as the rows are."""

    def local(features: Array, where: Array | None = None) -> Examination:
        rows = prepare(features, where, center, axes)
        if rows.total > features.shape[1] and isinstance(solver, _SPREAD):
            result = solver.solve(rows)
        else:
            whole = lax.all_gather(features, axes, tiled=True)
            there = None if where is None else lax.all_gather(where, axes, tiled=True)
            result = solver.solve(prepare(whole, there, center))
            count = features.shape[0]
            start = lax.axis_index(axes) * count
            own = jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, start, count) if x.ndim else x, result)
            result = Examination(*own)
        iterations = lax.pmax(result.diagnostics.iterations, axes)
        return result._replace(diagnostics=result.diagnostics._replace(iterations=iterations))

    by_row: Any = P(axes)
    everywhere: Any = P()
    specs = Examination(
        score=by_row,
        gap=by_row,
        singular_value=everywhere,
        loo_singular_values=by_row,
        error_bound=by_row,
        diagnostics=Diagnostics(iterations=everywhere, residual=by_row, path=everywhere),
    )
    # The loops carry sums that start as the same zeros on every device: check_vma would have each of these marked by hand.
    inputs = (by_row, by_row) if masked else (by_row,)
    compute = with_float64(jax.shard_map(local, mesh=mesh, in_specs=inputs, out_specs=specs, check_vma=False))

    def placed(*arguments: Any) -> Examination:
        move = jax.device_put if isinstance(mesh, Mesh) else jax.sharding.reshard
        return compute(*(move(x, NamedSharding(mesh, by_row)) for x in arguments))  # no copy where they are so

    return placed
