"""Summaries against float64 singular values with rows literally deleted and added."""

import pathlib

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.scoring.summary import SpectralSummary
from tests.support.spectra import reference_gaps, top_singular_value, with_spectrum

# All of these shapes, so that they share compilations.
ROWS, WIDTH, PART = 24, 6, 8


def _corpora() -> dict[str, tuple[np.ndarray, int]]:
    """Rows, and how many of them are there (the first)."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(ROWS, WIDTH))
    table = {f"mean-{mean:g}": (noise + mean, ROWS) for mean in (0, 1, 10, 100, 1e4)}
    for name, values in {
        "decaying": np.exp(-np.arange(WIDTH)),
        "low-rank": [3.0, 1],
        "nearly-tied": [5, 4.9975, 4.997, 1, 1, 1],
        "tied": np.ones(WIDTH),
    }.items():
        table[name] = (with_spectrum(ROWS, WIDTH, np.asarray(values), 1), ROWS)
    table["fewer-rows-than-columns"] = (noise + 3, 4)
    table["two-rows"] = (noise, 2)
    table["one-row"] = (noise, 1)
    table["huge"] = (1e30 * noise, ROWS)
    table["tiny"] = (1e-30 * noise, ROWS)
    table["zeros"] = (0 * noise, ROWS)
    table["a-repeated-row"] = (np.ones((ROWS, 1)) * noise[:1], ROWS)
    return table


CORPORA = _corpora()


def _of(name: str, dtype: type) -> tuple[SpectralSummary, np.ndarray]:
    rows, count = CORPORA[name]
    padded = rows.astype(dtype)
    padded[count:] = np.nan  # rows that are not there may hold anything
    return SpectralSummary.of(padded, np.arange(ROWS) < count), rows.astype(dtype)[:count]


def _newcomers(corpus: np.ndarray) -> np.ndarray:
    """Rows like the corpus, along it, across it, far from it, members again, and nothing."""
    generator = np.random.default_rng(1)
    spread = np.abs(corpus).max() or 1
    mean = corpus.astype(np.float64).mean(0)
    rows = np.concatenate(
        [
            mean + spread * generator.normal(size=(8, WIDTH)),
            mean + 1e-3 * spread * generator.normal(size=(4, WIDTH)),
            30 * spread * generator.normal(size=(4, WIDTH)),
            np.resize(corpus, (4, WIDTH)),
            -mean[None],
            spread * np.eye(WIDTH)[:2],
            np.zeros((1, WIDTH)),
        ]
    )
    return rows.astype(corpus.dtype)


def _gaps_of_newcomers(
    corpus: np.ndarray, rows: np.ndarray, center: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Gaps by a singular value decomposition for every row, the rounding of those, and sigma."""
    corpus, rows = corpus.astype(np.float64), rows.astype(np.float64)
    sigma = top_singular_value(corpus, center)
    together = np.array(
        [top_singular_value(np.concatenate([corpus, row[None]]), center) for row in rows]
    )
    noise = 8e-16 * (np.linalg.norm(corpus) + np.linalg.norm(rows, axis=1))
    return together - sigma, noise, sigma


def _assert_accurate(
    gap: jax.Array, bound: jax.Array, exact: np.ndarray, noise: np.ndarray | float
) -> None:
    error = np.abs(np.asarray(gap, np.float64) - exact)
    largest = np.abs(exact).max()
    assert (error <= 1e-6 * largest + noise).all()
    big = exact > 0.01 * largest
    assert (error <= np.where(big, 1e-5 * exact, np.inf) + noise).all()
    assert (error <= np.asarray(bound, np.float64) + noise).all(), "the error bound is a bound"


@pytest.mark.parametrize(
    ("dtype", "center"), [(np.float32, False), (np.float32, True), (np.float64, True)]
)
@pytest.mark.parametrize("name", [name for name in CORPORA if name != "one-row"])
def test_members_gaps_equal_svds_with_the_row_deleted(name: str, dtype: type, center: bool) -> None:
    summary, corpus = _of(name, dtype)
    found = summary.examine(np.resize(corpus, (ROWS, WIDTH)), center=center)
    exact, noise = reference_gaps(corpus, center)
    count = len(corpus)
    _assert_accurate(found.gap[:count], found.error_bound[:count], exact, noise)
    assert found.gap.dtype == found.score.dtype == dtype
    np.testing.assert_allclose(
        found.singular_value,
        top_singular_value(corpus.astype(float), center),
        rtol=2e-7,
        atol=noise,
    )
    np.testing.assert_allclose(found.score, np.exp(-np.asarray(found.gap)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CORPORA)
def test_newcomers_gaps_equal_svds_with_the_row_added(name: str, dtype: type, center: bool) -> None:
    summary, corpus = _of(name, dtype)
    rows = _newcomers(corpus)
    found = summary.examine_new(rows, center=center)
    exact, noise, sigma = _gaps_of_newcomers(corpus, rows, center)
    _assert_accurate(found.gap, found.error_bound, exact, noise)
    assert found.gap.dtype == found.score.dtype == dtype
    assert (np.asarray(found.gap) >= 0).all()
    np.testing.assert_allclose(found.singular_value, sigma, rtol=2e-7, atol=noise.max())
    np.testing.assert_allclose(
        found.singular_value_with, sigma + exact, rtol=2e-7, atol=noise.max()
    )
    np.testing.assert_allclose(found.score, np.exp(-np.asarray(found.gap)), rtol=1e-6, atol=1e-7)


def test_float64_gaps_are_float64_while_x64_is_off() -> None:
    assert not jax.config.jax_enable_x64
    summary, corpus = _of("mean-100", np.float64)
    exact, noise = reference_gaps(corpus, center=True)
    found = np.asarray(summary.examine(corpus, center=True).gap)
    assert np.abs(found - exact).max() <= 1e-11 * exact.max() + noise
    rows = _newcomers(corpus)
    for center in (False, True):
        exact, noise, _ = _gaps_of_newcomers(corpus, rows, center)
        found = np.asarray(summary.examine_new(rows, center=center).gap)
        assert (np.abs(found - exact) <= 1e-11 * exact + 2 * noise).all()


def test_a_newcomer_far_beyond_the_corpus_does_not_overflow_or_spoil_its_neighbours() -> None:
    summary, corpus = _of("mean-1", np.float64)
    rows = _newcomers(corpus)
    alone = np.asarray(summary.examine_new(rows).gap)
    rows[5] = 1e300
    found = np.asarray(summary.examine_new(rows).gap)
    assert found[5] == pytest.approx(np.sqrt(WIDTH) * 1e300, rel=1e-14)
    np.testing.assert_array_equal(np.delete(found, 5), np.delete(alone, 5))


def test_a_newcomer_that_joins_is_then_a_member_with_the_same_gap() -> None:
    summary, corpus = _of("mean-10", np.float64)
    rows = _newcomers(corpus)
    rise = np.asarray(summary.examine_new(rows, center=True).gap)
    for i in (0, 13):
        joined = summary.update(np.resize(rows[i], (PART, WIDTH)), np.arange(PART) < 1)
        fall = np.asarray(joined.examine(rows, center=True).gap)[i]
        assert fall == pytest.approx(rise[i], rel=1e-9)


def _same(one: SpectralSummary, other: SpectralSummary) -> None:
    """Equal to the rounding that they admit themselves."""
    assert float(one.count) == float(other.count)
    ratio = float(one.scale) / float(other.scale)
    mean = np.asarray(one.mean) - np.asarray(other.mean) * ratio
    assert np.linalg.norm(mean) <= float(one.mean_error) + float(other.mean_error) * ratio
    scatter = np.asarray(one.scatter) - np.asarray(other.scatter) * ratio**2
    assert (
        np.linalg.norm(scatter, 2)
        <= float(one.scatter_error) + float(other.scatter_error) * ratio**2
    )


PARTS = {
    (mean, index): (
        10.0**index * np.random.default_rng(index).normal(size=(PART, WIDTH)) + mean
    ).astype(np.float32)
    for mean in (0.0, 1e4)
    for index in range(6)
}


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(
    st.sampled_from([0.0, 1e4]),
    st.permutations(range(6)),
    st.lists(st.integers(0, 9), min_size=5, max_size=5),
)
def test_merges_in_any_order_and_grouping_are_the_whole(
    mean: float, order: list[int], choices: list[int]
) -> None:
    summaries = [SpectralSummary.of(PARTS[mean, index]) for index in order]
    for choice in choices:
        left = summaries.pop(choice % len(summaries))
        at = choice % len(summaries)
        summaries[at] = left.merge(summaries[at])
    (merged,) = summaries
    rows = np.concatenate([PARTS[mean, index] for index in range(6)]).astype(np.float64)
    assert float(merged.count) == len(rows)
    scale = float(merged.scale)
    np.testing.assert_allclose(np.asarray(merged.mean), rows.mean(0) * scale, rtol=1e-14)
    centred = (rows - rows.mean(0)) * scale
    error = np.asarray(merged.scatter) - centred.T @ centred
    assert np.linalg.norm(error, 2) <= float(merged.scatter_error)
    assert float(merged.scatter_error) <= 1e-11 * np.trace(centred.T @ centred)


def test_a_merge_does_not_depend_on_the_order_of_two() -> None:
    one, other = (SpectralSummary.of(PARTS[1e4, index]) for index in (1, 2))
    for x, y in zip(one.merge(other), other.merge(one)):
        np.testing.assert_array_equal(x, y)


def test_rows_added_one_part_at_a_time_are_the_whole() -> None:
    _, corpus = _of("mean-100", np.float32)
    summary = (
        SpectralSummary.of(corpus[:PART]).update(corpus[PART : 2 * PART]).update(corpus[2 * PART :])
    )
    _same(summary, SpectralSummary.of(corpus, np.ones(ROWS, bool)))


def test_what_is_left_after_a_removal_is_as_if_it_had_never_been_there() -> None:
    for name in ("mean-0", "mean-100", "mean-10000", "huge"):
        summary, corpus = _of(name, np.float32)
        left = summary.remove(corpus[:PART])
        _same(
            left,
            SpectralSummary.of(
                np.resize(corpus[PART:], corpus.shape), np.arange(ROWS) < ROWS - PART
            ),
        )
        _same(left.update(corpus[:PART]), summary)
        for center in (False, True):
            exact, noise = reference_gaps(corpus[PART:], center)
            found = left.examine(np.resize(corpus[PART:], corpus.shape), center=center)
            stay = ROWS - PART
            _assert_accurate(found.gap[:stay], found.error_bound[:stay], exact, 2 * noise)


def test_all_rows_can_be_removed_and_others_come_instead() -> None:
    part, other = PARTS[0.0, 1], PARTS[0.0, 2]
    empty = SpectralSummary.of(part).remove(part)
    assert float(empty.count) == 0
    assert not np.asarray(empty.scatter).any()
    _same(empty.update(other), SpectralSummary.of(other))


def test_removals_that_cannot_be_are_refused() -> None:
    part = PARTS[0.0, 1]
    summary = SpectralSummary.of(part)
    with pytest.raises(ValueError, match="remove 8 rows from a summary of 7"):
        summary.remove(part, np.arange(PART) < 1).remove(part)
    with pytest.raises(ValueError, match="cannot all have been among"):
        summary.remove(100 * part, np.arange(PART) < 2)
    with pytest.raises(ValueError, match="rounding errors are too large"):
        SpectralSummary.of(part).update(1e20 * part).remove(1e20 * part)


@pytest.mark.parametrize("name", ["mean-100", "tiny", "one-row", "zeros"])
def test_a_saved_summary_comes_back_to_the_last_bit(name: str, tmp_path: pathlib.Path) -> None:
    summary, corpus = _of(name, np.float64)
    summary.save(tmp_path / "corpus.npz")
    loaded = SpectralSummary.load(tmp_path / "corpus.npz")
    for x, y in zip(loaded, summary):
        assert isinstance(x, jax.Array)
        assert x.dtype == np.float64
        assert x.shape == y.shape
        np.testing.assert_array_equal(x, y)
    rows = _newcomers(corpus)
    np.testing.assert_array_equal(loaded.examine_new(rows).gap, summary.examine_new(rows).gap)
    assert [file.name for file in tmp_path.iterdir()] == ["corpus.npz"]


def test_a_summary_that_cannot_be_read_or_written_says_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        SpectralSummary.load(tmp_path / "none.npz")
    with pytest.raises(OSError, match="cannot write"):
        SpectralSummary.of(PARTS[0.0, 1]).save(tmp_path / "none" / "corpus.npz")


def test_unusable_rows_are_refused_with_the_reason() -> None:
    part = PARTS[0.0, 1]
    summary = SpectralSummary.of(part)
    bad = np.resize(part, (ROWS, WIDTH))
    bad[3, 1], bad[7, 0] = np.nan, np.inf
    for use in (summary.examine, summary.examine_new):
        with pytest.raises(ValueError, match=r"2 of 24 rows: 3, 7"):
            use(bad)
        with pytest.raises(ValueError, match="6 columns, these rows have 5"):
            use(np.ones((4, 5), np.float32))
        with pytest.raises(ValueError, match="floating"):
            use(np.ones((4, WIDTH), int))
        with pytest.raises(ValueError, match=r"\[M, D\]"):
            use(np.ones(WIDTH))
    with pytest.raises(ValueError, match=r"2 of 24 rows: 3, 7"):
        SpectralSummary.of(bad, np.ones(ROWS, bool))
    with pytest.raises(ValueError, match="6 columns, these rows have 5"):
        summary.update(np.ones((4, 5), np.float32))
    with pytest.raises(ValueError, match="6 columns, these rows have 5"):
        summary.remove(np.ones((4, 5), np.float32))
    with pytest.raises(ValueError, match="one entry per row"):
        SpectralSummary.of(part, np.ones(3, bool))
    with pytest.raises(ValueError, match="at least two rows; this one has 1"):
        SpectralSummary.of(part, np.arange(PART) < 1).examine(part)


def test_byte_order_does_not_matter() -> None:
    part = PARTS[0.0, 1]
    swapped = part.astype(">f4")
    summary = SpectralSummary.of(part)
    for one, other in zip(SpectralSummary.of(swapped), summary):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(summary.examine(swapped).gap, summary.examine(part).gap)
    np.testing.assert_array_equal(summary.examine_new(swapped).gap, summary.examine_new(part).gap)


def test_summaries_of_other_widths_do_not_merge() -> None:
    wide = SpectralSummary(*(jnp.zeros(shape) for shape in ((), (5,), (5, 5), (), (), ())))
    with pytest.raises(ValueError, match="6 and 5 columns"):
        SpectralSummary.of(PARTS[0.0, 1]).merge(wide)


def test_summaries_pass_through_jit_vmap_and_scan_in_float64() -> None:
    parts = np.stack([PARTS[1e4, index] for index in range(3)])
    rows = PARTS[0.0, 1] + 1e4
    whole = SpectralSummary.of(parts[0]).update(parts[1]).update(parts[2])
    expected = whole.examine_new(rows, center=True).gap

    batch = jax.jit(jax.vmap(SpectralSummary.of))(parts)
    assert batch.scatter.dtype == np.float64
    for index in range(3):
        _same(
            jax.tree.map(lambda x, index=index: x[index], batch), SpectralSummary.of(parts[index])
        )

    @jax.jit
    def folded(parts: jax.Array, rows: jax.Array) -> jax.Array:
        first = SpectralSummary.of(parts[0])
        summary, _ = jax.lax.scan(
            lambda summary, part: (summary.update(part), None), first, parts[1:]
        )
        return summary.examine_new(rows, center=True).gap

    np.testing.assert_allclose(folded(parts, rows), expected, rtol=1e-6)
    assert not jax.config.jax_enable_x64


def test_under_jit_nan_rows_give_nan_and_their_neighbours_numbers() -> None:
    summary, corpus = _of("mean-1", np.float32)
    spectrum = summary.spectrum()
    rows = corpus.copy()
    rows[3, 2], rows[4, 0] = np.nan, np.inf
    for examine_rows in (spectrum.examine, spectrum.examine_new):
        found = jax.jit(lambda x, f=examine_rows: f(x))(rows)
        np.testing.assert_array_equal(np.isnan(found.gap), np.isin(np.arange(ROWS), [3, 4]))
        np.testing.assert_array_equal(np.isnan(found.score), np.isin(np.arange(ROWS), [3, 4]))
        np.testing.assert_array_equal(np.isnan(found.error_bound), np.isin(np.arange(ROWS), [3, 4]))


def test_no_operation_transfers_what_the_user_did_not_ask_for() -> None:
    rows = jnp.asarray(CORPORA["mean-1"][0], jnp.float32)
    part = rows[:PART]
    whole = SpectralSummary.of(rows)
    # As version 0.1.0 made it: without the rounding errors of mean and scatter.
    short = SpectralSummary(*whole[:6])
    with jax.transfer_guard("disallow"):
        for summary in (whole, short):
            assert int(summary.remove(part).count) == ROWS - PART
            summary.update(part).spectrum().examine(rows)
