"""What an examination returns: named arrays, so that it passes through jit, vmap and grad."""

import enum
from typing import NamedTuple

from examine_jax._shapes import Array


class Path(enum.IntEnum):
    """How the values were computed; `Diagnostics.path` holds one of these."""

    FULL_FLOAT32 = 0  # eigendecomposition of a Gram matrix from float32 products, leading vector refined in float64
    FULL_FLOAT64 = 1  # eigendecomposition of a Gram matrix from float64 products
    KRYLOV = 2  # a few certified leading directions, no Gram matrix
    MASKED_POWER = 3  # power iteration over leave-one-out masks
    DENSE_SVD = 4  # one singular value decomposition for every row


class Diagnostics(NamedTuple):
    """How the computation went. Arrays alone, so that jit can return them."""

    iterations: Array  # [] int32: steps of the slowest row
    residual: Array  # [N]: what was left of each row's equation, in units of the squared features' scale over k1
    path: Array  # [] int32: a member of `Path`


class Examination(NamedTuple):
    """EXAMINE of every row: how much the top singular value falls when the row is left out.

    A row that `where` masks out has gap 0, score 1 and error bound 0: leaving out an absent row changes nothing.
    """

    score: Array  # [N] exp(-gap): the paper's phi (equation 3); higher is better
    gap: Array  # [N] sigma - sigma without row i, in the features' units; rank by this (smaller is better)
    singular_value: Array  # [] sigma, the top singular value of all rows
    loo_singular_values: Array  # [N] the top singular value without row i
    error_bound: Array  # [N] the gap is off by no more than this
    diagnostics: Diagnostics
