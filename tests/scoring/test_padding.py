"""Direct calls with many numbers of rows share programs, and give the values of their own rows."""

import collections
from collections.abc import Callable, Iterator

import jax
import numpy as np
import pytest

from examine_jax.scoring import (
    Path,
    Secular,
    SpectralSummary,
    examine,
    examine_groups,
    leave_one_out_singular_values,
    padding,
)
from examine_jax.scoring.padding import next_size, pad, padded_count
from tests.support.spectra import reference_gaps

COMPILED = "/jax/core/compile/backend_compile_duration"
ROWS = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
SIZES = np.unique(np.random.default_rng(1).integers(100, 2001, 230))[:200]
SMALL = ROWS[:60, :6]


@pytest.fixture
def compiled() -> Iterator[collections.Counter[str]]:
    counter: collections.Counter[str] = collections.Counter()

    def count(name: str, seconds: float, **_: object) -> None:
        counter[name] += 1

    jax.monitoring.register_event_duration_secs_listener(count)
    yield counter
    jax.monitoring.unregister_event_duration_listener(count)


def test_two_hundred_numbers_of_rows_compile_at_most_twelve_programs(
    compiled: collections.Counter[str],
) -> None:
    narrow = ROWS[:, :8]  # compiles as many programs as 64 columns do, in less time
    sizes = {padded_count(int(count)) for count in SIZES}
    assert len(SIZES) == 200
    assert len(sizes) <= 12
    compiled.clear()
    for count in SIZES:
        assert examine(narrow[:count]).gap.shape == (count,)
    assert compiled[COMPILED] <= 12


FUNCTIONS: dict[str, Callable[[np.ndarray], object]] = {
    "examine": lambda rows: examine(rows, center=True),
    "groups": lambda rows: examine_groups(
        rows, np.arange(len(rows)) // 3, num_groups=-(-len(rows) // 3)
    ),
    "singular-values": lambda rows: leave_one_out_singular_values(rows, 2),
    "newcomers": lambda rows: SpectralSummary.of(rows).examine_new(rows),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_padded_rows_change_nothing(name: str, compiled: collections.Counter[str]) -> None:
    function, rows = FUNCTIONS[name], SMALL[:50]
    found = function(rows)
    expected = jax.jit(function)(rows)  # not padded
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
        assert isinstance(one, jax.Array)
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        if one.dtype == np.float32:
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    compiled.clear()
    function(SMALL[:53])
    assert not compiled[COMPILED]


@pytest.mark.parametrize(("shape", "center"), [((5, 16), True), ((13, 16), False), ((40, 6), True)])
def test_gaps_are_those_of_the_rows_alone(shape: tuple[int, int], center: bool) -> None:
    rows = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    rows[2], rows[3] = 0, rows[4]
    exact, noise = reference_gaps(rows, center)
    found = examine(rows, center=center)
    assert (np.abs(found.gap - exact) <= np.asarray(found.error_bound) + noise).all()
    assert int(found.diagnostics.path) == Path.FULL_FLOAT64
    where = np.arange(len(rows)) != 1
    exact, noise = reference_gaps(rows[where], center)
    masked = examine(rows, center=center, where=where)
    error = np.abs(np.asarray(masked.gap)[where] - exact)
    assert (error <= np.asarray(masked.error_bound)[where] + noise).all()
    assert float(masked.gap[1]) == float(masked.error_bound[1]) == 0


def test_padding_crosses_no_limit() -> None:
    for width in (3, 64, 100, 768, 1000):
        limits = Secular().row_limits(width)
        for count in (*range(2, 200), 511, 512, 513, 1000, 3000, 3641, 20_000):
            size = padded_count(count, limits)
            assert size >= count
            assert all((count <= limit) == (size <= limit) for limit in limits)


def test_sizes_are_few_and_never_smaller() -> None:
    assert [next_size(count) for count in (1, 2, 3, 5, 6, 7, 100, 129)] == [
        1, 2, 3, 6, 6, 8, 128, 192,
    ]  # fmt: skip


def test_what_is_not_padded() -> None:
    wide = np.zeros((2**14 + 1, 2**10), np.float32)
    assert pad(wide, None, (2**10,)).rows is wide
    assert pad(SMALL, None, None).rows is SMALL
    on_grid = np.zeros((512, 1024), np.float32)
    assert pad(on_grid, None, (1024,)) == (on_grid, None, 512)
    lowered = jax.jit(lambda rows: examine(rows).gap).lower(SMALL[:50])
    assert lowered.out_info.shape == (50,)
    assert "tensor<64x6x" not in lowered.as_text()


CALLS: dict[str, Callable[[object], object]] = {
    "examine": lambda rows: examine(rows).gap,
    "groups": lambda rows: examine_groups(rows, np.arange(19) % 3, num_groups=3).gap,
    "singular-values": lambda rows: leave_one_out_singular_values(rows, 2),
    "summary": lambda rows: SpectralSummary.of(rows).mean.astype(np.float32),
    "newcomers": lambda rows: SpectralSummary.of(SMALL).examine_new(rows).gap,
}


@pytest.mark.parametrize("name", CALLS)
def test_known_features_may_be_scored_inside_a_users_jit(name: str) -> None:
    rows = SMALL[:19]
    inside = jax.jit(lambda factor: CALLS[name](rows) * factor)(np.float32(1))
    np.testing.assert_allclose(inside, CALLS[name](rows), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["examine", "singular-values", "summary"])
def test_rows_on_a_device_cause_no_transfer_that_the_user_did_not_ask_for(name: str) -> None:
    rows = jax.numpy.asarray(SMALL[:19])
    with jax.transfer_guard_host_to_device("disallow"):
        CALLS[name](rows)


def test_costly_calls_share_programs_too(
    compiled: collections.Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(padding, "_CHEAP_CALL", 0)
    for count in (50, 49, 52):
        found = examine(SMALL[:count], solver=Secular())
        exact, noise = reference_gaps(SMALL[:count])
        error = np.abs(np.asarray(found.gap) - exact)
        assert (error <= np.asarray(found.error_bound) + noise).all()
        if count == 50:
            compiled.clear()
    assert not compiled[COMPILED]
    monkeypatch.setattr(padding, "_MOST_ENTRIES", 100)
    assert pad(SMALL, None, (6,), costly_too=True).rows is SMALL
