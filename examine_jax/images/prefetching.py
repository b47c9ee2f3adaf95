"""Reads batches of images ahead of the steps that use them."""

import collections
import concurrent.futures
import itertools
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

from examine_jax.common.shapes import Int, UInt8

# Images that a thread decodes at a time: few, so that all threads share a batch.
_SLICE = 16


@runtime_checkable
class Readable(Protocol):
    """A set of images: a NumPy array [N, H, W, C], `StreamedImages`, or anything like them."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, indices: Any, /) -> Any: ...


def prefetch(
    pixels: Readable, index_batches: Iterator[Int[np.ndarray, " batch"]], workers: int, depth: int
) -> Iterator[tuple[Int[np.ndarray, " batch"], UInt8[np.ndarray, "batch height width channels"]]]:
    """Yields batches of images in order. Threads read up to `depth` batches ahead.

    Decoders release the interpreter's lock, so threads use all cores without copies between
    processes. All threads share the work on one batch. The batches and their order depend on
    `index_batches` alone. Close the iterator, or exhaust it, to stop the threads.

    Args:
        pixels: a set of images.
        index_batches: int32 [B] each. It may be endless: it is advanced only as far ahead as images
            are read.
        workers: threads, at least 1.
        depth: batches read ahead, at least 1.

    Yields:
        The indices, and the images, uint8 [B, H, W, C].

    Raises:
        Whatever reading a batch raises, once all earlier batches have been yielded.
    """
    if workers < 1 or depth < 1:
        raise ValueError(f"prefetch: workers={workers}, depth={depth}; give at least 1 of each")
    return _prefetched(pixels, index_batches, workers, depth)


def _prefetched(
    pixels: Readable, index_batches: Iterator[Int[np.ndarray, " batch"]], workers: int, depth: int
) -> Iterator[tuple[Int[np.ndarray, " batch"], UInt8[np.ndarray, "batch height width channels"]]]:
    pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    waiting: collections.deque[
        tuple[np.ndarray, np.ndarray, list[concurrent.futures.Future[None]]]
    ] = collections.deque()
    batches = iter(index_batches)

    def begin(count: int) -> None:
        for indices in itertools.islice(batches, count):
            batch = np.empty((len(indices), *pixels.shape[1:]), np.uint8)
            slices = [slice(start, start + _SLICE) for start in range(0, len(indices), _SLICE)]
            waiting.append(
                (indices, batch, [pool.submit(read, indices, batch, rows) for rows in slices])
            )

    def read(indices: np.ndarray, batch: np.ndarray, rows: slice) -> None:
        batch[rows] = pixels[indices[rows]]

    try:
        begin(depth)
        while waiting:
            indices, batch, futures = waiting.popleft()
            for future in futures:
                future.result()
            begin(1)
            yield indices, batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
