"""Decodes files in worker processes: a file that ends its decoder costs itself alone.

Where processes cannot be used, files are decoded in this process's threads, and a note says so.
The results are the same.
"""

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding import file_tasks
from examine_jax.images.decoding.decoded_image import DecodedFile, DecodedImage, FileHeader
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.describing import DescribeFailed
from examine_jax.images.decoding.file_part import Place, absolute, size_of
from examine_jax.images.decoding.file_tasks import header_and_sharing, stored_pixels
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.decoding.limits import Limits
from examine_jax.images.decoding.local_copies import local_copies
from examine_jax.images.decoding.module_versions import Version, module_versions
from examine_jax.images.decoding.parallel import in_order, most_threads
from examine_jax.images.decoding.quiet import quiet_libraries
from examine_jax.images.decoding.slice_stacks import Placement
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.decoding.worker_pool import Task, call, problem_of
from examine_jax.images.decoding.worker_process import NoWorkers

# Files that a worker gets at a time: fewer where they are large, so that all share the work.
_FILES_AT_ONCE = 64
_BYTES_AT_ONCE = 2**20
_FEW_FILES = 32


@dataclasses.dataclass(frozen=True)
class ProtectedDecoder:
    """`ImageDecoder` in worker processes.

    Attributes:
        decoder: decodes, in the workers or here.
        settings: its settings, as workers get them; None: files are decoded here.
        notes: why they are decoded here.
        limits: of one file.
        code: the versions of the describing function's modules.
    """

    decoder: ImageDecoder
    settings: dict[str, Any] | None
    notes: tuple[str, ...]
    limits: Limits = dataclasses.field(default_factory=Limits)
    code: tuple[Version, ...] = ()

    @classmethod
    def of(cls, decoder: ImageDecoder) -> "ProtectedDecoder":
        """A decoder in workers where they can be used, else in threads."""
        try:
            describe = file_tasks.by_name(decoder.describe)
            code = () if decoder.describe is None else module_versions(decoder.describe)
        except ValueError as error:
            return cls(decoder, None, (_note(str(error)),))
        settings = {
            field.name: getattr(decoder, field.name)
            for field in dataclasses.fields(decoder)
            if field.name not in ("budget", "describe")
        }
        protected = cls(decoder, {**settings, "describe": describe}, (), code=code)
        if problem := problem_of(protected._task("frames")):
            return cls(decoder, None, (_note(problem),))
        return protected

    def frames(self, paths: Sequence[Place]) -> Generator[DecodedFile | UnreadableImage]:
        """The images of each file, in order, or why none can be read. Closed, it stops the work.

        Raises:
            Exception: what the describing function raises.
        """
        return self._in_order("frames", paths, self.decoder.frames)

    def headers(
        self, paths: Sequence[Place]
    ) -> Generator[tuple[FileHeader, list[DecodedImage]] | UnreadableImage]:
        """`file_tasks.header_and_sharing` of each file, in order, or why it cannot be read."""
        return self._in_order("header", paths, functools.partial(header_and_sharing, self.decoder))

    def identities(
        self, paths: Sequence[Place]
    ) -> Generator[HeaderIdentity | UnreadableImage | None]:
        """`ImageDecoder.identity` of each file, in order, or why it cannot be read."""
        return self._in_order("identity", paths, self.decoder.identity)

    def placements(self, paths: Sequence[Place]) -> Generator[Placement | UnreadableImage | None]:
        """Where the slice of each DICOM file lies, in order; None: it is no slice of a series."""
        return self._in_order("placement", paths, self.decoder.placement)

    def digests(self, paths: Sequence[Place]) -> Generator[str | UnreadableImage]:
        """`ImageDecoder.digest` of each DICOM file, in order."""
        return self._in_order("digest", paths, self.decoder.digest)

    def tiles(
        self, paths: Sequence[str]
    ) -> Generator[tuple[list[list[int]], str] | UnreadableImage]:
        """The tiles of each whole slide, in order, or why there are none."""
        return self._in_order("tiles", paths, self.decoder.tiles)

    def slide_parts(self, paths: Sequence[str]) -> Generator[tuple[str, str] | UnreadableImage]:
        """`ImageDecoder.slide_part` of each DICOM file, in order, or why it cannot be read."""
        return self._in_order("slide_part", paths, self.decoder.slide_part)

    def slide_facts(
        self, paths: Sequence[str]
    ) -> Generator[tuple[list[int], list[float]] | UnreadableImage]:
        """`ImageDecoder.slide_facts` of each whole slide, in order, or why there are none."""
        return self._in_order("slide_facts", paths, self.decoder.slide_facts)

    def overviews(
        self, paths: Sequence[str]
    ) -> Generator[tuple[np.ndarray, np.ndarray, list[int], list[float]] | UnreadableImage]:
        """The overview of each whole slide, in order, or why there is none."""
        return self._in_order("overview", paths, self.decoder.overview)

    def images(
        self, places: Sequence[tuple[Place, int]]
    ) -> Iterator[DecodedImage | UnreadableImage]:
        """Images by path and frame, in order, or why they cannot be read."""
        return self._in_order("image", places, lambda place: self.decoder(*place))

    def image(self, path: Place, frame: int) -> DecodedImage:
        """One image of a file. Several threads may ask at once.

        Raises:
            UnreadableImage: it cannot be read.
        """
        image: DecodedImage = self._one("image", path, frame, self.decoder)
        return image

    def stored(self, path: Place, frame: int) -> UInt8[np.ndarray, "height width channels"]:
        """`file_tasks.stored_pixels` of one image.

        Raises:
            UnreadableImage: it cannot be read.
        """
        pixels: np.ndarray = self._one(
            "stored", path, frame, functools.partial(stored_pixels, self.decoder)
        )
        return pixels

    def _one(self, name: str, path: Place, frame: int, here: Callable[[Place, int], Any]) -> Any:
        with local_copies([(path, frame)], self.decoder.max_bytes) as (item,):
            if isinstance(item, UnreadableImage):
                raise item
            found = None
            if self.settings is not None:
                items = [(_absolute(item), size_of(item[0]))]
                with contextlib.suppress(NoWorkers):
                    (found,) = call(self._task(name), items, self.decoder.budget, threading.Event())
            if found is None:
                with quiet_libraries():
                    return here(*item)
        if isinstance(found, UnreadableImage):
            raise found
        return found

    def _task(self, name: str) -> Task:
        return Task(f"{file_tasks.__name__}:{name}", self.settings, self.limits, self.code)

    def _in_order(
        self, name: str, items: Sequence[Any], here: Callable[[Any], Any]
    ) -> Generator[Any]:
        def read_here(item: Any) -> Any:
            with local_copies([item], self.decoder.max_bytes) as (found,):
                return found if isinstance(found, UnreadableImage) else read_copy(found)

        def read_copy(item: Any) -> Any:
            try:
                return here(item)
            except UnreadableImage as error:
                return error
            except DescribeFailed as failure:
                raise failure.error from None

        if self.settings is None:
            Image.init()  # Load all plug-ins now, not in a thread that meets a rare format.
            with quiet_libraries():
                yield from in_order(read_here, items)
            return
        task, stopped = self._task(name), threading.Event()

        def read(block: list[tuple[Any, int]]) -> list[Any]:
            with local_copies([item for item, _ in block], self.decoder.max_bytes) as items:
                ready = [(item, size) for item, (_, size) in zip(items, block)]
                good = [one for one in ready if not isinstance(one[0], UnreadableImage)]
                answers = iter(read_copies(good))
                return [
                    item if isinstance(item, UnreadableImage) else next(answers)
                    for item, _ in ready
                ]

        def read_copies(block: list[tuple[Any, int]]) -> list[Any]:
            try:
                found = call(task, block, self.decoder.budget, stopped)
            except NoWorkers:  # There were some when the work began.
                return [read_copy(item) for item, _ in block]
            for row, (item, _) in enumerate(block):
                if isinstance(found[row], str) and found[row] == file_tasks.DESCRIBE_FAILED:
                    found[row] = read_copy(item)  # Raises it with its own type and traceback.
            return found

        with contextlib.closing(
            in_order(read, _blocks(items), 2 * most_threads() + 1, stopped)
        ) as blocks:
            for block in blocks:
                yield from block


def _blocks(items: Sequence[Any]) -> Iterator[list[tuple[Any, int]]]:
    few = len(items) < _FEW_FILES  # One worker does: another would take longer to start.
    most = _FEW_FILES if few else min(_FILES_AT_ONCE, 1 + len(items) // (4 * most_threads()))
    block: list[tuple[Any, int]] = []
    held = 0
    for item in items:
        size = size_of(item[0] if isinstance(item, tuple) else item)
        block.append((_absolute(item), size))
        held += size
        if len(block) >= most or held >= _BYTES_AT_ONCE:
            yield block
            block, held = [], 0
    if block:
        yield block


def _absolute(item: Any) -> Any:
    """A path, or a path and frame, by the path from the root: a worker has a folder of its own."""
    return (absolute(item[0]), item[1]) if isinstance(item, tuple) else absolute(item)


def _note(problem: str) -> str:
    return (
        f"files are decoded without worker processes ({problem}); a file that crashes its decoder "
        "ends this process"
    )
