"""The largest eigenvalue of a Gram matrix without each of many groups of rows. Float64.

Let a group have n of the N centred rows c, and let s be the sum of its rows. Leaving out the group
also changes the mean. So the scatter decreases by the sum of the group's products c c' and by
s s' / (N - n). (This is Chan's formula, S_g + N n / (N - n) (m_g - m)(m_g - m)', for the mean m of
all rows.)
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.eigensystem import LEAD, Eigensystem
from examine_jax.scoring.equations.jacobi import eigh, largest_eigenvalue
from examine_jax.scoring.equations.rows import Rows, block_rows, rows_at
from examine_jax.scoring.equations.secular_equation import Roots

_POOL = 256  # groups that are iterated together
_MOST_STEPS = 60

Tree = TypeVar("Tree")


class Groups(NamedTuple):
    """Rows sorted by group. Groups form pools of one size; empty groups fill the last pool.

    Attributes:
        order: [N] row indices, sorted by group; rows of no group come last.
        sorted_ids: [N] the group of each row in that order.
        starts: [pools * pool + 1] where each group starts in `order`.
        number: the number of groups.
    """

    order: Array
    sorted_ids: Array
    starts: Array
    number: int

    @property
    def pool(self) -> int:
        """The number of groups per pool."""
        return min(_POOL, self.number)

    @classmethod
    def of(cls, ids: Array, num_groups: int) -> "Groups":
        """Sorts rows by their ids [N]; the id `num_groups` means that the row is in no group."""
        pool = min(_POOL, num_groups)
        padded = -(-num_groups // pool) * pool
        ids = jnp.where(ids < num_groups, ids, padded).astype(jnp.int32)
        order = jnp.argsort(ids)
        sorted_ids = ids[order]
        return cls(
            order, sorted_ids, jnp.searchsorted(sorted_ids, jnp.arange(padded + 1)), num_groups
        )


class _Pool(NamedTuple):
    """A pool of C groups, and the sums over each group's rows.

    Attributes:
        first: [] the first group's number.
        sizes: [C] the number of rows.
        sums: [C, n] the sum of the rows, divided by sqrt(N - size); 0 if rows are not centred.
        trace: [C] the trace of S, the group's part of the Gram matrix: the rows' products and, if
            rows are centred, the product of `sums`.
        lead: [C, L, L] S along the leading eigenvectors.
    """

    first: Array
    sizes: Array
    sums: Array
    trace: Array
    lead: Array


class _Search(NamedTuple):
    """The state of the iteration for a pool of groups. Vectors are [C, n], in the eigenbasis of G.

    Attributes:
        vector: the present vector, of unit length.
        image: the operator k_1 - G + S applied to `vector`.
        step: the last step, of unit length, orthogonal to vector (zero at the start).
        step_image: the operator applied to `step`.
        steps: [] int32, the number of steps.
        done: [C] bool, whether the group's iteration has ended.
    """

    vector: Array
    image: Array
    step: Array
    step_image: Array
    steps: Array
    done: Array


def leave_out(
    rows: Rows,
    groups: Groups,
    system: Eigensystem,
    matrix: Array,
    centred: bool,
    tolerance: float,
    epsilon: float,
) -> Roots:
    """The drop of the largest eigenvalue without each group, t = k_1 - (largest without the group).

    Args:
        rows: [N, n].
        groups: of these rows.
        system: the eigensystem of `matrix`.
        matrix: [n, n] the rows' Gram matrix.
        centred: whether the rows are centred.
        tolerance: the relative error of t at which a search stops.
        epsilon: the relative error of a float64 Gram matrix and its eigensystem.

    Returns:
        t and the bound on its error, [num_groups].
    """
    pools = (groups.starts.shape[0] - 1) // groups.pool

    def solve_pool(index: Array) -> tuple[Roots, Array]:
        pool = _pool(rows, groups, system, index * groups.pool, centred)
        return _solve_pool(rows, groups, system, pool, tolerance, epsilon)

    roots, certified = lax.map(solve_pool, jnp.arange(pools))
    roots = jax.tree.map(lambda x: x.reshape(-1)[: groups.number], roots)
    certified = certified.reshape(-1)[: groups.number]

    def finish(item: tuple[Array, Array, Roots]) -> Roots:
        group, good, found = item

        def alone() -> Roots:
            t, bound = _dense(rows, groups, system, matrix, centred, group, epsilon)
            return Roots(t, bound, jnp.zeros_like(t), found.steps)

        result: Roots = lax.cond(good, lambda: found, alone)
        return result

    finished: Roots = lax.map(finish, (jnp.arange(groups.number), certified, roots))
    return finished


def _fold(
    rows: Rows,
    groups: Groups,
    first: Array | int,
    last: Array | int,
    add: Callable[[Tree, Array, Array], Tree],
    initial: Tree,
) -> Tree:
    """Folds `add(carry, block [B, n], group [B]) -> carry` over groups first to last - 1.

    In a block, rows of other groups are 0. Group numbers start with 0 at the group `first`.
    """
    count = rows.features.shape[0]
    pooled = groups.pool
    size = min(block_rows(count), max(128, -(-count * pooled // groups.number)))
    end = groups.starts[last]

    def body(state: tuple[Array, Tree]) -> tuple[Array, Tree]:
        start, carry = state
        positions = jnp.minimum(start, count - size) + jnp.arange(size)
        live = (positions >= start) & (positions < end)
        block = jnp.where(live[:, None], rows_at(rows, groups.order[positions]), 0)
        return start + size, add(
            carry, block, jnp.clip(groups.sorted_ids[positions] - first, 0, pooled - 1)
        )

    result: Tree = lax.while_loop(
        lambda state: state[0] < end, body, (groups.starts[first], initial)
    )[1]
    return result


def _pool(rows: Rows, groups: Groups, system: Eigensystem, first: Array, centred: bool) -> _Pool:
    pooled, size = groups.pool, system.values.shape[0]
    lead_vectors = system.vectors[:, : LEAD + 1]
    lead_size = lead_vectors.shape[1]

    def add(
        carry: tuple[Array, Array, Array], block: Array, group: Array
    ) -> tuple[Array, Array, Array]:
        sums, trace, lead = carry
        along = jnp.matmul(block, lead_vectors)
        trace = trace.at[group].add(jnp.sum(block * block, 1))
        lead = lead.at[group].add(along[:, :, None] * along[:, None, :])
        return (sums.at[group].add(block) if centred else sums), trace, lead

    zeros = (
        jnp.zeros((pooled, size)),
        jnp.zeros(pooled),
        jnp.zeros((pooled, lead_size, lead_size)),
    )
    sums, trace, lead = _fold(rows, groups, first, first + pooled, add, zeros)
    starts = lax.dynamic_slice_in_dim(groups.starts, first, pooled + 1)
    sizes = starts[1:] - starts[:-1]
    if centred:
        sums /= jnp.sqrt(jnp.maximum(rows.present - sizes, 1))[:, None]
        along = jnp.matmul(sums, lead_vectors)
        trace += jnp.sum(sums * sums, 1)
        lead += along[:, :, None] * along[:, None, :]
    return _Pool(first, sizes, sums, trace, lead)


def _apply(rows: Rows, groups: Groups, system: Eigensystem, pool: _Pool, vectors: Array) -> Array:
    """(k_1 - G + S_g) x_g for every group g of the pool, [C, n], in the eigenbasis."""
    plain = jnp.matmul(vectors, system.vectors.T)  # in the basis of the rows' columns

    def add(total: Array, block: Array, group: Array) -> Array:
        return total.at[group].add(jnp.sum(block * plain[group], 1)[:, None] * block)

    image = _fold(rows, groups, pool.first, pool.first + groups.pool, add, jnp.zeros_like(plain))
    image += pool.sums * jnp.sum(pool.sums * plain, 1)[:, None]
    return (system.values[0] - system.values) * vectors + jnp.matmul(image, system.vectors)


def _dot(left: Array, right: Array) -> Array:
    return jnp.sum(left * right, -1)


def _unit(vector: Array, image: Array) -> tuple[Array, Array]:
    """Both divided by the vector's length; zero where that is zero."""
    length = jnp.sqrt(_dot(vector, vector))[..., None]
    scale = jnp.where(length > 0, 1 / jnp.where(length > 0, length, 1), 0)
    return vector * scale, image * scale


def _solve_pool(
    rows: Rows, groups: Groups, system: Eigensystem, pool: _Pool, tolerance: float, epsilon: float
) -> tuple[Roots, Array]:
    """Roots of the pool's groups by conjugate gradients, and whether each is certified."""
    largest, size = system.values[0], system.values.shape[0]
    poles = largest - system.values
    separation = poles[1] if size > 1 else largest
    floor = 1e-300 + 2.0**-52 * largest
    apply = partial(_apply, rows, groups, system, pool)

    def temple(value: Array, vector: Array, image: Array) -> Array:
        """A bound on (quotient - t), by Temple's inequality: |residual|^2 / (g_2 - value).

        The operator's second eigenvalue is at least g_2.
        """
        residual = image - value[:, None] * vector
        room = separation - value
        return jnp.where(room > 0, _dot(residual, residual) / jnp.where(room > 0, room, 1), jnp.inf)

    # The start is the best vector within the leading eigenvectors, so ties among them cost no
    # steps.
    lead_size = pool.lead.shape[1]
    lead_vectors = jax.vmap(eigh)(jnp.diag(poles[:lead_size]) + pool.lead)[1][:, :, 0]
    vector = jnp.pad(lead_vectors, ((0, 0), (0, size - lead_size)))
    nothing = jnp.zeros_like(vector)
    start = _Search(
        vector, apply(vector), nothing, nothing, jnp.int32(0), jnp.zeros(groups.pool, bool)
    )

    def advance(search: _Search) -> _Search:
        value = _dot(search.vector, search.image)
        residual = search.image - value[:, None] * search.vector
        direction = residual / jnp.maximum(jnp.maximum(poles, value[:, None]), floor)
        direction, _unused = _unit(direction, direction)
        for _ in range(2):  # orthogonalising twice is enough (Kahan, Parlett)
            direction -= _dot(direction, search.vector)[:, None] * search.vector
            direction -= _dot(direction, search.step)[:, None] * search.step
            kept = _dot(direction, direction)[:, None]
            direction, _unused = _unit(direction, direction)
        # If the second time takes most of a unit vector, it is rounding within the span of the
        # others (at an exact tie): no direction is left.
        direction = jnp.where(kept > 0.25, direction, 0)
        basis = jnp.stack([search.vector, direction, search.step], 1)
        images = jnp.stack([search.image, apply(direction), search.step_image], 1)
        projected = jnp.sum(basis[:, :, None] * images[:, None], -1)
        projected = (projected + jnp.swapaxes(projected, 1, 2)) / 2
        # A missing direction (no last step yet, or a residual of 0) must not be chosen, so it gets
        # a value above all others.
        missing = jnp.sum(basis * basis, 2) < 0.5
        high = 4 * jnp.sum(jnp.abs(projected), (1, 2)) + floor
        projected += jnp.eye(3) * jnp.where(missing, high[:, None], 0)[:, None, :]
        best = jnp.where(missing, 0, jax.vmap(eigh)(projected)[1][:, :, 0])
        combine = partial(jnp.einsum, "cb,cbn->cn")
        vector, image = _unit(combine(best, basis), combine(best, images))
        change = best.at[:, 0].set(0)
        step, step_image = combine(change, basis), combine(change, images)
        overlap = _dot(step, vector)[:, None]
        step, step_image = _unit(step - overlap * vector, step_image - overlap * image)
        value = _dot(vector, image)
        residual = image - value[:, None] * vector
        # A value above g_2 cannot be certified. The iteration ends when the residual shows that the
        # value stays above g_2.
        stays = (value > separation) & (
            _dot(residual, residual) <= (1e-3 * (value - separation)) ** 2
        )
        exhausted = _dot(residual, residual) <= (2.0**-50 * largest) ** 2
        done = (
            (temple(value, vector, image) <= tolerance * value)
            | stays
            | exhausted
            | ~(value > floor)
        )
        return _Search(vector, image, step, step_image, search.steps + 1, done)

    def busy(search: _Search) -> Array:
        return (search.steps < _MOST_STEPS) & ~jnp.all(search.done)

    found = lax.while_loop(busy, advance, advance(start))
    vector = found.vector / jnp.sqrt(_dot(found.vector, found.vector))[:, None]
    image = apply(vector)  # computed again: the iteration has accumulated rounding errors
    # The value is a sum of squares. If the exact drop is 0 (ties), rounding can make it negative,
    # by less than the floor. NaN stays NaN.
    value = jnp.maximum(_dot(vector, image), 0)
    residual = jnp.sqrt(_dot(image - value[:, None] * vector, image - value[:, None] * vector))
    missed = temple(value, vector, image)
    certified = (missed <= 1e3 * tolerance * value) | ~(value > floor)  # or NaN
    # The rounding error of x'Sx is that of each row's product with x. The trace of S and the value
    # bound it.
    size_of_value = jnp.maximum(value, floor)
    bound = jnp.where(value <= floor, floor, missed) + 4 * epsilon * (
        jnp.sqrt(pool.trace * size_of_value) + size_of_value
    )
    bound += _model_error(system, value, epsilon)
    everything = pool.sizes >= rows.present
    t = jnp.where(everything, largest, jnp.clip(value, 0, largest))
    empty = pool.sizes == 0
    t, bound = (
        jnp.where(empty, 0, t),
        jnp.where(empty, 0, jnp.where(everything, epsilon * largest, bound)),
    )
    return Roots(t, bound, residual, jnp.full(t.shape, found.steps)), certified | empty | everything


def _model_error(system: Eigensystem, value: Array, epsilon: float) -> Array:
    """A bound on the change of a drop t by the errors of the eigensystem.

    The operator with the computed k_1 and G differs from the true one by E, of norm at most 2 eta.
    E maps the true v_1 to a vector of length at most k_1 e, where e is the error of v_1. t is the
    minimum of the quotient x'(k_1 - G + S)x, and the minimising x differs from v_1 by at most
    sqrt(t / g_2).
    """
    largest = system.values[0]
    separation = largest - system.values[1] if system.values.shape[0] > 1 else largest
    gathered = epsilon * jnp.sum(system.values)
    eta = 2 * system.shift + largest * system.first_error**2 + gathered
    room = separation - 2 * system.shift
    off = (
        jnp.where(room > 0, jnp.sqrt(2 * value / jnp.where(room > 0, room, 1)), 1)
        + system.first_error
    )
    off = jnp.minimum(off, 1)
    near_first = largest * system.first_error * (system.first_error + 2 * off) + 2 * eta * off**2
    return jnp.minimum(2 * eta, near_first) + epsilon * value


def _dense(
    rows: Rows,
    groups: Groups,
    system: Eigensystem,
    matrix: Array,
    centred: bool,
    group: Array,
    epsilon: float,
) -> tuple[Array, Array]:
    """t and the bound on its error for one group, from an eigendecomposition without the group."""
    size = matrix.shape[0]

    def add(carry: tuple[Array, Array], block: Array, _: Array) -> tuple[Array, Array]:
        return carry[0] + jnp.matmul(block.T, block), carry[1] + jnp.sum(block, 0)

    part, total = _fold(
        rows, groups, group, group + 1, add, (jnp.zeros((size, size)), jnp.zeros(size))
    )
    if centred:
        left = rows.present - (groups.starts[group + 1] - groups.starts[group])
        part += total[:, None] * total[None, :] / jnp.maximum(left, 1)
    remaining = largest_eigenvalue(matrix - part)
    largest = system.values[0]
    noise = 2.0**-50 * size**0.5 * largest
    t = jnp.clip(jnp.where(remaining < noise, largest, largest - remaining), 0, largest)
    return t, 2 * system.shift + epsilon * (
        jnp.sum(system.values) + jnp.trace(part)
    ) + largest * system.first_error**2
