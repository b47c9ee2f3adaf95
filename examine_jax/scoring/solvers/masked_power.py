"""EXAMINE by power iteration over all leave-one-out masks, in one compiled program."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.eigensystem import (
    LEAD,
    Eigensystem,
    exact_eigensystem,
    gram_of_rows,
    orthogonal_to_ones,
    rounding,
    scatter,
)
from examine_jax.scoring.equations.jacobi import eigh
from examine_jax.scoring.equations.rows import Rows, row_at, rows_dtype
from examine_jax.scoring.equations.secular_equation import Roots
from examine_jax.scoring.examination import Examination, Path, examination_of

# The number of masks that are iterated together. A matrix product of this width runs at full speed,
# and the memory is that of a few times this many rows.
_POOL = 512
# The leading eigenvectors whose components are stored separately: an eighth, from 1 + LEAD to this.
# The largest eigenvalue after these decides how many steps a mask takes. For a flat spectrum of 500
# values, 62 of them halve the steps, compared with 9.
_SHARE_LEADING = 8
_MOST_LEADING = 64


@dataclasses.dataclass(frozen=True)
class MaskedPower:
    """Power iteration on the Gram matrix of every leave-one-out mask.

    Each mask leaves out one row f. One matrix product advances all masks of a pool by one step.

    The iteration of a mask starts near v1, the top eigenvector with all rows, and computes the
    difference from it. Let x = c v1 + d with d orthogonal to v1. The drop of the largest eigenvalue
    is t = (d'(k1 - G) d + (f.x)^2) / |x|^2. This is a sum of squares, so it does not cancel. A step
    computes the power method's product. Then it takes the best combination of this product, the
    present vector and the last step (locally optimal, Knyazev 2001). The number of steps is the
    square root of that of plain power iteration. Components along the leading eigenvectors are
    stored separately, so ties among them cost no steps. The iteration is in float64: nearly tied
    eigenvalues give a t of 1e-8 k1, which float32 cannot resolve. When a mask has converged, the
    next mask takes its place in the pool. If N <= D, the rows are replaced by the rows of the
    square root of their Gram matrix, which have the same Gram matrix.

    Attributes:
        tolerance: the relative error of t, by Temple's bound, at which a mask has converged. None:
            1e-7, or 1e-13 for float64 features.
        max_iterations: the largest number of steps of a mask. `error_bound` covers the error that
            then remains.

    Source: Knyazev, SIAM J. Sci. Comput. 23:517 (2001); Temple, Proc. R. Soc. Lond. A 119:276
        (1928).
    """

    tolerance: float | None = None
    max_iterations: int = 500

    sums_over_devices: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ValueError(
                f"MaskedPower: tolerance must be between 0 and 1, got {self.tolerance!r}"
            )
        if self.max_iterations < 1:
            raise ValueError(
                f"MaskedPower: max_iterations must be at least 1, got {self.max_iterations!r}"
            )

    def row_limits(self, width: int) -> tuple[int, ...]:
        return (width,)

    def solve(self, rows: Rows) -> Examination:
        """The examination of scaled rows; traced with 64-bit types on."""
        count, width = rows.features.shape
        dtype = rows_dtype(rows)
        tolerance = self.tolerance or (1e-13 if dtype == jnp.float64 else 1e-7)
        if rows.total <= width:
            matrix = gram_of_rows(rows)
            system = exact_eigensystem(matrix, width)
            left = orthogonal_to_ones(rows, system.vectors)
            root = jnp.matmul(left * jnp.sqrt(system.values), system.vectors.T)

            def row(index: Array) -> Array:
                return root[index]

        else:
            matrix = scatter(rows, jnp.float64)
            system = exact_eigensystem(matrix, rows.total)

            def row(index: Array) -> Array:
                return row_at(rows, index)

        problem = _Problem(system, matrix, row, jnp.sqrt(jnp.asarray(rows.downdate, jnp.float64)))
        roots = _iterate(problem, count, tolerance, self.max_iterations)
        return examination_of(roots, system.values[0], rows, Path.MASKED_POWER)


class _Problem(NamedTuple):
    """A Gram matrix and its rows."""

    system: Eigensystem
    matrix: Array  # [n, n] G
    row: Callable[[Array], Array]  # index -> [n] float64
    downdate: Array  # [] each row is multiplied by this factor


class _Operator(NamedTuple):
    """k1 - G in two parts: a diagonal along the leading eigenvectors, and a matrix for the rest.

    In that matrix, the leading eigenvectors have the eigenvalue k1, far above its smallest
    eigenvalue.
    """

    lead: Array  # [m] k1 - k_j, the first is 0
    rest: Array  # [n, n]
    scale: Array  # [] k1


class _Column(NamedTuple):
    """One mask's iteration.

    Vectors are [m + n]: components along the leading eigenvectors, then the rest.
    """

    left_out: Array  # the row that the mask leaves out
    vector: Array  # unit length
    image: Array  # the operator applied to `vector`
    step: Array  # unit length, orthogonal to vector (zero at the start)
    step_image: Array
    steps: Array  # [] int32


class _Pool(NamedTuple):
    """The masks that are iterated, and the results of those that have finished."""

    indices: Array  # [C] the mask of each column; N: the column is unused
    columns: _Column  # [C, ...]
    results: Roots  # [N]
    upcoming: Array  # [] the next mask


def _dot(a: Array, b: Array) -> Array:
    return jnp.sum(a * b)


def _unit(vector: Array, image: Array) -> tuple[Array, Array]:
    """Both divided by the vector's length; zero where that is zero."""
    length = jnp.sqrt(_dot(vector, vector))
    scale = jnp.where(length > 0, 1 / jnp.where(length > 0, length, 1), 0)
    return vector * scale, image * scale


def _apply(operator: _Operator, left_out: Array, vector: Array) -> Array:
    """(k1 - G + f f') x"""
    count = operator.lead.shape[0]
    rest = jnp.matmul(operator.rest, vector[count:], precision=lax.Precision.HIGHEST)
    return jnp.concatenate([operator.lead * vector[:count], rest]) + left_out * _dot(
        left_out, vector
    )


def _start(operator: _Operator, left_out: Array) -> _Column:
    """The start: a vector close to v1.

    v1 itself would not do: for a row along v1, v1 is an eigenvector of the operator, but not the
    wanted one, and its residual is 0.
    """
    off = np.random.default_rng(1).standard_normal(left_out.shape[0])
    vector = jnp.zeros_like(left_out).at[0].set(1) + 1e-4 / left_out.shape[0] ** 0.5 * off
    vector /= jnp.sqrt(_dot(vector, vector))
    nothing = jnp.zeros_like(vector)
    return _Column(
        left_out, vector, _apply(operator, left_out, vector), nothing, nothing, jnp.int32(0)
    )


def _advance(operator: _Operator, column: _Column) -> _Column:
    """One step: a product, then the best vector in the span of vector, residual and last step."""
    value = _dot(column.vector, column.image)
    residual = column.image - value * column.vector
    # Directions with small eigenvalues need long steps. Along the leading eigenvectors the
    # eigenvalues are known, so each has its own step length. The row's term f f' is included in the
    # preconditioner (Sherman & Morrison); otherwise a step along a leading eigenvector would
    # increase that term.
    count = operator.lead.shape[0]
    tiny = float(np.finfo(residual.dtype).tiny)
    short = jnp.maximum(operator.lead + value, 1e-15 * operator.scale + tiny) / (
        operator.scale + tiny
    )
    lengths = jnp.ones_like(residual).at[:count].set(1 / short)
    row_steps = lengths * column.left_out / (operator.scale + tiny)
    residual = lengths * residual
    residual -= row_steps * _dot(column.left_out, residual) / (1 + _dot(column.left_out, row_steps))
    residual, _unused = _unit(residual, residual)
    for _ in range(2):  # orthogonalising twice is enough (Kahan, Parlett)
        residual -= _dot(residual, column.vector) * column.vector
        residual -= _dot(residual, column.step) * column.step
        kept = _dot(residual, residual)
        residual, _unused = _unit(residual, residual)
    # If the second time takes most of a unit vector, it is rounding within the span of the others
    # (at an exact tie): no direction is left.
    residual = jnp.where(kept > 0.25, residual, 0)
    residual_image = _apply(operator, column.left_out, residual)
    basis = jnp.stack([column.vector, residual, column.step])
    images = jnp.stack([column.image, residual_image, column.step_image])
    projected = jnp.sum(basis[:, None] * images[None], -1)
    # A missing direction (no last step yet, or a residual of 0) must not be chosen, so it gets a
    # value above all others.
    missing = jnp.sum(basis * basis, 1) < 0.5
    projected = (projected + projected.T) / 2 + jnp.diag(
        jnp.where(missing, 4 * jnp.sum(jnp.abs(projected)), 0)
    )
    best = eigh(projected)[1][:, 0]
    best = jnp.where(missing, 0, best)
    vector, image = _unit(best @ basis, best @ images)
    change = best.at[0].set(0)
    step, step_image = change @ basis, change @ images
    overlap = _dot(step, vector)
    step, step_image = _unit(step - overlap * vector, step_image - overlap * image)
    return _Column(column.left_out, vector, image, step, step_image, column.steps + 1)


def _iterate(problem: _Problem, count: int, tolerance: float, max_iterations: int) -> Roots:
    """Iterates all masks in a pool of columns; a finished mask is replaced by the next one."""
    values, vectors = problem.system.values, problem.system.vectors
    size = problem.matrix.shape[0]
    apart = min(max(1 + LEAD, min(_MOST_LEADING, size // _SHARE_LEADING)), size)
    lead_vectors = vectors[:, :apart]
    separation = values[0] - values[1] if size > 1 else values[0]
    lifted = jnp.matmul(lead_vectors * values[:apart], lead_vectors.T)
    operator = _Operator(
        values[0] - values[:apart], values[0] * jnp.eye(size) - problem.matrix + lifted, values[0]
    )
    negligible = 1e-8 * values[0] / count  # limit on t; the largest t is about k1 / count

    def augmented(index: Array) -> Array:
        row = problem.row(index) * problem.downdate
        lead = jnp.matmul(row, lead_vectors)
        return jnp.concatenate([lead, row - jnp.matmul(lead_vectors, lead)])

    def finished(column: _Column) -> Array:
        value = _dot(column.vector, column.image)
        residual = column.image - value * column.vector
        square = _dot(residual, residual)
        temple = (value < separation) & (square <= tolerance * value * (separation - value))
        close = (square <= (tolerance * value) ** 2) & (value <= (1 + 1e-6) * separation)
        return (
            temple
            | close
            | ((value <= negligible) & (square <= negligible**2))
            | (column.steps >= max_iterations)
        )

    def result(column: _Column) -> Roots:
        value = _dot(column.vector, column.image)
        residual = column.image - value * column.vector
        square = _dot(residual, residual)
        t, bound = _quotient_bound(
            value, square, column.left_out, separation, problem.system, rounding(size, 1)
        )
        return Roots(t, bound, jnp.sqrt(square), column.steps)

    pool = min(_POOL, count)
    indices = jnp.arange(pool)
    columns = jax.vmap(lambda i: _start(operator, augmented(i)))(indices)
    zeros = jnp.zeros(count, jnp.float64)
    results = Roots(zeros, zeros, zeros, jnp.zeros(count, jnp.int32))

    def busy(state: _Pool) -> Array:
        return jnp.any(state.indices < count)

    def advance(state: _Pool) -> _Pool:
        indices, columns, results, upcoming = state
        columns = jax.vmap(lambda column: _advance(operator, column))(columns)
        done = jax.vmap(finished)(columns) & (indices < count)

        def refill() -> _Pool:
            found = jax.vmap(result)(columns)
            places = jnp.where(done, indices, count)  # out of range: dropped
            stored = jax.tree.map(
                lambda all_, new: all_.at[places].set(new, mode="drop"), results, found
            )
            order = jnp.cumsum(done) - 1
            following = jnp.where(done, jnp.minimum(upcoming + order, count), indices)
            fresh = jax.vmap(lambda i: _start(operator, augmented(jnp.minimum(i, count - 1))))(
                following
            )
            renewed = jax.tree.map(
                lambda new, old: jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old),
                fresh,
                columns,
            )
            return _Pool(following, renewed, stored, upcoming + jnp.sum(done))

        advanced: _Pool = lax.cond(
            jnp.any(done), refill, lambda: _Pool(indices, columns, results, upcoming)
        )
        return advanced

    state: _Pool = lax.while_loop(
        busy, advance, _Pool(indices, columns, results, jnp.asarray(pool, indices.dtype))
    )
    return state.results


def _quotient_bound(
    value: Array,
    square: Array,
    left_out: Array,
    separation: Array,
    system: Eigensystem,
    epsilon: float,
) -> tuple[Array, Array]:
    """t from a Rayleigh quotient and its squared residual norm, and a bound on its error.

    t is at most the quotient, and at most g_2 (interlacing). The second eigenvalue is at least g_2,
    so t is at least quotient - residual^2 / (g_2 - quotient) (Temple). Another lower bound is the
    root for a row whose components after the first all lie at the pole g_2.
    """
    room = separation - value
    temple = jnp.where(room > 0, square / jnp.where(room > 0, room, 1), jnp.inf)
    along, rest = left_out[0] ** 2, _dot(left_out[1:], left_out[1:])
    discriminant = (separation - along) ** 2 + rest * (2 * (separation + along) + rest)
    least = (
        2
        * along
        * separation
        / jnp.maximum(separation + rest + along + jnp.sqrt(discriminant), 1e-300)
    )
    t = jnp.clip(value, 0, jnp.maximum(separation, 0))
    norm = jnp.sqrt(along + rest)
    error = norm * (system.first_error + epsilon)
    bound = jnp.minimum(temple, jnp.maximum(value - least, 0)) + 2 * system.shift
    bound += jnp.minimum(2 * norm * error, 2 * t * error / jnp.maximum(jnp.sqrt(along), 1e-300))
    return t, jnp.minimum(bound, jnp.maximum(t, separation + system.shift))
