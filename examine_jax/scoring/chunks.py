"""Features larger than memory, read chunk by chunk: once for a summary, once for the scores."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from examine_jax.common.byte_order import native
from examine_jax.common.shapes import Array, Bool, Float
from examine_jax.scoring.equations.float64 import float64_types, with_float64
from examine_jax.scoring.equations.inputs import non_finite_rows
from examine_jax.scoring.examination import Examination
from examine_jax.scoring.spectrum import Newcomers, Spectrum
from examine_jax.scoring.summary import SpectralSummary, merged, summarise_rows

# Rows per block. Chunks of any size are cut and joined into blocks of this size, so that all blocks
# share a compilation.
_BLOCK_ROWS = 8192
# A corpus of at most one block is padded to a power of two of rows, at least this many.
_FEWEST_ROWS = 64

_Result = TypeVar("_Result", Examination, Newcomers)


def summarise_chunks(chunks: Iterable[ArrayLike]) -> SpectralSummary:
    """The summary of a corpus that comes in chunks.

    Memory: a few blocks of 8,192 rows, and O(D^2).

    Args:
        chunks: arrays [B, D] floating, all with the same D and dtype; B may differ between chunks.

    Raises:
        ValueError: there are no chunks; a chunk is not an array as described, is empty, or holds
            NaN or infinite entries (the message names the chunk and the rows).
    """
    summary: SpectralSummary | None = None
    for block, where in _blocks(chunks):
        previous = summary
        with float64_types():
            summary = _first(block, where) if summary is None else _next(summary, block, where)
        # While one block is computed, the next is read. At most these two are in memory.
        if previous is not None:
            previous.scatter.block_until_ready()
    if summary is None:
        raise ValueError("there are no chunks: no rows to examine")
    return summary


def examine_chunks(
    chunks: Iterable[ArrayLike], *, center: bool = False, summary: SpectralSummary | None = None
) -> Examination:
    """`examine` of a corpus that comes in chunks, in two passes over them.

    Memory: a few blocks of 8,192 rows, O(D^2), and the results.

    Args:
        chunks: as for `summarise_chunks`. They are iterated twice, so pass a list or an object
            whose `__iter__` starts from the first chunk again, not a generator.
        center: subtract the rows' mean.
        summary: the summary of the same chunks, if it is known; then the first pass is not needed.

    Returns:
        `Examination` of NumPy arrays, in float64 for float64 chunks, else in float32.

    Raises:
        ValueError: as for `summarise_chunks`; there are fewer than two rows; the chunks can be
            iterated only once, or change between the passes.
    """
    if summary is None:
        if isinstance(chunks, Iterator):
            raise ValueError(
                "the chunks are read twice: pass a list or an object whose __iter__ starts from "
                "the first chunk again, not an iterator"
            )
        summary = summarise_chunks(chunks)
    found = examine_member_chunks(chunks, summary.spectrum(center))
    if len(found.gap) != int(summary.count):
        raise ValueError(
            f"the chunks hold {len(found.gap)} rows, the summary {int(summary.count)}: the summary "
            "is not that of these chunks"
        )
    return found


def examine_member_chunks(chunks: Iterable[ArrayLike], spectrum: Spectrum) -> Examination:
    """`Spectrum.examine` of some rows of a corpus, which come in chunks, in one pass.

    Several machines may each examine their own rows so, by one spectrum.

    Args:
        chunks: as for `summarise_chunks`.
        spectrum: that of the whole corpus, to which the rows belong.

    Returns:
        `Examination` of NumPy arrays.

    Raises:
        ValueError: as for `summarise_chunks` and `Spectrum.examine`.
    """
    return _scores(chunks, spectrum.examine)


def examine_new_chunks(chunks: Iterable[ArrayLike], spectrum: Spectrum) -> Newcomers:
    """`Spectrum.examine_new` of rows that come in chunks, in one pass.

    Args:
        chunks: as for `summarise_chunks`.
        spectrum: that of the corpus to which the rows would be added.

    Returns:
        `Newcomers` of NumPy arrays.

    Raises:
        ValueError: as for `summarise_chunks` and `Spectrum.examine_new`.
    """
    return _scores(chunks, spectrum.examine_new)


_first: Callable[..., SpectralSummary] = with_float64(summarise_rows)


@with_float64
def _next(summary: SpectralSummary, block: Array, where: Array) -> SpectralSummary:
    return merged(summary, summarise_rows(block, where))


def _scores(chunks: Iterable[ArrayLike], examine: Callable[[np.ndarray], _Result]) -> _Result:
    parts: list[_Result] = []
    for block, where in _blocks(chunks):
        parts.append(_leading(examine(block), int(where.sum())))
    if not parts:
        raise ValueError("there are no chunks: no rows to examine")
    joined: _Result = jax.tree.map(lambda *x: np.concatenate(x) if x[0].ndim else np.max(x), *parts)
    return joined


def _leading(found: _Result, rows: int) -> _Result:
    """The results of the first `rows` rows, as NumPy arrays."""
    first: _Result = jax.tree.map(
        lambda x: np.asarray(x)[:rows] if np.ndim(x) else np.asarray(x), found
    )
    return first


def _blocks(
    chunks: Iterable[ArrayLike],
) -> Iterator[tuple[Float[np.ndarray, "block width"], Bool[np.ndarray, " block"]]]:
    """The chunks' rows in blocks of one size, each with its mask; the last block may be padded."""
    block: Float[np.ndarray, "block width"] | None = None
    number, yielded = 0, 0
    like: np.ndarray | None = None
    for position, given in enumerate(chunks):
        chunk = native(np.asarray(given))
        _check_chunk(chunk, position, like)
        like = chunk
        while len(chunk):
            # Rows are copied immediately, because the source may reuse its memory for the next
            # chunk. Each block is a new array, because JAX may still read the previous block.
            if block is None:
                block = np.zeros((_BLOCK_ROWS, chunk.shape[1]), chunk.dtype)
            part = chunk[: _BLOCK_ROWS - number]
            block[number : number + len(part)] = part
            number += len(part)
            chunk = chunk[len(part) :]
            if number == _BLOCK_ROWS:
                yield block, np.ones(number, bool)
                block, number, yielded = None, 0, yielded + 1
    if block is not None:
        # Computing with padded rows takes less time than another compilation.
        size = _BLOCK_ROWS if yielded else max(_FEWEST_ROWS, 1 << (number - 1).bit_length())
        yield block[:size], np.arange(size) < number


def _check_chunk(chunk: np.ndarray, position: int, like: np.ndarray | None) -> None:
    if chunk.ndim != 2 or 0 in chunk.shape or not jnp.issubdtype(chunk.dtype, jnp.floating):
        raise ValueError(
            f"chunk {position} must be a floating matrix [B, D] with B >= 1 and D >= 1; got "
            f"{chunk.dtype} {chunk.shape}"
        )
    if like is not None and (chunk.shape[1] != like.shape[1] or chunk.dtype != like.dtype):
        raise ValueError(
            f"chunk {position} has {chunk.shape[1]} columns of {chunk.dtype}, the chunks before it "
            f"{like.shape[1]} of {like.dtype}"
        )
    if not np.isfinite(chunk).all():
        raise ValueError(f"chunk {position}: {non_finite_rows(chunk)}")
