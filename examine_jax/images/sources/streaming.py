"""Images that are decoded when they are asked for: sets larger than memory, read ahead of the steps that train on them."""

import collections
import concurrent.futures
import dataclasses
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from examine_jax.common.shapes import Int, Shaped, UInt8
from examine_jax.images.decoding.decode import DecodedImage, ImageDecoder
from examine_jax.images.decoding.depth import check_bits_stored, to_bytes
from examine_jax.images.decoding.parallel import Budget, in_order
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.image_set import SkippedImage
from examine_jax.images.names import shown
from examine_jax.images.sources.folder import check_size, nothing_read, scan_folder

# Images that a worker decodes before it takes up others: few, so that a batch is spread over all workers.
_SLICE = 16


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedImages:
    """Images of one size, each read when it is asked for; what an `ImageSet`'s pixels are to a training loop, without their memory.

    `images[indices]` is uint8 [B, H, W, C]; `len(images)` and `images.shape` [N, H, W, C] cost nothing. May be read by several threads.

    Attributes:
        names: as in `ImageSet`.
        image_shape: (H, W, C).
        read: row -> uint8 [H, W, C] ([H, W, 1] is repeated to C channels). What it raises should name the image.
        labels: as in `ImageSet`.
        skipped: what was met and is not read.
    """

    names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    read: Callable[[int], UInt8[np.ndarray, "height width stored"]]
    labels: Shaped[np.ndarray, "images ..."] | None = None
    skipped: tuple[SkippedImage, ...] = ()

    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), *self.image_shape)

    def __getitem__(self, indices: Int[np.ndarray, " batch"]) -> UInt8[np.ndarray, "batch height width channels"]:
        """The images at these indices, decoded one after the other.

        Raises:
            IndexError: an index out of range.
            UnreadableImage: a ValueError; a file that has become unreadable, or turns out to be. It names the file.
        """
        pixels = np.empty((len(indices), *self.image_shape), np.uint8)
        for row, index in enumerate(indices):
            pixels[row] = self.read(int(index))
        return pixels


def stream_folder(
    folder: str | os.PathLike[str],
    *,
    image_size: int,
    channels: int = 3,
    bits_stored: int | None = None,
    max_pixels: int = 100_000_000,
    max_bytes: int = 2**30,
    on_progress: Callable[[int, int], None] | None = None,
) -> StreamedImages:
    """The images that `load_folder` would read, under the same names, decoded on demand; the arguments are explained there.

    Every file's header is read once, now; files that are no images are skipped with their reason. One whose header is sound and whose
    pixels are damaged is found when it is read: it raises then, and names itself. Images of more than 8 bits need their full scale
    beforehand: `bits_stored` for integers, while floats are taken as in [0, 1].

    Raises:
        ValueError: no image could be read, an argument out of range, integers of more than 8 bits without `bits_stored`.
        OSError: as `load_folder`.
    """
    check_size(image_size, channels)
    check_bits_stored(bits_stored)
    found = scan_folder(folder)
    decoder = ImageDecoder(image_size, channels, bits_stored, max_pixels, max_bytes, budget=Budget(max_pixels))

    def look(path: str) -> tuple[int, bool] | UnreadableImage:
        try:
            return decoder.look(path)
        except UnreadableImage as error:
            return error

    names: list[str] = []
    places: list[tuple[str, int]] = []  # Row -> path and frame.
    skipped = list(found.skipped)
    total = len(found.candidates)
    report = on_progress or _silent
    report(0, total)
    Image.init()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\b")
        headers = in_order(look, (candidate.path for candidate in found.candidates))
        for done, (candidate, header) in enumerate(zip(found.candidates, headers), 1):
            report(done, total)
            if isinstance(header, UnreadableImage):
                skipped.append(SkippedImage(candidate.name, str(header)))
                continue
            frames, deep = header
            if deep and bits_stored is None:
                raise ValueError(
                    f"{shown(candidate.path)} has more than 8 bits a sample, and images read on demand need their full scale "
                    "beforehand; name bits_stored (8 to 16)"
                )
            names += [candidate.name] if frames == 1 else [f"{candidate.name}[{frame}]" for frame in range(frames)]
            places += [(candidate.path, frame) for frame in range(frames)]
    skipped.sort(key=lambda item: item.name)
    if not names:
        raise ValueError(nothing_read(folder, found, skipped))
    return StreamedImages(
        tuple(names),
        (image_size, image_size, channels),
        _FolderReader(decoder, tuple(names), tuple(places)),
        skipped=tuple(skipped),
    )


@dataclasses.dataclass(frozen=True)
class _FolderReader:
    decoder: ImageDecoder
    names: tuple[str, ...]
    places: tuple[tuple[str, int], ...]

    def __call__(self, row: int) -> UInt8[np.ndarray, "height width stored"]:
        path, frame = self.places[row]
        try:
            return self._to_bytes(self.decoder(path, frame))
        except UnreadableImage as error:
            raise UnreadableImage(f"{shown(path)}: {error}; remove the file or repair it") from error

    def _to_bytes(self, image: DecodedImage) -> UInt8[np.ndarray, "height width stored"]:
        if image.pixels.dtype == np.uint8:
            return image.pixels
        if image.pixels.dtype == np.uint16:
            return to_bytes(image.pixels, 2.0 ** (self.decoder.bits_stored or 16) - 1)
        if image.largest > 1:
            raise UnreadableImage(f"floats up to {image.largest:g}, where images read on demand are in [0, 1]")
        return to_bytes(image.pixels, 1.0)


@runtime_checkable
class Readable(Protocol):
    """A set of images: a NumPy array [N, H, W, C], `StreamedImages`, or anything else with these two."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, indices: Any, /) -> Any: ...


def prefetch(
    pixels: Readable, index_batches: Iterator[Int[np.ndarray, " batch"]], workers: int, depth: int
) -> Iterator[tuple[Int[np.ndarray, " batch"], UInt8[np.ndarray, "batch height width channels"]]]:
    """Batches of images in the order of their indices, read by threads up to `depth` batches ahead of the one handed out.

    Decoders let go of the interpreter's lock, so that threads keep the cores busy without a copy of the images between processes. The
    work on one batch is spread over the workers. What is read and its order depend on `index_batches` alone. Close it (or exhaust it) to
    stop the threads.

    Args:
        pixels: a set of images.
        index_batches: int32 [B] each; may be endless, as it is asked only as far ahead as images are read.
        workers: threads, at least 1.
        depth: batches, at least 1.

    Yields:
        The indices, and uint8 [B, H, W, C].

    Raises:
        What reading raised, when the batch it belongs to is due; batches before it are handed out.
    """
    if workers < 1 or depth < 1:
        raise ValueError(f"prefetch: workers={workers}, depth={depth}; give at least 1 of each")
    return _prefetched(pixels, index_batches, workers, depth)


def _prefetched(
    pixels: Readable, index_batches: Iterator[Int[np.ndarray, " batch"]], workers: int, depth: int
) -> Iterator[tuple[Int[np.ndarray, " batch"], UInt8[np.ndarray, "batch height width channels"]]]:
    pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    waiting: collections.deque[tuple[np.ndarray, np.ndarray, list[concurrent.futures.Future[None]]]] = (
        collections.deque()
    )
    batches = iter(index_batches)

    def begin(count: int) -> None:
        for indices in itertools.islice(batches, count):
            batch = np.empty((len(indices), *pixels.shape[1:]), np.uint8)
            slices = [slice(start, start + _SLICE) for start in range(0, len(indices), _SLICE)]
            waiting.append((indices, batch, [pool.submit(read, indices, batch, rows) for rows in slices]))

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


def _silent(done: int, total: int) -> None:
    pass
