"""Embedding into a folder of shards: for sets larger than memory, and for several processes."""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.atomic_files import replacing, write_text
from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.processes import (
    check_same,
    first_alone,
    first_decides,
    process_count,
    process_index,
    wait_for_all,
)
from examine_jax.common.progress import progress_bar
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Float, UInt8
from examine_jax.encoders import Encoder
from examine_jax.encoders.settings import DEFAULT_USE, EncoderUse
from examine_jax.images import SkippedImage, load_images, stream_images
from examine_jax.images.decoding.framing import Framing
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling, place_in_slide
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.sources.load import can_stream, dicom_settings
from examine_jax.images.sources.scan import check_workdir
from examine_jax.jobs.headers import HIDE_IDS, JobHeaders, PrivacySettings
from examine_jax.jobs.slide_columns import slide_columns
from examine_jax.labelled.header_groups import HEADER_GROUPS
from examine_jax.reporting.tables import write_skipped

MANIFEST = "manifest.json"
_WORKERS = min(8, os.cpu_count() or 1)
_AT_ONCE = 1024  # images that are decoded ahead of the encoder
# The columns of tiles' places, and their types.
_PLACES = {"slide": "string", "x": "int64", "y": "int64", "width": "int64", "mpp": "float64"}


@dataclasses.dataclass(frozen=True)
class ShardSettings:
    """How images are divided into files of features."""

    shard_rows: int = setting(
        16_384, "Images a file, where --output is a folder.", minimum=1, metavar="N"
    )


@dataclasses.dataclass(frozen=True)
class FeatureShards:
    """A folder of features.

    Attributes:
        rows, width: the features' shape.
        shards: the number of files of features.
        skipped: the images that could not be read.
    """

    rows: int
    width: int
    shards: int
    skipped: int


def embed_into_shards(
    images: str | os.PathLike[str],
    encoder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    shards: ShardSettings = ShardSettings(),
    split: str | None = None,
    pooling: str | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int | None = None,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
    privacy: PrivacySettings = HIDE_IDS,
    use: EncoderUse = DEFAULT_USE,
    batch_size: int = 64,
    progress: bool = True,
) -> FeatureShards:
    """Writes the features of images, in the order of their names, as Parquet files in a folder.

    The folder is a corpus for `score_features`, `select_features` and `value_files`. Images are
    decoded when they are embedded; sources that are read whole are held in memory. Several
    processes (`jax.distributed`) each write other shards. The same call again, with any number of
    processes, writes the shards that are missing. At the end, manifest.json lists the shards and
    their rows, and skipped.csv the images that could not be read.

    Args:
        images, encoder, split, pooling, intensity_range, dicom_window: as in `embed_images`.
        slicing, tiling, privacy, use, batch_size, progress: as in `embed_images`.
        output: the folder.
        shards: how many images a shard has.

    Raises:
        ValueError: as `embed_images`; the folder holds the features of other images or of another
            encoder; no image can be read.
        OSError, ImportError: as `embed_images`.
    """
    folder = pathlib.Path(output)
    if use.feature == "tokens":
        raise ValueError(f"output {folder}: a table has no place for tokens; give a .npy file")
    folder.mkdir(parents=True, exist_ok=True)
    check_workdir(folder, images)
    headers = JobHeaders.read((images,), privacy, outside=(folder,), hashed=True, progress=progress)
    with headers.hiding():
        trained = use.load(encoder, pooling)
        shown = dicom_settings(images, trained.training, intensity_range, dicom_window)
        source = _source(
            images, trained, progress, split=split, slicing=slicing, tiling=tiling, **shown
        )
        parts = _Parts(len(source.names), shards.shard_rows, folder)
        job = _Job(images, trained, source, headers, batch_size, use.fill_memory)
        configuration = {
            "images": _images_digest(source),
            "names": _text_digest(job.names),
            "identifiers": _identifiers(headers, images),
            "encoder": _digest(trained),
            "use": to_plain(use),
            "pooling": pooling,
            "shard_rows": shards.shard_rows,
            **_reading(trained, shown, slicing, tiling),
        }
        check_same("images, encoder or settings", configuration)
        first_alone(lambda: check_or_write_config(folder / "embedding.json", configuration))
        missing = first_decides(parts.missing)
        with progress_bar("embedded", progress) as report:
            own = missing[process_index() :: process_count()]
            for done, number in enumerate(own):
                job.write(parts, number)
                report(
                    sum(len(parts.rows(one)) for one in own[: done + 1]),
                    sum(len(parts.rows(one)) for one in own),
                )
        wait_for_all("shards")
        headers.keep_table(progress)

        def finish() -> dict[str, int]:
            return dataclasses.asdict(_finish(parts, headers.skipped(images, source.skipped)))

        return FeatureShards(**first_decides(finish))


@dataclasses.dataclass(frozen=True)
class _Source:
    """Images by row, and their names as they are stored."""

    pixels: Any  # uint8 [N, H, W, C], or StreamedImages
    names: tuple[str, ...]
    skipped: tuple[SkippedImage, ...]


def _source(
    images: str | os.PathLike[str],
    trained: Encoder,
    progress: bool,
    *,
    split: str | None,
    **how: Any,
) -> _Source:
    read: Any = stream_images if can_stream(images) else load_images
    with progress_bar("images", progress) as report:
        found = read(
            images,
            image_size=trained.load_size,
            channels=trained.channels,
            split=split,
            bits_stored=trained.training.get("bits_stored"),
            on_progress=report,
            **how,
        )
    for note in found.notes if progress else ():
        print(f"images: {note}", file=sys.stderr)
    pixels = getattr(found, "pixels", found)
    return _Source(pixels, tuple(found.names), tuple(found.skipped))


@dataclasses.dataclass(frozen=True)
class _Parts:
    """The files of a folder of shards.

    A shard is complete where its file of features is there. If none of its images can be read,
    there is its file of skipped images alone.
    """

    images: int
    shard_rows: int
    folder: pathlib.Path

    @property
    def count(self) -> int:
        return -(-self.images // self.shard_rows)

    def rows(self, number: int) -> range:
        return range(number * self.shard_rows, min((number + 1) * self.shard_rows, self.images))

    def file(self, number: int) -> pathlib.Path:
        return self.folder / f"part-{number:05}-of-{self.count:05}.parquet"

    def skipped_file(self, number: int) -> pathlib.Path:
        return self.file(number).with_suffix(".skipped.json")

    def skipped(self, number: int) -> list[SkippedImage]:
        file = self.skipped_file(number)
        if not file.exists():
            return []
        return [SkippedImage(*pair) for pair in json.loads(file.read_text(encoding="utf-8"))]

    def missing(self) -> list[int]:
        return [
            number
            for number in range(self.count)
            if not self.file(number).exists() and len(self.skipped(number)) < len(self.rows(number))
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class _Job:
    """What makes a shard of rows."""

    images: str | os.PathLike[str]
    encoder: Encoder
    source: _Source
    headers: JobHeaders
    batch_size: int
    fill_memory: bool

    @property
    def names(self) -> tuple[str, ...]:
        return self.headers.names(self.images, self.source.names)

    @functools.cached_property
    def _has_tiles(self) -> bool:
        """Whether an image is a slide's tile. Once, because it reads the names of all shards."""
        return any(place_in_slide(name) is not None for name in self.source.names)

    def write(self, parts: _Parts, number: int) -> None:
        """Embeds the shard's images and writes it, whole or not at all."""
        kept: list[int] = []
        features: list[np.ndarray] = []
        skipped: list[SkippedImage] = []
        for rows, pixels, unread in _decoded(self.source, parts.rows(number)):
            skipped += unread
            if len(rows):
                kept += rows
                features.append(
                    self.encoder.embed(
                        pixels, batch_size=self.batch_size, fill_memory=self.fill_memory
                    )
                )
        if skipped:
            shown = self.headers.skipped(self.images, skipped)
            pairs = [(one.name, one.reason) for one in shown]
            write_text(parts.skipped_file(number), json.dumps(pairs, indent=1) + "\n")
        else:
            parts.skipped_file(number).unlink(missing_ok=True)  # of a killed run
        if kept:
            stored = [self.source.names[row] for row in kept]
            _write_parquet(parts.file(number), self._columns(stored), np.concatenate(features))

    def _columns(self, stored: Sequence[str]) -> dict[str, Sequence[Any]]:
        """The columns beside the features; all shards have the same."""
        shown = self.headers.names(self.images, stored)
        columns: dict[str, Sequence[Any]] = {"image": shown}
        if self.headers.of(self.images).identities:
            for by in HEADER_GROUPS:
                columns[by] = self.headers.column(self.images, stored, by)
            columns["modality"] = self.headers.modalities(self.images, stored)
        if self._has_tiles:
            places = slide_columns(self.images, stored, shown)
            columns |= {name: places.get(name, [None] * len(stored)) for name in _PLACES}
        return columns


def _decoded(
    source: _Source, rows: range
) -> Iterator[tuple[list[int], UInt8[np.ndarray, "n height width channels"], list[SkippedImage]]]:
    """The readable images, some at a time, with their rows; threads decode ahead."""

    def read(row: int) -> np.ndarray | SkippedImage:
        try:
            return np.asarray(source.pixels[np.array([row], np.int32)])[0]
        except UnreadableImage as error:
            return SkippedImage(source.names[row], str(error.__cause__ or error))

    with concurrent.futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix="decode") as pool:
        waiting: collections.deque[tuple[int, concurrent.futures.Future[Any]]]
        waiting = collections.deque()
        coming = iter(rows)
        while True:
            for row in itertools.islice(coming, 2 * _AT_ONCE - len(waiting)):
                waiting.append((row, pool.submit(read, row)))
            if not waiting:
                return
            taken = [waiting.popleft() for _ in range(min(_AT_ONCE, len(waiting)))]
            found = [(row, future.result()) for row, future in taken]
            good = [pair for pair in found if isinstance(pair[1], np.ndarray)]
            pixels = np.stack([image for _, image in good]) if good else np.zeros((0, 1, 1, 1))
            yield (
                [row for row, _ in good],
                pixels.astype(np.uint8, copy=False),
                [one for _, one in found if isinstance(one, SkippedImage)],
            )


def _write_parquet(
    path: pathlib.Path, columns: Mapping[str, Sequence[Any]], features: Float[np.ndarray, "n d"]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
    held = [
        pa.array(column, pa.type_for_alias(_PLACES.get(name, "string")))
        for name, column in columns.items()
    ]
    with replacing(path) as stream:
        pq.write_table(pa.table([*held, rows], names=[*columns, "features"]), stream)


def _finish(parts: _Parts, unread: Sequence[SkippedImage]) -> FeatureShards:
    """Writes the manifest and the list of skipped images."""
    from examine_jax.features.parquet_shard import ParquetShard

    there = [parts.file(number) for number in range(parts.count) if parts.file(number).exists()]
    skipped = [*unread, *(one for number in range(parts.count) for one in parts.skipped(number))]
    if not there:
        raise ValueError(
            f"none of the {parts.images} images can be read: {skipped[0].name}: {skipped[0].reason}"
        )
    shards = [ParquetShard.open(file) for file in there]
    found = FeatureShards(
        sum(shard.rows for shard in shards), shards[0].width, len(shards), len(skipped)
    )
    listed = [{"file": shard.path.name, "rows": shard.rows} for shard in shards]
    about = {**dataclasses.asdict(found), "dtype": str(shards[0].dtype), "files": listed}
    write_skipped(parts.folder / "skipped.csv", skipped)
    write_text(parts.folder / MANIFEST, json.dumps(about, indent=1) + "\n")
    return found


def _images_digest(source: _Source) -> str:
    """A digest of the pixels; of images in files, of the files' sizes and times of change."""
    if isinstance(source.pixels, np.ndarray):
        return digest_arrays([source.pixels])
    status = map(os.stat, dict.fromkeys(getattr(source.pixels, "files", ())))
    return _text_digest(f"{one.st_size} {one.st_mtime_ns}" for one in status)


def _reading(
    trained: Encoder, shown: Mapping[str, Any], slicing: Slicing, tiling: Tiling
) -> dict[str, Any]:
    """How files become pixels. Defaults are left out: earlier versions did not write them."""
    size = trained.load_size
    usual = {"intensity_range": None, "dicom_window": 1}
    found = {name: to_plain(value) for name, value in shown.items() if value != usual[name]}
    if isinstance(size, Framing):
        found["framing"] = to_plain(size)
    if slicing != EVERY_SLICE:
        found["slicing"] = to_plain(slicing)
    if tiling != HALF_MICROMETRE:
        found["tiling"] = to_plain(tiling)
    return found


def _identifiers(headers: JobHeaders, images: str | os.PathLike[str]) -> str | None:
    """How the columns show patients, by which key; None: no header names one."""
    if not headers.of(images).identities:
        return None
    return headers.token("embedding", "as they are")


def _text_digest(texts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(text.encode("utf-8", "backslashreplace") + b"\0")
    return digest.hexdigest()


def _digest(encoder: Encoder) -> str:
    leaves = map(np.asarray, jax.tree.leaves((encoder.params, encoder.state)))
    return digest_arrays(leaves, json.dumps(to_plain(encoder.method)).encode())
