"""EXAMINE of groups of rows left out together: tiles of a slide, images of a patient."""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.blas_threads import call_for
from examine_jax.scoring.equations.eigensystem import (
    Eigensystem,
    exact_eigensystem,
    gram_of_rows,
    orthogonal_to_ones,
    refined_eigensystem,
    rounding,
    scatter,
)
from examine_jax.scoring.equations.float64 import (
    float64_types,
    reduce_keeping_dtypes,
    with_float64,
)
from examine_jax.scoring.equations.group_downdate import Groups, leave_out
from examine_jax.scoring.equations.inputs import as_array, check_inputs, non_finite_rows
from examine_jax.scoring.equations.rows import Rows, prepare, rows_dtype
from examine_jax.scoring.examination import Diagnostics, Path, examination_of, underflow_bound
from examine_jax.scoring.padding import is_traced, next_size, pad, pad_vector, trim
from examine_jax.scoring.solvers.secular import CHEAP_PRODUCT, full_path_limits

# The result of a float32 Gram matrix is returned if every group's error bound is below these
# shares: of the largest gap, and of the group's own gap.
_SHARE_OF_LARGEST = 1e-6
_SHARE_OF_OWN = 1e-5


class GroupExamination(NamedTuple):
    """EXAMINE of every group: how much the top singular value falls without all rows of the group.

    A group without rows has gap 0, score 1 and error bound 0. If a group holds all rows, no row
    remains without it, and the singular value without it is 0.

    Attributes:
        score: [num_groups] exp(-gap); higher is better.
        gap: [num_groups] sigma - (sigma without the group), in the features' units. Rank by this.
        singular_value: [] sigma, the top singular value of all rows.
        loo_singular_values: [num_groups] the top singular value without the group.
        error_bound: [num_groups] the error of each gap is at most this.
        diagnostics: how the values were computed; residual is [num_groups].
    """

    score: Array
    gap: Array
    singular_value: Array
    loo_singular_values: Array
    error_bound: Array
    diagnostics: Diagnostics

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies keep float64, whatever JAX's own 64-bit setting."""
        return reduce_keeping_dtypes(self)


def examine_groups(
    features: ArrayLike,
    group_ids: ArrayLike,
    *,
    num_groups: int,
    center: bool = False,
    where: ArrayLike | None = None,
) -> GroupExamination:
    """EXAMINE of every group: how much the top singular value falls without its rows.

    If every group has one row, the result is that of `examine`, which is faster. Works inside jit;
    equal shapes share a compilation.

    Let S be the group's part of the Gram matrix G, with eigenvalues k_1 >= k_2 >= ... of G. The
    drop t of the largest eigenvalue is the minimum of x'(k_1 - G + S)x over unit vectors x, a sum
    of squares. Locally optimal conjugate gradients in the eigenbasis of G find it for all groups at
    once, and Temple's inequality certifies it. If a group is so large that k_1 - t < k_2, it cannot
    be certified in this way, and gets an eigendecomposition of its own. Time: that of `examine` and
    a few passes over the features. Memory: that of `examine` and a few hundred rows of float64.

    Args:
        features: [N, D] floating, N >= 2; as for `examine`.
        group_ids: [N] integers in 0 .. num_groups - 1, in any order.
        num_groups: the number of groups; some may have no rows.
        center: subtract the rows' mean. When a group is left out, the mean is that of the other
            rows.
        where: [N] bool, True for rows that are present; the others may have any features and ids.

    Returns:
        `GroupExamination`, in float64 for float64 features, else in float32.

    Raises:
        ValueError: as for `examine`; group_ids have another shape, are not integers, or lie
            outside 0 .. num_groups - 1 (the message names the rows). Under jit, where values are
            unknown, ids outside the range make all results NaN.

    Source: Knyazev, SIAM J. Sci. Comput. 23:517 (2001); Temple, Proc. R. Soc. Lond. A 119:276
        (1928).
    """
    traced = any(isinstance(x, jax.core.Tracer) for x in (features, group_ids, where))
    matrix, mask = check_inputs(features, where)
    ids = as_array(group_ids)
    num_groups = operator.index(num_groups)
    _check_groups(ids, matrix.shape[0], num_groups)
    if not traced:
        _check_ids(ids, num_groups, mask)
    padded = pad(matrix, mask, None if traced else full_path_limits(matrix.shape[1]))
    size = len(padded.rows)
    # Groups without rows are added in the same way.
    groups = num_groups if size == len(matrix) else next_size(num_groups)
    compute = _grouper(groups, bool(center), padded.where is not None)
    masks = () if padded.where is None else (padded.where,)
    with float64_types():
        arguments = (padded.rows, pad_vector(ids, size), *masks)
        result = call_for(min(matrix.shape), compute, *arguments)
    if not is_traced(result) and bool(jnp.isnan(result.singular_value)):
        raise ValueError(non_finite_rows(matrix, mask))
    return trim(result, groups, num_groups)


def _check_groups(group_ids: jax.Array | np.ndarray, count: int, num_groups: int) -> None:
    if num_groups < 1:
        raise ValueError(f"num_groups must be at least 1, got {num_groups}")
    if group_ids.shape != (count,) or not jnp.issubdtype(group_ids.dtype, jnp.integer):
        raise ValueError(
            f"group_ids must be integers of shape ({count},), one per row; got {group_ids.dtype} "
            f"{group_ids.shape}. "
            "numpy.unique(names, return_inverse=True) turns names into ids"
        )


def _check_ids(
    group_ids: jax.Array | np.ndarray, num_groups: int, where: jax.Array | np.ndarray | None
) -> None:
    ids = np.asarray(group_ids)
    bad = (ids < 0) | (ids >= num_groups)
    if where is not None:
        bad &= np.asarray(where)
    rows = np.flatnonzero(bad)
    if len(rows):
        some = ", ".join(f"{row} (id {ids[row]})" for row in rows[:10]) + (
            ", …" if len(rows) > 10 else ""
        )
        raise ValueError(
            f"group_ids must lie in 0 .. {num_groups - 1} (num_groups is {num_groups}); "
            f"{len(rows)} of {len(ids)} do not: rows {some}"
        )


@functools.cache
def _grouper(num_groups: int, center: bool, masked: bool) -> Callable[..., GroupExamination]:
    if masked:
        return with_float64(
            lambda features, ids, where: _examine(prepare(features, where, center), ids, num_groups)
        )
    return with_float64(
        lambda features, ids: _examine(prepare(features, None, center), ids, num_groups)
    )


def _examine(rows: Rows, ids: Array, num_groups: int) -> GroupExamination:
    """The examination of scaled rows; traced with 64-bit types on."""
    count, width = rows.features.shape
    ids = ids.astype(jnp.int64)  # num_groups may be too large for a small integer dtype
    present = jnp.ones(count, bool) if rows.where is None else rows.where
    inside = (ids >= 0) & (ids < num_groups)
    groups = Groups.of(jnp.where(present & inside, ids, num_groups), num_groups)
    rows = rows._replace(scale=jnp.where(jnp.all(inside | ~present), rows.scale, jnp.nan))
    if count <= width:
        matrix = gram_of_rows(rows)
        system = exact_eigensystem(matrix, width)
        # Rows with N columns that have the same Gram matrix as the given rows.
        left = orthogonal_to_ones(rows, system.vectors)
        root = jnp.matmul(left * jnp.sqrt(system.values), system.vectors.T)
        small = Rows(root, None, jnp.ones((), jnp.float64), None, rows.present)
        return _of_system(rows, small, system, matrix, groups, Path.FULL_FLOAT64)

    def full(dtype: DTypeLike) -> GroupExamination:
        matrix = scatter(rows, dtype)
        if dtype == jnp.float64:
            return _of_system(
                rows, rows, exact_eigensystem(matrix, count), matrix, groups, Path.FULL_FLOAT64
            )
        return _of_system(
            rows,
            rows,
            refined_eigensystem(rows, matrix, "float64"),
            matrix,
            groups,
            Path.FULL_FLOAT32,
        )

    if rows_dtype(rows) == jnp.float64 or count * width * width <= CHEAP_PRODUCT:
        return full(jnp.float64)
    quick = full(jnp.float32)
    largest = jnp.max(quick.gap)
    own = jnp.where(quick.gap > 0.01 * largest, _SHARE_OF_OWN * quick.gap, jnp.inf)
    good = jnp.all(
        quick.error_bound <= jnp.minimum(own, _SHARE_OF_LARGEST * largest) + underflow_bound(rows)
    ) | jnp.isnan(largest)
    result: GroupExamination = lax.cond(good, lambda: quick, lambda: full(jnp.float64))
    return result


def _of_system(
    rows: Rows, coordinates: Rows, system: Eigensystem, matrix: Array, groups: Groups, path: Path
) -> GroupExamination:
    """The examination from the eigensystem of the Gram matrix of `coordinates`.

    `coordinates` are the rows themselves, or rows with fewer columns and the same inner products.
    """
    exact = rows.features.dtype == jnp.float64
    epsilon = rounding(matrix.shape[0], rows.features.shape[0])
    roots = leave_out(
        coordinates,
        groups,
        system,
        matrix,
        rows.mean is not None,
        1e-13 if exact else 1e-9,
        epsilon,
    )
    # There is one root per group, not one per row, so the mask of rows does not apply.
    found = examination_of(roots, system.values[0], rows._replace(where=None), path)
    empty = groups.starts[1 : groups.number + 1] == groups.starts[: groups.number]
    bound = jnp.where(empty, 0, found.error_bound)
    return GroupExamination(*found._replace(error_bound=bound + 0 * found.singular_value))
