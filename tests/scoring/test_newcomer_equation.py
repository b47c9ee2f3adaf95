"""The rank-one update's root, against LAPACK's dlasd4, which solves the same equation."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg.lapack import dlasd4

from examine_jax.scoring.equations.float64 import with_float64
from examine_jax.scoring.equations.newcomer_equation import NewCoordinates, NewErrors, solve
from examine_jax.scoring.equations.secular_equation import Roots

ROWS, SIZE = 64, 8


@with_float64
def _compiled(first, rest, poles, shift):  # type: ignore[no-untyped-def]
    coordinates = NewCoordinates(first, rest, poles, jnp.ones_like(first))
    norm = jnp.sqrt(first + jnp.sum(rest, 1))
    return solve(coordinates, NewErrors(norm, 1e-16 * norm, jnp.float64(0), shift), 4e-16)


def _solve(*arrays: np.ndarray) -> Roots:
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, _compiled(*arrays))


def _hostile(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Square roots of eigenvalues, ascending; rows' coordinates along them."""
    generator = np.random.default_rng(seed)
    roots = np.sort(10.0 ** generator.uniform(-3, 0, SIZE))
    if seed % 3 == 1:
        roots[-2] = roots[-1] * (1 - 10.0 ** generator.uniform(-9, -1))
    coordinates = generator.normal(size=(ROWS, SIZE)) * 10.0 ** generator.uniform(-4, 2, (ROWS, 1))
    coordinates *= 10.0 ** generator.uniform(-6, 0, (ROWS, SIZE))
    return np.unique(roots), coordinates


def test_roots_and_bounds_hold_against_lapack() -> None:
    worst = 0.0
    for seed in range(30):
        roots, rows = _hostile(seed)
        poles = (roots[-1] - roots[-2::-1]) * (roots[-1] + roots[-2::-1])
        found = _solve(rows[:, -1] ** 2, rows[:, -2::-1] ** 2, poles, np.zeros(ROWS))
        assert (found.steps < 60).all()
        for row, t, bound in zip(rows, found.t, found.bound):
            norm = np.linalg.norm(row)
            delta, _, work, info = dlasd4(SIZE - 1, roots, row / norm, norm**2)
            assert info == 0
            exact = -delta[-1] * work[-1]
            # dlasd4 itself is off by up to 2e-14 of the root (seen in extended precision); ours by
            # 7e-15.
            assert abs(t - exact) <= bound + 5e-14 * exact
            assert bound <= max(1e-9 * exact, 1e-12 * norm**2)
            worst = max(worst, abs(t - exact) / exact)
    assert worst <= 5e-14, "also where the root is nearly a double one"


def test_the_bound_covers_an_error_of_the_matrix() -> None:
    generator = np.random.default_rng(0)
    for seed in range(10):
        roots, rows = _hostile(3 * seed)
        values = roots**2
        shift = 1e-7
        error = generator.normal(size=(SIZE, SIZE))
        error = (error + error.T) / 2
        error[-1, :] = error[:, -1] = 0  # the turn of the first eigenvector is an error of its own
        error *= shift / np.linalg.norm(error, 2)
        found = _solve(
            rows[:, -1] ** 2,
            rows[:, -2::-1] ** 2,
            values[-1] - values[-2::-1],
            np.full(ROWS, shift),
        )
        for row, t, bound in zip(rows, np.asarray(found.t), np.asarray(found.bound)):
            moved = np.diag(values) + error
            exact = (
                np.linalg.eigvalsh(moved + np.outer(row, row))[-1] - np.linalg.eigvalsh(moved)[-1]
            )
            assert abs(t - exact) <= bound + 1e-14 * (1 + row @ row)


def test_degenerate_rows_have_the_roots_that_the_definition_gives() -> None:
    first, rest = np.zeros(ROWS), np.zeros((ROWS, SIZE - 1))
    poles = np.linspace(0.25, 1, SIZE - 1)
    rest[0, 0] = 0.2  # orthogonal to the leading vector, and too small to overtake it
    rest[1, 0] = 0.25  # just as large: a double root at 0
    rest[2, 0] = 0.75  # overtakes it by 0.5
    first[3] = 0.3  # along it
    rest[4, :] = 1e-300
    found = _solve(first, rest, poles, np.zeros(ROWS))
    np.testing.assert_allclose(
        np.asarray(found.t)[:6], [0, 0, 0.5, 0.3, 0, 0], rtol=1e-15, atol=1e-15
    )
    assert (np.asarray(found.bound)[:6] <= 1e-13).all()
    tied = _solve(first, rest, np.zeros(SIZE - 1), np.zeros(ROWS))  # all eigenvalues one: t = |f|^2
    np.testing.assert_allclose(np.asarray(tied.t)[:4], [0.2, 0.25, 0.75, 0.3], rtol=1e-15)
