"""With exactly tied singular values, gaps are right and bounds finite for any eigenvectors.

Within a tied space, another BLAS kernel, thread count or processor returns other eigenvectors. So
each check runs twice: with LAPACK's own, and with eigenvectors that are rotated at random within
every tied space, and eigenvalues moved by some roundings.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.scoring import (
    DenseSVD,
    MaskedPower,
    Secular,
    SpectralSummary,
    examine,
    examine_groups,
    examine_ky_fan,
    leave_one_out_singular_values,
)

MATRICES = 150
GROUPS = 4
# AdaptiveSecular is Secular at these sizes.
SOLVERS = {"secular": Secular(), "masked-power": MaskedPower(), "dense": DenseSVD()}
SHAPES = {"tall": (14, 6), "wide": (5, 9)}


@functools.cache
def tied_matrices(count: int, width: int) -> np.ndarray:
    """[MATRICES, count, width]: rows along the axes, permuted, of few distinct lengths.

    With signs, repeated rows, rows and columns of zeros.
    """
    generator = np.random.default_rng(0)
    matrices = np.zeros((MATRICES, count, width))
    for number, matrix in enumerate(matrices):
        rank = generator.integers(1, width + 1)
        columns = [
            np.arange(count) % rank,  # as even as can be: ties before and after a row is left out
            generator.integers(0, rank, count),
            np.minimum(np.arange(count), rank),  # the identity, then one direction repeatedly
        ][number % 3]
        lengths = generator.choice([1.0, 2.0, 0.5], count) if number % 5 == 0 else 1.0
        matrix[np.arange(count), np.minimum(columns, width - 1)] = lengths
        if number % 3 == 2:
            matrix[rank:] = 0
        if number % 4 == 1:
            matrix[generator.random(count) < 0.4] = 0
        if number % 7 == 3:
            matrix[:] = (
                generator.choice([-1.0, 1.0], width) * (generator.random(count) < 0.7)[:, None]
            )
        matrix *= generator.choice([-1.0, 1.0], (count, 1))
        matrix[:] = matrix[generator.permutation(count)][:, generator.permutation(width)]
    return matrices


class Rotation:
    """Whether `rotated_eigh` rotates. Read at run time, so that one program serves both cases."""

    on = False


_EIGH = jnp.linalg.eigh


def rotated_eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`jnp.linalg.eigh`; while `Rotation.on`, results that another BLAS kernel could return.

    Vectors are then rotated within tied spaces, and values are off by some roundings. NumPy does
    this outside the programs, which are compiled sooner without it.
    """
    # As bytes: JAX would hand float32 to a callback, whose thread knows nothing of `enable_x64`.
    found = [jax.lax.bitcast_convert_type(one, jnp.uint8) for one in _EIGH(matrix)]
    shapes = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in found]
    rotate = functools.partial(_rotated, np.dtype(matrix.dtype))
    values, vectors = jax.pure_callback(rotate, shapes, *found, vmap_method="broadcast_all")
    return (
        jax.lax.bitcast_convert_type(values, matrix.dtype),
        jax.lax.bitcast_convert_type(vectors, matrix.dtype),
    )


def _rotated(dtype: np.dtype, *found: jax.Array) -> list[np.ndarray]:
    if not Rotation.on:
        return [np.asarray(one) for one in found]
    values, vectors = (np.ascontiguousarray(one).view(dtype)[..., 0] for one in found)
    size = values.shape[-1]
    generator = np.random.default_rng(size)
    rounding = 4 * np.finfo(values.dtype).eps * np.abs(values).max(-1, keepdims=True)
    tied = np.abs(values[..., :, None] - values[..., None, :]) <= 2 * rounding[..., None]
    skew = np.triu(generator.normal(size=(size, size)), 1).astype(values.dtype)
    skew = np.where(tied, skew - skew.T, 0)
    identity = np.eye(size, dtype=values.dtype)
    # Cayley: orthogonal, and within the tied spaces alone.
    rotation = np.linalg.solve(identity - skew, identity + skew)
    moved = values + rounding * generator.uniform(-1, 1, size).astype(values.dtype)
    changed = np.sort(moved, -1), vectors @ rotation
    return [np.ascontiguousarray(one)[..., None].view(np.uint8) for one in changed]


@pytest.fixture(scope="class")
def eigh_that_can_rotate() -> Iterator[None]:
    jax.clear_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jnp.linalg, "eigh", rotated_eigh)
        yield
    jax.clear_caches()


def with_both_vectors(function: Callable[..., Any], *arrays: np.ndarray) -> Iterator[Any]:
    """Results of `function` for all matrices, with LAPACK's vectors and with rotated ones."""
    mapped = jax.jit(jax.vmap(function))
    for on in (False, True):
        Rotation.on = on
        try:
            with jax.enable_x64(True):
                yield jax.tree.map(np.asarray, mapped(*arrays))
        finally:
            Rotation.on = False


def top_values(matrices: np.ndarray, center: bool) -> np.ndarray:
    """The top singular value of each matrix [..., n, d], in float64."""
    if not matrices.shape[-2]:
        return np.zeros(matrices.shape[:-2])
    exact = matrices.astype(np.float64)
    exact = exact - exact.mean(-2, keepdims=True) if center else exact
    return np.linalg.svd(exact, compute_uv=False)[..., 0]


def without_each(matrices: np.ndarray) -> np.ndarray:
    """[M, N, N - 1, D]: each matrix with each of its rows deleted."""
    count = matrices.shape[1]
    rest = np.array([np.delete(np.arange(count), row) for row in range(count)])
    return matrices[:, rest]


@functools.cache
def exact_gaps(shape: str, center: bool) -> np.ndarray:
    matrices = tied_matrices(*SHAPES[shape])
    return top_values(matrices, center)[:, None] - top_values(without_each(matrices), center)


def as_scored(shape: str) -> np.ndarray:
    """Float32 where there are more rows than columns, else float64; entries are exact in both."""
    return tied_matrices(*SHAPES[shape]).astype(np.float32 if shape == "tall" else np.float64)


def hold(
    gaps: np.ndarray, bounds: np.ndarray, exact: np.ndarray, matrices: np.ndarray, most: float
) -> None:
    """Gaps and bounds are finite, bounds hold, and errors are at most `most` of a matrix's size."""
    sizes = np.linalg.norm(matrices, axis=(1, 2))[:, None]
    assert np.isfinite(gaps).all()
    assert np.isfinite(bounds).all()
    error = np.abs(gaps.astype(np.float64) - exact)
    assert (error <= bounds.astype(np.float64) + 8e-16 * sizes).all()
    assert (error <= most * sizes + 8e-16 * sizes).all()


@pytest.mark.usefixtures("eigh_that_can_rotate")
@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
@pytest.mark.parametrize("shape", SHAPES)
class TestExactTies:
    @pytest.mark.parametrize("solver", ["masked-power", "dense"])
    def test_of_rows(self, shape: str, center: bool, solver: str) -> None:
        matrices = as_scored(shape)
        most = 1e-6 if matrices.dtype == np.float32 else 1e-7
        for _, gaps, _, _, bounds in with_both_vectors(
            lambda m: examine(m, solver=SOLVERS[solver], center=center)[:5], matrices
        ):
            hold(gaps, bounds, exact_gaps(shape, center), matrices, most)

    def test_of_rows_and_derivatives_which_are_finite(self, shape: str, center: bool) -> None:
        matrices = as_scored(shape)
        most = 1e-6 if matrices.dtype == np.float32 else 1e-7

        def total(matrix: jax.Array):  # type: ignore[no-untyped-def]
            found = examine(matrix, solver=SOLVERS["secular"], center=center)
            return found.gap.sum(), (found.gap, found.error_bound)

        for (_, (gaps, bounds)), gradients in with_both_vectors(
            jax.value_and_grad(total, has_aux=True), matrices
        ):
            hold(gaps, bounds, exact_gaps(shape, center), matrices, most)
            assert np.isfinite(gradients).all()
            # Each gap is a difference of two singular values, whose subgradients have length one.
            assert np.abs(gradients).max() <= 2 * matrices.shape[1]

    def test_of_groups(self, shape: str, center: bool) -> None:
        matrices = as_scored(shape)
        ids = np.random.default_rng(1).integers(0, GROUPS, matrices.shape[:2])
        exact = np.zeros((MATRICES, GROUPS))
        for gaps, matrix, groups in zip(exact, matrices, ids):
            for group in np.unique(groups):
                gaps[group] = top_values(matrix, center) - top_values(
                    matrix[groups != group], center
                )
        for _, gaps, _, _, bounds in with_both_vectors(
            lambda m, g: examine_groups(m, g, num_groups=GROUPS, center=center)[:5], matrices, ids
        ):
            hold(gaps, bounds, exact, matrices, 1e-6)

    def test_of_a_summary_members_and_newcomers(self, shape: str, center: bool) -> None:
        matrices = tied_matrices(*SHAPES[shape])
        new = np.roll(matrices, 1, 0)

        def of_summary(matrix: jax.Array, others: jax.Array):  # type: ignore[no-untyped-def]
            spectrum = SpectralSummary.of(matrix).spectrum(center)
            members, newcomers = spectrum.examine(matrix), spectrum.examine_new(others)
            return members.gap, members.error_bound, newcomers.gap, newcomers.error_bound

        count = matrices.shape[1]
        joined = np.concatenate([np.repeat(matrices[:, None], count, 1), new[:, :, None]], 2)
        rises = top_values(joined, center) - top_values(matrices, center)[:, None]
        for found in with_both_vectors(of_summary, matrices, new):
            hold(found[0], found[1], exact_gaps(shape, center), matrices, 1e-7)
            hold(found[2], found[3], rises, matrices + new, 1e-7)

    def test_of_more_than_the_top_value(self, shape: str, center: bool) -> None:
        matrices, size = tied_matrices(*SHAPES[shape]), min(SHAPES[shape])

        def values(matrices: np.ndarray) -> np.ndarray:
            centred = matrices - matrices.mean(-2, keepdims=True) if center else matrices
            found = np.linalg.svd(centred, compute_uv=False)
            return np.concatenate([found, np.zeros((*found.shape[:-1], size))], -1)[..., :size]

        def of_all(matrix: jax.Array):  # type: ignore[no-untyped-def]
            singular = leave_one_out_singular_values(matrix, size, center=center)
            return singular, examine_ky_fan(matrix, center=center).gap

        exact = values(without_each(matrices))
        drops = values(matrices).sum(-1)[:, None] - exact.sum(2)
        sizes = np.linalg.norm(matrices, axis=(1, 2))
        for singular, gaps in with_both_vectors(of_all, matrices):
            assert (np.abs(singular - exact) <= 1e-7 * sizes[:, None, None]).all()
            assert (np.abs(gaps - drops) <= 1e-7 * sizes[:, None]).all()


def test_the_case_that_was_found_on_a_processor_with_other_kernels() -> None:
    ids = [0, 1, 1, 1, 2, 3, 1, 1, 2, 4, 1, 3]
    found = examine_groups(np.eye(12, 5, dtype=np.float32), ids, num_groups=6, center=True)
    assert np.isfinite(found.error_bound).all()
    assert np.isfinite(found.gap).all()
