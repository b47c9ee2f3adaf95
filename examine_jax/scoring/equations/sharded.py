"""Rows sharded over the devices of a mesh, on one host or many.

Each device examines the rows that it holds; a sum over all rows is a sum over the devices' sums.
The Gram matrix (or each pass of a Krylov space) takes one all-reduce. Every device solves the same
small eigenproblem, and no row leaves its device. If there are no more rows than columns, or if the
solver needs all rows at once, the rows are first gathered on every device.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.float64 import with_float64
from examine_jax.scoring.equations.rows import over_devices, prepare
from examine_jax.scoring.examination import Diagnostics, Examination
from examine_jax.scoring.solvers.solver import Solver, sums_over_devices

_partition: Callable[..., Any] = PartitionSpec  # jax leaves its constructor untyped


def row_sharding(
    features: jax.Array | np.ndarray,
) -> tuple[Mesh | AbstractMesh, tuple[str, ...]] | None:
    """The mesh of a sharded array, and the mesh axes that shard its rows; None if none does.

    For a traced array this is known only for Explicit axes. Over Auto axes the compiler decides how
    to shard the computation.
    """
    if not isinstance(features, jax.Array):
        return None
    sharding = (
        jax.typeof(features).sharding
        if isinstance(features, jax.core.Tracer)
        else features.sharding
    )
    if not isinstance(sharding, NamedSharding) or not sharding.spec:
        return None
    first = sharding.spec[0]
    axes = (first,) if isinstance(first, str) else tuple(first or ())
    return (sharding.mesh, axes) if any(sharding.mesh.shape[axis] > 1 for axis in axes) else None


def sharded_examiner(
    solver: Solver, center: bool, masked: bool, mesh: Mesh | AbstractMesh, axes: tuple[str, ...]
) -> Callable[..., Examination]:
    """`compute(features, [where]) -> Examination`; its [N] arrays are sharded like the rows."""

    def local(features: Array, where: Array | None = None) -> Examination:
        rows = prepare(features, where, center, axes)
        if rows.total > features.shape[1] and sums_over_devices(solver):
            result = solver.solve(rows)
        else:
            whole = lax.all_gather(features, axes, tiled=True)
            present = None if where is None else lax.all_gather(where, axes, tiled=True)
            result = solver.solve(prepare(whole, present, center))
            count = features.shape[0]
            start = lax.axis_index(axes) * count
            own = jax.tree.map(
                lambda x: lax.dynamic_slice_in_dim(x, start, count) if x.ndim else x, result
            )
            result = Examination(*own)
        iterations = over_devices(rows, result.diagnostics.iterations, lax.pmax)
        return result._replace(diagnostics=result.diagnostics._replace(iterations=iterations))

    by_row, replicated = _partition(axes), _partition()
    specs: Any = Examination(
        score=by_row,
        gap=by_row,
        singular_value=replicated,
        loo_singular_values=by_row,
        error_bound=by_row,
        diagnostics=Diagnostics(iterations=replicated, residual=by_row, path=replicated),
    )
    inputs = (by_row, by_row) if masked else (by_row,)
    # check_vma is off: with it, the initial zeros of every loop would have to be marked as varying
    # over the devices.
    compute = with_float64(
        jax.shard_map(local, mesh=mesh, in_specs=inputs, out_specs=specs, check_vma=False),
        gathers=False,
    )

    def placed(*arguments: Any) -> Examination:
        move: Callable[..., Any] = (
            jax.device_put if isinstance(mesh, Mesh) else jax.sharding.reshard
        )
        # Nothing is copied if the arrays already have this sharding.
        return compute(*(move(x, NamedSharding(mesh, by_row)) for x in arguments))

    return placed
