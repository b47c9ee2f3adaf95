"""EXAMINE without a Gram matrix, where a few directions carry the features."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations import secular_equation as equation
from examine_jax.scoring.equations.eigensystem import LEAD, rounding
from examine_jax.scoring.equations.rows import (
    Rows,
    block_of,
    block_rows,
    block_starts,
    map_blocks,
    over_devices,
    true_on_all_devices,
)
from examine_jax.scoring.examination import Examination, Path, examination_of
from examine_jax.scoring.solvers.secular import Secular

_BLOCK = 8  # vectors a pass: a ninth would cost a third more, because of the registers' width
_SAMPLE = 32  # one row in so many is sampled for the start
_SMALLEST_SAMPLE = 2048
_SAMPLE_PASSES = 4

Tree = TypeVar("Tree")


@dataclasses.dataclass(frozen=True)
class AdaptiveSecular:
    """A block Krylov space of the Gram matrix, built from the rows, and the secular equation in it.

    Each pass reads the features once: it multiplies them by a block of vectors, and their transpose
        by
    the result. The leading eigenvectors come from the Rayleigh-Ritz values in the span of all
    blocks. The first block comes from a sample of the rows; a poor choice costs time, not accuracy,
    since the certificate covers what the sample missed. The part of a row outside the space enters
    the secular equation with its exact energy |f|^2 - sum z_j^2, at a pole between the two extreme
    ones.

    The certificate of each row covers

    - the leading vector's residual: its angle is at most residual / (theta_1 - k_2),
    - the coupling to what lies outside the space,
    - directions that no vector met: the second eigenvalue is bounded by ||F||_F^2 less the Ritz
      values, not by what was observed,
    - the range of the poles outside the space.

    If a row cannot be certified, the whole set is computed by `Secular`. So it is if the spectrum
    does
    not promise a certificate: that of the sample, before any pass, or that after two passes.

    O(N D) a pass. Memory: the features', and O(N) more for the rows' coordinates in the space.

    Attributes:
        tolerance: the largest certified error that is accepted, relative to a row's own gap where
            that is over 1% of the largest. Relative to the largest gap, a tenth of it.
        max_passes: passes over the features before `Secular` takes over.

    Source: Golub & Van Loan, Matrix Computations, section 10.3.6 (block Lanczos); Davis & Kahan,
        SIAM J. Numer. Anal. 7:1 (1970).
    """

    tolerance: float = 1e-5
    max_passes: int = 5

    sums_over_devices: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise ValueError(
                f"AdaptiveSecular: tolerance must be between 0 and 1, got {self.tolerance!r}"
            )
        if not 2 <= self.max_passes <= 32:
            raise ValueError(
                f"AdaptiveSecular: max_passes must be from 2 to 32, got {self.max_passes!r}"
            )

    def solve(self, rows: Rows) -> Examination:
        """The examination of scaled rows; traced with 64-bit types on."""
        count, width = rows.total, rows.features.shape[1]
        full = Secular().solve
        if rows.features.dtype == jnp.float64 or min(count, width) < 2 * _BLOCK * self.max_passes:
            # float64 needs more than a certificate of 1e-5; for a small matrix the full path is
            # cheaper than a pass.
            return full(rows)
        space = _krylov(rows, self.max_passes, *_start(rows), self.tolerance)
        ritz = _ritz(space, rounding(width, count))
        roots = _solve(space, ritz, rows)
        quick = examination_of(roots, ritz.values[0], rows, Path.KRYLOV)
        largest = over_devices(rows, jnp.max(quick.gap), lax.pmax)
        own = jnp.where(quick.gap > 0.01 * largest, self.tolerance * quick.gap, jnp.inf)
        within = jnp.all(quick.error_bound <= jnp.minimum(own, 0.1 * self.tolerance * largest))
        certified = true_on_all_devices(rows, within & (space.passes > 0))
        # NaN features have nothing to certify: their results are NaN on either path.
        result: Examination = lax.cond(
            certified | jnp.isnan(rows.scale), lambda: quick, lambda: full(rows)
        )
        return result


class _Space(NamedTuple):
    """p blocks of b orthonormal vectors, G times them, and the rows' coordinates. Float64.

    Blocks that are not reached yet are zero.

    Attributes:
        basis: [p, D, b].
        images: [p, D, b] G times the basis.
        coordinates: [N, p b] the features times the basis.
        norms: [N] squared lengths of the rows.
        energy: [] their sum, over all devices.
        passes: [] int32.
        promising: [] bool, whether a certificate is still possible.
        converged: [] bool, whether the leading vector's angle is within the tolerance.
    """

    basis: Array
    images: Array
    coordinates: Array
    norms: Array
    energy: Array
    passes: Array
    promising: Array
    converged: Array


class _Ritz(NamedTuple):
    """Leading Ritz pairs, and upper bounds on their errors.

    Attributes:
        values: [1 + LEAD] the leading Ritz values.
        vectors: [p b, 1 + LEAD] in coordinates of the basis.
        angle: [] between the leading Ritz vector and the leading eigenvector, at most.
        coupling: [] spectral norm of G between these vectors and all that is orthogonal, at most.
        rest: [] the largest eigenvalue outside these vectors, at most.
        value_error: [] the error of values[0], at most.
    """

    values: Array
    vectors: Array
    angle: Array
    coupling: Array
    rest: Array
    value_error: Array


def _pass(rows: Rows, vectors: Array) -> tuple[Array, Array, Array]:
    """(F v, F'F v, squared lengths of the rows), reading the features once."""
    count = rows.features.shape[0]
    size = block_rows(count)

    def step(
        carry: tuple[Array, Array, Array], starts: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array, Array], None]:
        products, image, norms = carry
        start, first_new = starts
        block = block_of(rows, start, size, jnp.float64)
        product = jnp.matmul(block, vectors)
        new = (start + jnp.arange(size) >= first_new)[:, None]  # the last block may overlap
        image += jnp.matmul(block.T, jnp.where(new, product, 0))
        products = lax.dynamic_update_slice_in_dim(products, product, start, 0)
        norms = lax.dynamic_update_slice_in_dim(norms, jnp.sum(block * block, 1), start, 0)
        return (products, image, norms), None

    initial = (jnp.zeros((count, vectors.shape[1])), jnp.zeros_like(vectors), jnp.zeros(count))
    products, image, norms = lax.scan(step, initial, block_starts(count, size))[0]
    return products, over_devices(rows, image), norms


def _orthonormal(vectors: Array, basis: Array) -> Array:
    """The vectors [D, b], orthonormalised against a basis [p, D, b] and each other."""
    flat = jnp.concatenate(list(basis), 1)
    for _ in range(2):  # orthogonalising twice is enough (Kahan, Parlett)
        vectors = vectors - jnp.matmul(flat, jnp.matmul(flat.T, vectors))
        vectors = jnp.linalg.qr(vectors)[0]
    return vectors


def _start(rows: Rows) -> tuple[Array, Array]:
    """Leading vectors [D, b] of a sample of the rows, and whether its spectrum is promising."""
    count, width = rows.features.shape
    stride = max(1, min(_SAMPLE, count // _SMALLEST_SAMPLE))
    sample = rows._replace(
        features=rows.features[::stride], where=None if rows.where is None else rows.where[::stride]
    )
    random = jnp.linalg.qr(jnp.asarray(np.random.default_rng(2).standard_normal((width, _BLOCK))))[
        0
    ]
    space = _krylov(sample, _SAMPLE_PASSES, random, jnp.bool_(True), 0.0)
    ritz = _ritz(space, rounding(width, sample.total))
    basis = space.basis.transpose(1, 0, 2).reshape(width, -1)
    vectors = jnp.linalg.qr(jnp.matmul(basis, ritz.vectors[:, :_BLOCK]))[0]
    # No certificate is possible where the largest value outside is twice the leading one; the
    # factor of two allows for the sample's randomness. Features of zeros need no certificate.
    return vectors, (ritz.rest <= 2 * ritz.values[0]) | (space.energy == 0)


def _krylov(
    rows: Rows, max_passes: int, start: Array, promising: Array, tolerance: float
) -> _Space:
    count, width = rows.features.shape
    size = _BLOCK * max_passes
    empty = _Space(
        basis=jnp.zeros((max_passes, width, _BLOCK)).at[0].set(start),
        images=jnp.zeros((max_passes, width, _BLOCK)),
        coordinates=jnp.zeros((count, size)),
        norms=jnp.zeros(count),
        energy=jnp.float64(0),
        passes=jnp.int32(0),
        promising=promising,
        converged=jnp.bool_(False),
    )

    def advance(space: _Space) -> _Space:
        index = space.passes
        products, image, norms = _pass(rows, space.basis[index])
        basis, images = space.basis, space.images.at[index].set(image)
        following = jnp.minimum(index + 1, max_passes - 1)
        grown = basis.at[following].set(_orthonormal(image, basis))
        basis = jnp.where(index + 1 < max_passes, grown, basis)
        coordinates = lax.dynamic_update_slice_in_dim(
            space.coordinates, products, index * _BLOCK, 1
        )
        energy = over_devices(rows, jnp.sum(norms))
        space = space._replace(
            basis=basis,
            images=images,
            coordinates=coordinates,
            norms=norms,
            energy=energy,
            passes=index + 1,
        )
        ritz = _ritz(space, rounding(width, rows.total))
        # An angle a moves z_1^2 by 2 |z_1| |f| a. That may reach half of what is allowed, a tenth
        # of the tolerance times the largest z_1^2; the other half is for the remaining errors.
        first = over_devices(
            rows, jnp.max(jnp.abs(jnp.matmul(coordinates, ritz.vectors[:, 0]))), lax.pmax
        )
        longest = over_devices(rows, jnp.sqrt(jnp.max(norms)), lax.pmax)
        return space._replace(
            promising=(index < 1) | (ritz.rest < 0.9 * ritz.values[0]),
            converged=40 * longest * ritz.angle <= tolerance * first,
        )

    def wanted(space: _Space) -> Array:
        return (space.passes < max_passes) & space.promising & ~space.converged

    space: _Space = lax.while_loop(wanted, advance, empty)
    return space


def _ritz(space: _Space, epsilon: float) -> _Ritz:
    """Rayleigh-Ritz in the span of the blocks that have an image, with error bounds."""
    count, width, block = space.basis.shape
    reached = jnp.repeat(jnp.arange(count) < space.passes, block)
    basis = jnp.where(reached, space.basis.transpose(1, 0, 2).reshape(width, -1), 0)
    images = jnp.where(reached, space.images.transpose(1, 0, 2).reshape(width, -1), 0)
    projected = jnp.matmul(basis.T, images)
    values, vectors = jnp.linalg.eigh((projected + projected.T) / 2)
    values, vectors = jnp.maximum(values[::-1], 0), vectors[:, ::-1]
    lead = vectors[:, : 1 + LEAD]
    residual = jnp.matmul(images, lead) - jnp.matmul(basis, lead) * values[: 1 + LEAD]
    energy = space.energy
    floor = epsilon * energy
    left = (
        jnp.maximum(energy - jnp.sum(values), 0) + floor
    )  # the trace of G outside the space: no direction there holds more
    coupling = jnp.sqrt(jnp.sum(residual**2)) + floor
    # Outside the leading vectors, G consists of the remaining Ritz values and the unseen part. The
    # images' residual bounds the coupling of the two.
    unseen = images - jnp.matmul(basis, projected)
    joint = jnp.sqrt(jnp.sum(unseen**2)) + floor
    below = values[1 + LEAD] if values.shape[0] > 1 + LEAD else 0.0
    rest = jnp.minimum(
        jnp.maximum(below, left) + jnp.minimum(joint, jnp.sqrt(below * left)),
        left + jnp.sum(values[1 + LEAD :]),
    )
    second = jnp.maximum(values[1], rest) + coupling
    first_residual = jnp.sqrt(jnp.sum(residual[:, 0] ** 2)) + floor
    separation = values[0] - second
    angle = jnp.where(
        separation > 0, first_residual / jnp.where(separation > 0, separation, 1), 2.0
    )
    value_error = jnp.where(
        separation > 0, first_residual**2 / jnp.where(separation > 0, separation, 1), first_residual
    )
    return _Ritz(
        values[: 1 + LEAD], lead, jnp.minimum(angle, 2.0), coupling, rest, value_error + floor
    )


def _solve(space: _Space, ritz: _Ritz, rows: Rows) -> equation.Roots:
    """Roots from the leading coordinates and the tail's energy, block by block."""
    downdate = jnp.asarray(rows.downdate, jnp.float64)
    first = ritz.values[0]
    lead_poles = first - ritz.values[1:]
    # The tail's poles lie between `near` and k_1. Their reciprocals are replaced by the middle of
    # that range, with an error of half its width.
    near = jnp.maximum(first - ritz.rest - ritz.coupling, 0)
    middle = 2 * near * first / jnp.maximum(near + first, 1e-300)
    # 1.5: with t up to a tenth of the nearest pole, the range of 1 / (g - t) is slightly wider than
    # that of 1 / g.
    half_width = 1.5 * (first - near) / jnp.maximum(first + near, 1e-300)
    width = rows.features.shape[1]

    def solve_block(data: tuple[Array, Array]) -> equation.Roots:
        coordinates, norms = data
        squares = jnp.matmul(coordinates, ritz.vectors) ** 2 * downdate
        energy = norms * downdate
        rest = jnp.maximum(energy - jnp.sum(squares, 1), 0)
        norm = jnp.sqrt(energy)
        parts = equation.Coordinates(
            squares[:, 0], squares[:, 1:].T, lead_poles, rest[:, None], middle[None]
        )
        errors = equation.Errors(
            first=norm * (ritz.angle + rounding(width, 1)),
            shift=ritz.coupling + ritz.value_error,
            tail_shift=0.0,
            rest=norm * (2 * ritz.angle + width**0.5 * 2.0**-50),
            tail=jnp.zeros_like(norm),
            norm=norm,
            relative=half_width,
        )
        roots = equation.solve(parts, errors, 1e-10)
        # Above a tenth of the nearest pole, `half_width` is no longer a bound.
        return roots._replace(bound=jnp.where(roots.t <= 0.1 * near, roots.bound, jnp.inf))

    return _map_pairs(solve_block, space.coordinates, space.norms)


def _map_pairs(
    function: Callable[[tuple[Array, Array]], Tree], coordinates: Array, norms: Array
) -> Tree:
    """`map_blocks` over the rows of two arrays together."""
    both = Rows(
        jnp.concatenate([coordinates, norms[:, None]], 1),
        None,
        jnp.float64(1),
        None,
        jnp.float64(0),
    )
    return map_blocks(both, lambda block: function((block[:, :-1], block[:, -1])), jnp.float64)
