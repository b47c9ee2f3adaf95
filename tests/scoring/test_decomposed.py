"""Direct calls with no more rows than columns, which NumPy decomposes at their own size."""

import sys
import threading
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.scoring import Path, Secular, examine, padding
from examine_jax.scoring.decomposed import can_be_decomposed
from examine_jax.scoring.equations import blas_threads
from tests.scoring.test_padding import COMPILED
from tests.support.spectra import SPECTRA, reference_gaps

WIDE = {name: rows for name, rows in SPECTRA.items() if rows.shape[0] <= rows.shape[1]}
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(48, 48)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_call_is_cheap() -> Iterator[None]:
    """Small matrices take the way of large ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(padding, "_CHEAP_CALL", 0)
        yield


@pytest.mark.parametrize(
    ("center", "dtype"), [(False, np.float32), (True, np.float64)], ids=["as-is", "centred"]
)
def test_gaps_are_within_their_bounds(center: bool, dtype: type[np.floating]) -> None:
    generator = np.random.default_rng(1)
    for rows in WIDE.values():
        rows = rows.astype(dtype)
        assert can_be_decomposed(Secular(), rows, None)
        where = generator.random(len(rows)) < 0.8
        where[:2] = True
        for mask in (None, where):
            present = slice(None) if mask is None else mask
            found = examine(rows, center=center, where=mask)
            gap = np.asarray(found.gap, np.float64)
            exact, noise = reference_gaps(rows[present], center)
            error = np.abs(gap[present] - exact)
            assert (error <= np.asarray(found.error_bound)[present] + noise).all()
            assert found.gap.dtype == dtype
            assert found.gap.shape == (len(rows),)
            assert int(found.diagnostics.path) == Path.FULL_FLOAT64
            if mask is not None:
                assert not gap[~mask].any()
                assert not np.asarray(found.error_bound)[~mask].any()


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("factor", [1.0, 2.0**-140, 1e30], ids=["as-is", "tiny", "huge"])
def test_they_are_those_of_a_users_jit(center: bool, factor: float) -> None:
    rows = (ROWS[:40].astype(np.float64) * factor).astype(np.float32)
    found = examine(rows, center=center)
    expected = jax.jit(lambda rows: examine(rows, center=center))(rows)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(found[:4], expected[:4]):
        np.testing.assert_allclose(one, other, rtol=2e-7, atol=2 * float(found.error_bound.max()))
    assert (np.asarray(found.error_bound) <= 1.01 * np.asarray(expected.error_bound)).all()


def test_many_numbers_of_rows_share_programs() -> None:
    compiled: list[str] = []

    def count(name: str, seconds: float, **_: object) -> None:
        compiled.extend([name] if name == COMPILED else [])

    jax.monitoring.register_event_duration_secs_listener(count)
    for number in range(2, 49):
        assert examine(ROWS[:number], where=np.arange(number) != 1).gap.shape == (number,)
    jax.monitoring.unregister_event_duration_listener(count)
    assert len(compiled) <= 4


def test_a_result_does_not_depend_on_other_calls_and_threads() -> None:
    first = examine(ROWS[:37])
    examine(ROWS[:41])
    results: list[object] = []
    workers = [
        threading.Thread(target=lambda: results.append(examine(ROWS[:37]))) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 3
    for other in results:
        jax.tree.map(np.testing.assert_array_equal, other, first)


def test_rows_that_are_absent_or_not_finite() -> None:
    rows = ROWS[:20].copy()
    rows[3, 4] = np.nan
    with pytest.raises(ValueError, match="in 1 of 20 rows: 3"):
        examine(rows)
    rows[3, 4] = -np.inf
    with pytest.raises(ValueError, match="in 1 of 20 rows: 3"):
        examine(rows)
    assert np.isfinite(examine(rows, where=np.arange(20) != 3).gap).all()
    nothing = examine(rows, where=np.zeros(20, bool), center=True)
    assert not np.asarray(nothing.gap).any()
    assert float(nothing.singular_value) == 0


def test_nothing_is_transferred_unasked() -> None:
    rows = jnp.asarray(ROWS[:21], jnp.bfloat16)
    with jax.transfer_guard("disallow"):
        found = examine(rows)
    assert found.gap.dtype == np.float32


def test_the_number_of_threads_is_restored() -> None:
    libraries = blas_threads._libraries(False)
    before = [library.number() for library in libraries]
    with blas_threads.one_blas_thread():
        with blas_threads.one_blas_thread():
            assert all(library.number() == 1 for library in libraries)
        assert all(library.number() == 1 for library in libraries)
    assert [library.number() for library in libraries] == before


def test_programs_of_small_eigenproblems_run_with_one_thread() -> None:
    seen: list[list[int]] = []

    def compute(rows: jax.Array) -> jax.Array:
        libraries = blas_threads._libraries(True)
        seen.append([library.number() for library in libraries])
        return rows

    blas_threads.call_for(blas_threads.SMALL, compute, jnp.ones(2))
    before = [library.number() for library in blas_threads._libraries(True)]
    assert blas_threads._LAPACK_OF_JAX in sys.modules  # it is loaded before its first use
    assert set(seen[0]) <= {1}
    blas_threads.call_for(blas_threads.SMALL + 1, compute, jnp.ones(2))
    assert seen[1] == before
    # A trace does not wait, and changes no setting.
    jax.jit(lambda rows: blas_threads.call_for(2, compute, rows))(jnp.ones(2))
    assert seen[2] == before
