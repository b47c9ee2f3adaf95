"""Features chunk after chunk, against the same features in memory."""

from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from scipy.linalg.lapack import dlasd4

from examine_jax.scoring import examine
from examine_jax.scoring.chunks import examine_chunks, examine_new_chunks, summarise_chunks
from examine_jax.scoring.summary import SpectralSummary

ROWS, WIDTH = 10_000, 64


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(ROWS, WIDTH)) + 3).astype(np.float32)


class Virtual:
    """Chunks that are made when they are asked for, in one and the same memory."""

    def __init__(self, rows: int, chunk: int):
        self.rows, self.chunk = rows, chunk
        self.most = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        generator = np.random.default_rng(0)
        pool = generator.normal(size=(self.chunk, WIDTH)).astype(np.float32)
        memory = np.empty_like(pool)
        process = psutil.Process()
        for start in range(0, self.rows, self.chunk):
            np.multiply(pool, 1 + start / self.rows, out=memory)
            memory[:, 0] += 5
            self.most = max(self.most, process.memory_info().rss)
            yield memory[: self.rows - start]


def _reference_gaps(features: np.ndarray, center: bool) -> tuple[np.ndarray, float]:
    """By LAPACK: one float64 eigendecomposition, and dlasd4 for every row; and sigma."""
    exact = features.astype(np.float64)
    factor = 1.0
    if center:
        exact -= exact.mean(0)
        factor = len(exact) / (len(exact) - 1)
    values, vectors = np.linalg.eigh(exact.T @ exact)
    rows = exact @ vectors[:, ::-1] * factor**0.5
    poles = np.sqrt(values[-1] - values[::-1])
    roots = [dlasd4(0, poles, row / np.linalg.norm(row), row @ row)[1] ** 2 for row in rows]
    sigma = values[-1] ** 0.5
    return roots / (sigma + np.sqrt(values[-1] - roots)), sigma


@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
def test_chunks_of_any_sizes_are_scored_as_the_whole(features: np.ndarray, center: bool) -> None:
    chunks = np.split(features, [1, 7, 4096, 4097, 9999])
    found = examine_chunks(chunks, center=center)
    gap, sigma = _reference_gaps(features, center)
    error = np.abs(found.gap - gap)
    assert error.max() <= 1e-6 * gap.max()
    assert (error[gap > 0.01 * gap.max()] <= 1e-5 * gap[gap > 0.01 * gap.max()]).all()
    assert (error <= found.error_bound + 1e-13 * sigma).all()
    np.testing.assert_allclose(found.score, np.exp(-gap), rtol=1e-6)
    np.testing.assert_allclose(found.singular_value, sigma, rtol=1e-6)
    np.testing.assert_allclose(found.loo_singular_values, sigma - gap, rtol=1e-6)
    assert found.gap.dtype == np.float32
    assert found.gap.shape == found.error_bound.shape == found.diagnostics.residual.shape == (ROWS,)


def test_a_chunked_corpus_is_scored_as_examine_does_in_memory(features: np.ndarray) -> None:
    found, expected = examine_chunks(np.split(features, [4097])), examine(features)
    np.testing.assert_allclose(found.gap, expected.gap, rtol=1e-6)


def test_newcomers_in_chunks_are_scored_as_the_whole(features: np.ndarray) -> None:
    spectrum = summarise_chunks([features]).spectrum()
    found = examine_new_chunks(np.split(features, [5000]), spectrum)
    exact = features.astype(np.float64)
    gram = exact.T @ exact
    sigma = np.sqrt(np.linalg.eigvalsh(gram)[-1])
    together = [
        np.sqrt(np.linalg.eigvalsh(gram + np.outer(row, row))[-1]) for row in exact[[0, 17, 9999]]
    ]
    np.testing.assert_allclose(found.gap[[0, 17, 9999]], together - sigma, rtol=1e-6)
    assert found.gap.shape == (ROWS,)
    assert found.singular_value.shape == ()


def test_a_corpus_far_larger_than_the_memory_it_takes() -> None:
    rows, chunk = 1_000_000, 50_000  # a quarter of a gigabyte
    process = psutil.Process()
    list(Virtual(2 * chunk, chunk))  # what the source itself takes
    warm = Virtual(20_000, 3000)
    examine_chunks(warm)
    before = process.memory_info().rss
    corpus = Virtual(rows, chunk)
    found = examine_chunks(corpus)
    assert len(found.gap) == rows
    assert np.isfinite(found.gap).all()
    grown = max(corpus.most, process.memory_info().rss) - before
    assert grown < 150 * 2**20, (
        f"{grown / 2**20:.0f} MiB for {rows * WIDTH * 4 / 2**20:.0f} MiB of features"
    )


def test_a_source_that_reuses_its_memory_is_scored_right() -> None:
    source = Virtual(20_000, 3000)
    whole = np.concatenate([chunk.copy() for chunk in source])
    expected = SpectralSummary.of(whole)
    found = summarise_chunks(source)
    assert float(found.count) == 20_000
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-10, atol=1e-12)


def test_chunks_that_can_be_read_but_once_are_refused() -> None:
    with pytest.raises(ValueError, match="read twice"):
        examine_chunks(iter([np.ones((4, 3), np.float32)]))


def test_chunks_that_change_between_the_passes_are_refused(features: np.ndarray) -> None:
    summary = SpectralSummary.of(features)
    with pytest.raises(ValueError, match="9999 rows, the summary 10000"):
        examine_chunks([features[1:]], summary=summary)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (
            np.ones((4, 5), np.float32),
            "chunk 1 has 5 columns of float32, the chunks before it 6 of float32",
        ),
        (np.ones((4, 6), np.float64), "chunk 1 has 6 columns of float64"),
        (np.ones((0, 6), np.float32), "chunk 1 must be"),
        (np.ones(6, np.float32), "chunk 1 must be"),
        (np.ones((4, 6), int), "chunk 1 must be"),
        (
            np.where(np.arange(24).reshape(4, 6) == 9, np.nan, 1).astype(np.float32),
            "chunk 1: .* 1 of 4 rows: 1",
        ),
    ],
)
def test_a_chunk_that_does_not_fit_is_named(second: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        summarise_chunks([np.ones((4, 6), np.float32), second])


def test_no_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="no chunks"):
        examine_chunks([])
