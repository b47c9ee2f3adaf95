"""Products of rows with vectors at nearly float64's accuracy, also where float64 is slow.

Many accelerators compute float64 at 1/32 or 1/64 of float32's rate, or not at all in hardware.
There, both factors are cut into pieces: whole numbers of 8 bits times a power of two. A float32
product of two pieces is exact, for sums of up to 1,024 terms. The products are added in float64,
which is little work, since each is a sum over many terms already.

Source: Ozaki, Ogita, Oishi & Rump, Numer. Algorithms 59:95 (2012).
"""

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.shapes import Array
from examine_jax.scoring.equations.rows import unit_scale

Products = Literal["float64", "pieces"]

# NVIDIA's and AMD's accelerators whose float64 runs at half of float32's rate or more. An A1000 is
# no A100.
_FAST_FLOAT64 = re.compile(
    r"(?<![A-Z0-9])([PV]100|GV100|A30|[AH][18]00|G?H200|G?B200|MI(100|2[015]0|3[025]0|325|355))(?!\d)"
)

_BITS = 8
# Of each row of the block: 39 bits below its largest entry.
_PIECES = 5
_PIECES_OF_VECTOR = 6
# Of each column that F' multiplies. A long row sets its scale, and many equal short rows add up
# the same error.
_PIECES_OF_COORDINATES = 7
_MOST_TERMS = 1024  # 2^7 * 2^7 * 2^10 = 2^24: float32 holds all smaller whole numbers

Product = Callable[[Array], Array]


class BlockProducts(NamedTuple):
    """Functions of a block of rows F [B, D], all float64.

    Attributes:
        times: vectors [D, m] to F times them, [B, m].
        transposed_times: vectors [B, m] to F' times them, [D, m].
    """

    times: Product
    transposed_times: Product


class _Pieces(NamedTuple):
    """A matrix [n, k] = scale * sum over p of pieces[p] 2^(-8 p).

    Attributes:
        pieces: float32 whole numbers of at most 2^7, [n, k] each.
        scale: float64 powers of two, [n, 1].
    """

    pieces: tuple[Array, ...]
    scale: Array


def products_of_device() -> Products:
    """How this process's default device had best compute them."""
    if jax.default_backend() == "cpu":
        return "float64"
    return "float64" if has_fast_float64(jax.devices()[0].device_kind) else "pieces"


def has_fast_float64(kind: str) -> bool:
    """Whether an accelerator, by JAX's name for it, computes float64 fast enough."""
    return _FAST_FLOAT64.search(kind.upper()) is not None


def product_error(products: Products, width: int) -> float:
    """A bound on the error of <f, v> beyond float64's, as a share of |f| |v|.

    It holds for any rows of up to 4,096 entries, in blocks of up to 16,384 rows. For F' times
    (F v) it is a bound as a share of |F| |F v|, in Frobenius' norm.
    """
    return 0.0 if products == "float64" else 2.0**-37 * (4 + width**0.5)


def products_with(block: Array, products: Products) -> BlockProducts:
    """The products with a block of rows [B, D], float32 or float64.

    In pieces, float32 entries below 1.2e-38 may count as 0, as in other float32 work.
    """
    if products == "float64":
        exact = block.astype(jnp.float64)
        return BlockProducts(
            lambda vectors: jnp.matmul(exact, vectors),
            lambda vectors: jnp.matmul(exact.T, vectors),
        )
    rows = _pieces_of(block, _PIECES)

    def times(vectors: Array) -> Array:
        columns = _pieces_of(vectors.T, _PIECES_OF_VECTOR)
        return _product(rows.pieces, columns.pieces) * rows.scale * columns.scale.T

    def transposed_times(vectors: Array) -> Array:
        # The rows' scales go to the other factor: a sum needs one scale for all its terms.
        columns = _pieces_of((vectors * rows.scale).T, _PIECES_OF_COORDINATES)
        transposed = tuple(piece.T for piece in rows.pieces)
        return _product(transposed, columns.pieces) * columns.scale.T

    return BlockProducts(times, transposed_times)


def _pieces_of(matrix: Array, number: int) -> _Pieces:
    """So many pieces of [n, k], scaled row by row."""
    largest = jnp.max(jnp.abs(matrix), 1, keepdims=True, initial=0).astype(jnp.float64)
    unit = unit_scale(largest, 1000)
    # Scaled rows begin at 64 to 128. There are two factors, since one may be beyond float32.
    first = jnp.clip(unit, 2.0**-100, 2.0**100)
    second = unit / first * 2.0 ** (_BITS - 2)
    rest = matrix * first.astype(matrix.dtype) * second.astype(matrix.dtype)
    pieces = []
    for _ in range(number):
        whole = jnp.round(rest)
        pieces.append(whole.astype(jnp.float32))
        rest = (rest - whole) * 2.0**_BITS  # exact: a difference of near numbers
    return _Pieces(tuple(pieces), 2.0 ** (2 - _BITS) / unit)


def _product(left: tuple[Array, ...], right: tuple[Array, ...]) -> Array:
    """[n, m] the sum of left[p] right[q]' 2^(-8 (p + q)), from [n, k] and [m, k].

    The sum is over p + q below the number of pieces at the right; the rest is below the bound of
    `product_error`.
    """
    count, width = left[0].shape
    vectors = right[0].shape[0]
    total = jnp.zeros((count, vectors), jnp.float64)
    for first in range(len(left)):
        number = len(right) - first
        for part in _parts(width):
            columns = jnp.concatenate([piece[:, part] for piece in right[:number]])
            # HIGHEST: true float32, not a shorter type that holds the pieces but not their sums.
            sums = jnp.matmul(left[first][:, part], columns.T, precision=lax.Precision.HIGHEST)
            weights = 2.0 ** (-_BITS * (first + np.arange(number, dtype=np.float64)))
            each = sums.reshape(count, number, vectors).astype(jnp.float64)
            total += jnp.sum(each * weights[:, None], 1)
    return total


def _parts(width: int) -> list[slice]:
    """Slices of at most so many terms that their sums are exact."""
    return [slice(start, start + _MOST_TERMS) for start in range(0, width, _MOST_TERMS)]
