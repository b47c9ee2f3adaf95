"""TensorFlow Datasets prepared as array_record, read by record number without TensorFlow."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from examine_jax.common.shapes import Float, UInt8
from examine_jax.images.decoding.describing import Describe, described_here, stacked
from examine_jax.images.decoding.parallel import in_order
from examine_jax.images.decoding.resize import (
    ImageSize,
    check_size,
    checked,
    is_smaller,
    resize_bytes,
    to_grey,
)
from examine_jax.images.image_set import ImageSet
from examine_jax.images.names import shown
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.sources.tfds_trust import MAX_PIXELS, check_encoded, check_features
from examine_jax.images.streamed_images import StreamedImages

_KNOWN = "patch_camelyon or colorectal_histology"
_PREFIX = "tfds:"


@dataclasses.dataclass(frozen=True)
class TFDSSource:
    """A TFDS data set: a prepared folder (it holds dataset_info.json), or "tfds:NAME"."""

    on_demand: bool = True

    def recognises(self, name: str) -> bool:
        return name.startswith(_PREFIX) or os.path.isfile(os.path.join(name, "dataset_info.json"))

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        return load_tfds(
            name.removeprefix(_PREFIX),
            options.split or "train",
            image_size=options.image_size,
            channels=options.channels,
            on_progress=options.on_progress,
            describe=options.describe,
        )

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        return stream_tfds(
            name.removeprefix(_PREFIX),
            options.split or "train",
            image_size=options.image_size,
            channels=options.channels,
        )


def load_tfds(
    dataset: str | os.PathLike[str],
    split: str = "train",
    *,
    image_size: ImageSize,
    channels: int = 3,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
    image_feature: str = "image",
    label_feature: str | None = "label",
    max_bytes: int = 2**35,
    on_progress: Callable[[int, int], None] | None = None,
    describe: Describe | None = None,
) -> ImageSet:
    """Reads a split of a TFDS data set into memory.

    Images are resized as in `load_folder` and named `train[12]`. Records are read and decoded by
    TFDS in this process, without the limits of `load_folder` on time and memory: read folders that
    you trust. A folder whose features would import other code, and images of more than 100
    megapixels, are refused.

    Args:
        dataset: a prepared folder (it holds dataset_info.json), a parent of exactly one such
            folder, or a name that TFDS knows, such as "patch_camelyon" (PCam) or
            "colorectal_histology" (Kather 2016).
        split: "train", "test", "train+test", "train[:10%]", ...
        image_size: (rows, columns) of the result; one number: a square.
        channels: 1 (grey) or 3 (colour).
        data_dir: the folder of prepared data sets (NAME/VERSION). None: TFDS's default,
            ~/tensorflow_datasets or TFDS_DATA_DIR.
        download: whether to download and prepare a named data set that is missing. Nothing is
            downloaded otherwise.
        image_feature: the feature that holds the images.
        label_feature: the feature that holds whole numbers as labels; None: read no labels.
        max_bytes: a bound on the resized images' memory.
        on_progress: called as `on_progress(images done, images in all)`.
        describe: as in `load_images`.

    Returns:
        The images, with their labels.

    Raises:
        FileNotFoundError: the data set is not prepared, or cannot be downloaded; the message says
            where to put it.
        ValueError: no such data set, split or feature; a format other than array_record; an
            unsupported image.
        ImportError: tensorflow-datasets, array-record or grain is missing.
    """
    size = check_size(image_size, channels)
    source, where = _source(dataset, split, data_dir, download, image_feature)
    wanted = checked(image_size, channels)
    reader = _Reader(source, where, split, wanted, channels, image_feature, label_feature, describe)
    total = len(source)
    needed = total * math.prod(size) * channels
    if needed > max_bytes:
        raise ValueError(
            f"{where}: its {total} images take {needed} bytes, more than max_bytes={max_bytes}; "
            "raise that, take a part "
            f"('{split}[:10%]'), or read them on demand with stream_tfds"
        )
    pixels = np.empty((total, *size, channels), np.uint8)
    labels = np.empty(total, np.int64)
    descriptions: list[Float[np.ndarray, " numbers"]] = []
    stored_sizes = np.empty((total, 2), np.int32)
    if on_progress:
        on_progress(0, total)
    for row, record in enumerate(in_order(reader.record, range(total))):
        pixels[row], labels[row] = record.image, record.label
        stored_sizes[row] = record.stored_size
        if record.description is not None:
            descriptions.append(record.description)
        if on_progress:
            on_progress(row + 1, total)
    return ImageSet(
        reader.names(),
        pixels,
        resized_up=sum(is_smaller(stored, wanted) for stored in stored_sizes.tolist()),
        labels=None if label_feature is None else labels,
        descriptions=None if describe is None else stacked(descriptions),
        stored_sizes=stored_sizes,
    )


def stream_tfds(
    dataset: str | os.PathLike[str],
    split: str = "train",
    *,
    image_size: ImageSize,
    channels: int = 3,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
    image_feature: str = "image",
) -> StreamedImages:
    """The images of `load_tfds`, each read from its record when it is asked for.

    It has no labels: they would take reading every record.

    Args:
        dataset, split, image_size, channels, data_dir, download, image_feature: as in `load_tfds`.

    Returns:
        The images by index.

    Raises:
        FileNotFoundError, ValueError, ImportError: as `load_tfds`.
    """
    size = check_size(image_size, channels)
    source, where = _source(dataset, split, data_dir, download, image_feature)
    wanted = checked(image_size, channels)
    reader = _Reader(source, where, split, wanted, channels, image_feature, None, None)
    return StreamedImages(reader.names(), (*size, channels), reader.image)


@runtime_checkable
class _Records(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any: ...


class _Record(NamedTuple):
    """One decoded record."""

    image: UInt8[np.ndarray, "rows columns channels"]
    label: int
    stored_size: tuple[int, int]
    description: Float[np.ndarray, " numbers"] | None


@dataclasses.dataclass(frozen=True, eq=False)
class _Reader:
    """Decodes records to images of one size."""

    source: _Records
    where: str
    split: str
    size: ImageSize
    channels: int
    image_feature: str
    label_feature: str | None
    describe: Describe | None

    def __post_init__(self) -> None:
        if not len(self.source):
            raise ValueError(f"{self.where}: its split {self.split!r} is empty; take another")
        self.record(0)  # Report a missing feature at once, and fewer records than declared.
        self.record(len(self.source) - 1)

    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.split}[{row}]" for row in range(len(self.source)))

    def image(self, row: int) -> UInt8[np.ndarray, "rows columns channels"]:
        return self.record(row).image

    def record(self, row: int) -> _Record:
        """One record, decoded, described and resized."""
        try:
            record = self.source[row]
        except Exception as error:  # The readers below raise anything for a damaged file.
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{self.where}, {self.split}[{row}]: cannot be read ({reason}); prepare the data "
                "set anew"
            ) from error
        image = self._feature(record, self.image_feature)
        if (
            not isinstance(image, np.ndarray)
            or image.dtype != np.uint8
            or image.ndim != 3
            or image.shape[-1] not in (1, 3)
        ):
            found = (
                f"{image.dtype} {image.shape}"
                if isinstance(image, np.ndarray)
                else type(image).__name__
            )
            raise ValueError(
                f"{self.where}: its feature {self.image_feature!r} is {found}; images are uint8 "
                "[H, W, 1 or 3]"
            )
        label = 0
        if self.label_feature is not None:
            value = np.asarray(self._feature(record, self.label_feature))
            if value.ndim or value.dtype.kind not in "iub":
                raise ValueError(
                    f"{self.where}: its feature {self.label_feature!r} is no whole number; name "
                    "another label_feature, "
                    "or None"
                )
            label = int(value)
        stored_size = image.shape[0], image.shape[1]
        description = None if self.describe is None else described_here(self.describe, image)
        if image.shape[-1] > self.channels:
            image = to_grey(image)
        pixels = resize_bytes(image, self.size)
        shape = (*pixels.shape[:2], self.channels)
        return _Record(np.broadcast_to(pixels, shape), label, stored_size, description)

    def _feature(self, record: Mapping[str, Any], name: str) -> Any:
        if name not in record:
            raise ValueError(
                f"{self.where} has no feature {name!r}; it has {', '.join(map(repr, record))}"
            )
        return record[name]


def _source(
    dataset: str | os.PathLike[str],
    split: str,
    data_dir: str | os.PathLike[str] | None,
    download: bool,
    image_feature: str,
) -> tuple[_Records, str]:
    """The records of a split, and the data set's name for messages."""
    builder, where = _builder(dataset, data_dir)
    if download:
        try:
            builder.download_and_prepare()
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise FileNotFoundError(
                f"{where} could not be downloaded and prepared ({type(error).__name__}: {reason}); "
                "prepare it on a "
                "machine with a connection (file_format='array_record') and put the folder at "
                f"{builder.data_path}"
            ) from error
    try:
        _check_before_decoding(builder, image_feature)
        return builder.as_data_source(split=split), where
    except NotImplementedError as error:
        raise ValueError(
            f"{where}: {builder.data_path} was not prepared as array_record, which alone is read "
            "without TensorFlow; "
            "prepare it anew with file_format='array_record'"
        ) from error
    except (ValueError, KeyError) as error:
        if not (builder.data_path / "dataset_info.json").exists():
            raise FileNotFoundError(
                f"{where} is not prepared, and nothing is downloaded unasked; put its prepared "
                "array_record folder at "
                f"{builder.data_path}, name that folder itself (--images=FOLDER), or call "
                "load_tfds with download=True"
            ) from error
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{where}, split {split!r}: {reason}") from error


def _check_before_decoding(builder: Any, image_feature: str) -> None:
    """Lets this builder read the header of an image before it decodes it."""
    features = builder.info.features or {}
    feature = dict(features.items()).get(image_feature)
    if isinstance(feature, _tensorflow_datasets().features.Image):
        decode = feature.decode_example_np

        def checked(encoded: bytes) -> Any:
            check_encoded(encoded, MAX_PIXELS)
            return decode(encoded)

        feature.decode_example_np = checked


def _tensorflow_datasets() -> ModuleType:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            f"TFDS data sets are read by tensorflow-datasets, array-record and grain ({error}); "
            "pip install 'examine-jax[tfds]'"
        ) from error
    return tensorflow_datasets


def _builder(
    dataset: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None
) -> tuple[Any, str]:
    """TFDS's builder of a data set, and the data set's name for messages."""
    tfds = _tensorflow_datasets()
    path = pathlib.Path(dataset)
    if path.is_dir():
        prepared = (
            [path]
            if (path / "dataset_info.json").is_file()
            else sorted(
                file.parent
                for depth in ("*", "*/*")
                for file in path.glob(f"{depth}/dataset_info.json")
            )
        )
        if len(prepared) != 1:
            there = f"several ({', '.join(map(shown, prepared[:5]))})" if prepared else "none"
            raise ValueError(
                f"{shown(path)}: the folder of a prepared data set holds dataset_info.json, and "
                f"here is {there}; "
                "name that folder"
            )
        check_features(prepared[0])
        try:
            return tfds.builder_from_directory(os.fspath(prepared[0])), shown(path)
        except Exception as error:  # TFDS's readers raise anything for damaged files.
            reason = " ".join(str(error).split())[:300]
            raise ValueError(
                f"{shown(prepared[0])}: its description of a data set cannot be read ({reason}); "
                "prepare it anew"
            ) from error
    if len(path.parts) > 1:
        raise FileNotFoundError(
            f"no TFDS folder at {shown(path)}; check the path, or name a data set such as {_KNOWN}"
        )
    name = os.fspath(dataset)
    root = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR) / name.partition(":")[0]
    for depth in ("", "*/", "*/*/"):  # NAME/VERSION or NAME/CONFIG/VERSION
        for features in sorted(root.glob(f"{depth}features.json")):
            check_features(features.parent)
    try:
        return tfds.builder(
            name, data_dir=data_dir and os.fspath(data_dir), file_format="array_record"
        ), name
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(
            f"TFDS knows no data set {name!r} and there is no such folder; name one such as "
            f"{_KNOWN}, "
            "or a prepared folder"
        ) from error
