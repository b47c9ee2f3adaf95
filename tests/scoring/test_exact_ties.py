"""Exactly tied singular values: gaps are right and bounds finite, whichever eigenvectors of a tied space LAPACK happens to return.

Another BLAS kernel, thread count or processor returns other eigenvectors there. So each check runs twice: with LAPACK's own, and with
eigenvectors that are turned at random within every tied space, and eigenvalues moved by some roundings.
"""

from collections.abc import Iterator

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
from tests.support.spectra import top_singular_value

MATRICES = 150
GROUPS = 4
# AdaptiveSecular is Secular at these sizes.
SOLVERS = {"secular": Secular(), "masked-power": MaskedPower(), "dense": DenseSVD()}
SHAPES = [(14, 6), (5, 9)]


def tied_matrices(count: int, width: int) -> np.ndarray:
    """[MATRICES, count, width] of rows along the axes: permuted, with signs, rows and columns of zeros, repeats; few distinct lengths."""
    generator = np.random.default_rng(0)
    matrices = np.zeros((MATRICES, count, width))
    for number, matrix in enumerate(matrices):
        rank = generator.integers(1, width + 1)
        columns = [
            np.arange(count) % rank,  # as even as can be: ties before and after a row is left out
            generator.integers(0, rank, count),
            np.minimum(np.arange(count), rank),  # the identity, and then one direction again and again
        ][number % 3]
        lengths = generator.choice([1.0, 2.0, 0.5], count) if number % 5 == 0 else 1.0
        matrix[np.arange(count), np.minimum(columns, width - 1)] = lengths
        if number % 3 == 2:
            matrix[rank:] = 0
        if number % 4 == 1:
            matrix[generator.random(count) < 0.4] = 0
        if number % 7 == 3:
            matrix[:] = generator.choice([-1.0, 1.0], width) * (generator.random(count) < 0.7)[:, None]
        matrix *= generator.choice([-1.0, 1.0], (count, 1))
        matrix[:] = matrix[generator.permutation(count)][:, generator.permutation(width)]
    return matrices


def turned_eigh(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What another kernel could return: vectors turned within tied spaces, values off by some roundings."""
    values, vectors = _EIGH(matrix)
    size = values.shape[-1]
    generator = np.random.default_rng(size)
    rounding = 4 * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values), -1, keepdims=True)
    tied = jnp.abs(values[..., :, None] - values[..., None, :]) <= 2 * rounding[..., None]
    skew = jnp.asarray(np.triu(generator.normal(size=(size, size)), 1), values.dtype)
    skew = jnp.where(tied, skew - skew.T, 0)
    identity = jnp.eye(size, dtype=values.dtype)
    turn = jnp.linalg.solve(identity - skew, identity + skew)  # Cayley: orthogonal, and within the tied spaces alone
    moved = values + rounding * jnp.asarray(generator.uniform(-1, 1, size), values.dtype)
    return jnp.sort(moved, -1), jnp.matmul(vectors, turn, precision=jax.lax.Precision.HIGHEST)


_EIGH = jnp.linalg.eigh


@pytest.fixture(params=["lapack's vectors", "turned vectors"], scope="module")
def vectors(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "lapack's vectors":
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jnp.linalg, "eigh", turned_eigh)
        jax.clear_caches()
        yield
    jax.clear_caches()


def reference(matrix: np.ndarray, without: list[np.ndarray], center: bool) -> np.ndarray:
    sigma = top_singular_value(matrix.astype(np.float64), center)
    return sigma - np.array([top_singular_value(left.astype(np.float64), center) for left in without])


def hold(gaps: np.ndarray, bounds: np.ndarray, exact: np.ndarray, matrices: np.ndarray, most: float) -> None:
    """Gaps and bounds are finite, bounds are true, and no larger than `most` of the matrix' size."""
    sizes = np.linalg.norm(matrices, axis=(1, 2))[:, None]
    assert np.isfinite(gaps).all()
    assert np.isfinite(bounds).all()
    error = np.abs(gaps.astype(np.float64) - exact)
    assert (error <= bounds.astype(np.float64) + 8e-16 * sizes).all()
    assert (error <= most * sizes + 8e-16 * sizes).all()


@pytest.mark.usefixtures("vectors")
@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
@pytest.mark.parametrize("shape", SHAPES, ids=["tall", "wide"])
class TestExactTies:
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_of_rows(self, shape: tuple[int, int], center: bool, solver: str) -> None:
        matrices = tied_matrices(*shape).astype(np.float32 if shape == (14, 6) else np.float64)
        found = jax.jit(jax.vmap(lambda m: examine(m, solver=SOLVERS[solver], center=center)[:5]))
        with jax.enable_x64(True):
            _, gaps, _, _, bounds = jax.tree.map(np.asarray, found(matrices))
        exact = np.stack([reference(m, [np.delete(m, i, 0) for i in range(len(m))], center) for m in matrices])
        hold(gaps, bounds, exact, matrices, 1e-6 if matrices.dtype == np.float32 else 1e-7)

    def test_of_groups(self, shape: tuple[int, int], center: bool) -> None:
        matrices = tied_matrices(*shape).astype(np.float32 if shape == (14, 6) else np.float64)
        ids = np.random.default_rng(1).integers(0, GROUPS, matrices.shape[:2])
        found = jax.jit(jax.vmap(lambda m, g: examine_groups(m, g, num_groups=GROUPS, center=center)[:5]))
        with jax.enable_x64(True):
            _, gaps, _, _, bounds = jax.tree.map(np.asarray, found(matrices, ids))
        exact = np.stack(
            [
                np.where(np.isin(np.arange(GROUPS), g), reference(m, [m[g != k] for k in range(GROUPS)], center), 0)
                for m, g in zip(matrices, ids)
            ]
        )
        hold(gaps, bounds, exact, matrices, 1e-6)

    def test_of_a_summary_members_and_newcomers(self, shape: tuple[int, int], center: bool) -> None:
        matrices = tied_matrices(*shape)
        new = np.roll(matrices, 1, 0)

        def of_summary(matrix: jax.Array, others: jax.Array):  # type: ignore[no-untyped-def]
            spectrum = SpectralSummary.of(matrix).spectrum(center)
            members, newcomers = spectrum.examine(matrix), spectrum.examine_new(others)
            return members.gap, members.error_bound, newcomers.gap, newcomers.error_bound

        with jax.enable_x64(True):
            found = jax.tree.map(np.asarray, jax.jit(jax.vmap(of_summary))(matrices, new))
        exact = np.stack([reference(m, [np.delete(m, i, 0) for i in range(len(m))], center) for m in matrices])
        hold(found[0], found[1], exact, matrices, 1e-7)
        exact = np.stack(
            [-reference(m, [np.concatenate([m, row[None]]) for row in rows], center) for m, rows in zip(matrices, new)]
        )
        hold(found[2], found[3], exact, matrices + new, 1e-7)

    def test_of_more_than_the_top_value(self, shape: tuple[int, int], center: bool) -> None:
        matrices, size = tied_matrices(*shape), min(shape)

        def values(matrix: np.ndarray) -> np.ndarray:
            found = np.linalg.svd(matrix - matrix.mean(0) if center else matrix, compute_uv=False)
            return np.concatenate([found, np.zeros(size)])[:size]

        def of_all(matrix: jax.Array):  # type: ignore[no-untyped-def]
            singular = leave_one_out_singular_values(matrix, size, center=center)
            return singular, examine_ky_fan(matrix, center=center).gap

        with jax.enable_x64(True):
            singular, gaps = jax.tree.map(np.asarray, jax.jit(jax.vmap(of_all))(matrices))
        exact = np.stack([[values(np.delete(m, i, 0)) for i in range(len(m))] for m in matrices])
        sizes = np.linalg.norm(matrices, axis=(1, 2))
        assert (np.abs(singular - exact) <= 1e-7 * sizes[:, None, None]).all()
        falls = np.stack([values(m).sum() for m in matrices])[:, None] - exact.sum(2)
        assert (np.abs(gaps - falls) <= 1e-7 * sizes[:, None]).all()

    def test_of_derivatives_which_are_finite(self, shape: tuple[int, int], center: bool) -> None:
        matrices = tied_matrices(*shape).astype(np.float32)
        found = jax.jit(jax.vmap(jax.grad(lambda m: examine(m, center=center).gap.sum())))(matrices)
        assert np.isfinite(found).all()
        # Each gap is a difference of two singular values, whose subgradients have length one.
        assert np.abs(found).max() <= 2 * shape[0]


def test_the_case_that_was_found_on_a_processor_with_other_kernels() -> None:
    ids = [0, 1, 1, 1, 2, 3, 1, 1, 2, 4, 1, 3]
    found = examine_groups(np.eye(12, 5, dtype=np.float32), ids, num_groups=6, center=True)
    assert np.isfinite(found.error_bound).all()
    assert np.isfinite(found.gap).all()
