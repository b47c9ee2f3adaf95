"""EXAMINE without a Gram matrix, for features whose variance lies in a few directions."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations import secular_equation as equation
from examine_jax.scoring.equations.eigensystem import LEAD, rounding
from examine_jax.scoring.equations.jacobi import eigh
from examine_jax.scoring.equations.piecewise_products import (
    Products,
    product_error,
    products_of_device,
    products_with,
)
from examine_jax.scoring.equations.rows import (
    Rows,
    block_of,
    block_rows,
    block_starts,
    map_blocks,
    over_devices,
    true_on_all_devices,
)
from examine_jax.scoring.examination import Examination, Path, examination_of, underflow_bound
from examine_jax.scoring.solvers.secular import Secular, full_path_limits

_BLOCK = 8  # vectors per pass; 8 fill the SIMD registers, a ninth adds a third to the time
_SAMPLE = 32  # one row in 32 is sampled for the start
_SMALLEST_SAMPLE = 2048
_SAMPLE_PASSES = 4

Tree = TypeVar("Tree")


@dataclasses.dataclass(frozen=True)
class AdaptiveSecular:
    """A block Krylov space of the Gram matrix, built from the rows, and the secular equation in it.

    Each pass reads the features F once. It multiplies F by a block of vectors V, and F' by F V. The
    leading eigenvectors are the Rayleigh-Ritz vectors in the span of all blocks. The first block
    comes from a sample of the rows. A poor sample costs time, not accuracy, because the certificate
    covers the directions that the sample missed. A row's part outside the space enters the secular
    equation with its exact squared norm |f|^2 - sum z_j^2, at a pole between the smallest and the
    largest possible one.

    The certificate of each row covers

    - the residual of the leading Ritz vector, whose angle to the eigenvector is at most
      residual / (theta_1 - k_2), with its Ritz value theta_1,
    - the coupling between the space and its complement,
    - directions in which no vector of the space has a component: the second eigenvalue is bounded
      by ||F||_F^2 minus the Ritz values, not by observed values,
    - the range of the poles outside the space.

    `Secular` computes the whole set if a row cannot be certified. It also does so if a certificate
    is unlikely: judged by the sample's spectrum before the first pass, and by the space's spectrum
    after the second pass.

    Time: O(N D) per pass. Memory: the features', and O(N) more for the rows' coordinates.

    Attributes:
        tolerance: the largest certified error that is accepted, relative to a row's own gap if
            that gap is over 1% of the largest gap. All errors must also be at most a tenth of
            `tolerance` times the largest gap.
        max_passes: passes over the features before `Secular` takes over.
        products: how a pass multiplies: in "float64", or in "pieces", exact float32 products of
            parts of both factors, for devices whose float64 is slow. None: as suits the device.

    Source: Golub & Van Loan, Matrix Computations, section 10.3.6 (block Lanczos); Davis & Kahan,
        SIAM J. Numer. Anal. 7:1 (1970).
    """

    tolerance: float = 1e-5
    max_passes: int = 5
    products: Products | None = None

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

    def row_limits(self, width: int) -> tuple[int, ...]:
        return *full_path_limits(width), self._fewest() - 1

    def solve(self, rows: Rows) -> Examination:
        """The examination of scaled rows; traced with 64-bit types on."""
        count, width = rows.total, rows.features.shape[1]
        products = self.products or products_of_device()
        full = Secular(products=products).solve
        if rows.features.dtype == jnp.float64 or min(count, width) < self._fewest():
            # float64 features need a smaller error than 1e-5. For a small matrix, `Secular` takes
            # less time than one pass.
            return full(rows)
        start = _start(rows, products)
        space = _krylov(rows, self.max_passes, *start, self.tolerance, products)
        ritz = _ritz(space, _gram_error(width, count, products))
        roots = _solve(space, ritz, rows, product_error(products, width))
        quick = examination_of(roots, ritz.values[0], rows, Path.KRYLOV)
        largest = over_devices(rows, jnp.max(quick.gap), lax.pmax)
        own = jnp.where(quick.gap > 0.01 * largest, self.tolerance * quick.gap, jnp.inf)
        allowed = jnp.minimum(own, 0.1 * self.tolerance * largest) + underflow_bound(rows)
        within = jnp.all(quick.error_bound <= allowed)
        certified = true_on_all_devices(rows, within & (space.passes > 0))
        # With NaN features there is nothing to certify: both paths return NaN.
        result: Examination = lax.cond(
            certified | jnp.isnan(rows.scale), lambda: quick, lambda: full(rows)
        )
        return result

    def _fewest(self) -> int:
        """The fewest rows and columns for which passes save time."""
        return 2 * _BLOCK * self.max_passes


class _Space(NamedTuple):
    """p blocks of b orthonormal vectors, G times them, and the rows' coordinates. Float64.

    Blocks that are not computed yet are zero.

    Attributes:
        basis: [p, D, b].
        images: [p, D, b] G times the basis.
        coordinates: [N, p b] the features times the basis.
        norms: [N] squared lengths of the rows.
        energy: [] the sum of `norms` over all devices: ||F||_F^2.
        passes: [] int32.
        promising: [] bool, whether a certificate still seems possible.
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
        angle: [] bound on the angle between the leading Ritz vector and the leading eigenvector.
        coupling: [] bound on the spectral norm of the block of G that couples these vectors to
            their orthogonal complement.
        rest: [] bound on the largest eigenvalue of G in that complement.
        value_error: [] bound on the error of values[0].
    """

    values: Array
    vectors: Array
    angle: Array
    coupling: Array
    rest: Array
    value_error: Array


def _gram_error(width: int, count: int, products: Products) -> float:
    """A bound on the error of F'F v, as a share of ||F||_F^2 |v|."""
    return rounding(width, count) + 2 * product_error(products, width)


def _pass(rows: Rows, vectors: Array, products: Products) -> tuple[Array, Array, Array]:
    """(F v, F'F v, squared lengths of the rows), reading the features once."""
    count = rows.features.shape[0]
    size = block_rows(count)
    # A centred row has more digits than float32 holds.
    exact = products == "float64" or rows.mean is not None
    dtype = jnp.float64 if exact else jnp.float32

    def step(
        carry: tuple[Array, Array, Array], starts: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array, Array], None]:
        coordinates, image, norms = carry
        start, first_new = starts
        values = block_of(rows, start, size, dtype)
        block = products_with(values, products)
        product = block.times(vectors)
        new = (start + jnp.arange(size) >= first_new)[:, None]  # the last block may overlap
        image += block.transposed_times(jnp.where(new, product, 0))
        coordinates = lax.dynamic_update_slice_in_dim(coordinates, product, start, 0)
        squares = jnp.sum(jnp.square(values.astype(jnp.float64)), 1)
        norms = lax.dynamic_update_slice_in_dim(norms, squares, start, 0)
        return (coordinates, image, norms), None

    initial = (jnp.zeros((count, vectors.shape[1])), jnp.zeros_like(vectors), jnp.zeros(count))
    coordinates, image, norms = lax.scan(step, initial, block_starts(count, size))[0]
    return coordinates, over_devices(rows, image), norms


def _orthonormal(vectors: Array, basis: Array) -> Array:
    """The vectors [D, b], orthonormalised against a basis [p, D, b] and each other."""
    flat = jnp.concatenate(list(basis), 1)
    for _ in range(2):  # orthogonalising twice is enough (Kahan, Parlett)
        vectors = vectors - jnp.matmul(flat, jnp.matmul(flat.T, vectors))
        vectors = jnp.linalg.qr(vectors)[0]
    return vectors


def _start(rows: Rows, products: Products) -> tuple[Array, Array]:
    """Leading vectors [D, b] of a sample of the rows, and whether its spectrum is promising."""
    count, width = rows.features.shape
    stride = max(1, min(_SAMPLE, count // _SMALLEST_SAMPLE))
    sample = rows._replace(
        features=rows.features[::stride], where=None if rows.where is None else rows.where[::stride]
    )
    random = jnp.linalg.qr(jnp.asarray(np.random.default_rng(2).standard_normal((width, _BLOCK))))[
        0
    ]
    space = _krylov(sample, _SAMPLE_PASSES, random, jnp.bool_(True), 0.0, products)
    ritz = _ritz(space, _gram_error(width, sample.total, products))
    basis = space.basis.transpose(1, 0, 2).reshape(width, -1)
    vectors = jnp.linalg.qr(jnp.matmul(basis, ritz.vectors[:, :_BLOCK]))[0]
    # No certificate is possible if the largest value outside the space exceeds the leading one. The
    # factor of two allows for the sample's randomness. If all features are 0, none is needed.
    return vectors, (ritz.rest <= 2 * ritz.values[0]) | (space.energy == 0)


def _krylov(
    rows: Rows,
    max_passes: int,
    start: Array,
    promising: Array,
    tolerance: float,
    products: Products,
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
        new, image, norms = _pass(rows, space.basis[index], products)
        basis, images = space.basis, space.images.at[index].set(image)
        following = jnp.minimum(index + 1, max_passes - 1)
        grown = basis.at[following].set(_orthonormal(image, basis))
        basis = jnp.where(index + 1 < max_passes, grown, basis)
        coordinates = lax.dynamic_update_slice_in_dim(space.coordinates, new, index * _BLOCK, 1)
        energy = over_devices(rows, jnp.sum(norms))
        space = space._replace(
            basis=basis,
            images=images,
            coordinates=coordinates,
            norms=norms,
            energy=energy,
            passes=index + 1,
        )
        ritz = _ritz(space, _gram_error(width, rows.total, products))
        # An angle a changes z_1^2 by 2 |z_1| |f| a. The allowed error is a tenth of the tolerance
        # times the largest z_1^2. The angle may use half of it; the rest is for the other errors.
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
    values, vectors = eigh((projected + projected.T) / 2)
    values, vectors = jnp.maximum(values[::-1], 0), vectors[:, ::-1]
    lead = vectors[:, : 1 + LEAD]
    residual = jnp.matmul(images, lead) - jnp.matmul(basis, lead) * values[: 1 + LEAD]
    energy = space.energy
    floor = epsilon * energy
    left = (
        jnp.maximum(energy - jnp.sum(values), 0) + floor
    )  # the trace of G outside the space, which bounds every eigenvalue there
    coupling = jnp.sqrt(jnp.sum(residual**2)) + floor
    # Outside the leading vectors, G consists of the remaining Ritz values and the part outside the
    # space. The residual of `images` bounds the coupling of the two.
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


def _solve(space: _Space, ritz: _Ritz, rows: Rows, product_error: float) -> equation.Roots:
    """Roots from the leading coordinates and the tail's squared norm, block by block."""
    downdate = jnp.asarray(rows.downdate, jnp.float64)
    first = ritz.values[0]
    lead_poles = first - ritz.values[1:]
    # The tail's poles lie between `near` and k_1. Each reciprocal is replaced by the middle of the
    # reciprocals' range; the error is at most half the range's width.
    near = jnp.maximum(first - ritz.rest - ritz.coupling, 0)
    middle = 2 * near * first / jnp.maximum(near + first, 1e-300)
    # The factor 1.5: for t up to a tenth of the nearest pole, the range of 1 / (g - t) is slightly
    # wider than that of 1 / g.
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
            first=norm * (ritz.angle + rounding(width, 1) + product_error),
            shift=ritz.coupling + ritz.value_error,
            tail_shift=0.0,
            rest=norm * (2 * ritz.angle + width**0.5 * 2.0**-50 + product_error),
            tail=jnp.zeros_like(norm),
            norm=norm,
            relative=half_width,
        )
        roots = equation.solve(parts, errors, 1e-10)
        # If t exceeds a tenth of the nearest pole, `half_width` is not a bound.
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
