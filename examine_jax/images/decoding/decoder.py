"""Decodes one image file to pixels of one size, or gives the reason why it cannot be read.

Files are not trusted. Only plain files of a limited size are opened, the format comes from the
content, and the size in the header is checked before anything is decoded.
"""

import dataclasses
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from examine_jax.common.shapes import Float, Num, Shaped
from examine_jax.images.decoding import pillow_image
from examine_jax.images.decoding.depth import float_problem, integer_problem, to_bytes
from examine_jax.images.decoding.describing import (
    Describe,
    DescribeFailed,
    described,
    provisional_bytes,
    upright,
    upright_size,
)
from examine_jax.images.decoding.dicom_content import BEGINNING, is_dicom
from examine_jax.images.decoding.intensity import BY_FILE, GreyScale, Intensities
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.raster import Raster
from examine_jax.images.decoding.resize import (
    BAND_PIXELS,
    ImageSize,
    is_smaller,
    luma,
    resize_bands,
    resize_values,
    rows_and_columns,
    to_grey,
)
from examine_jax.images.decoding.series_windows import Slice
from examine_jax.images.decoding.tiff_directory import image_directories, is_tiff
from examine_jax.images.decoding.unreadable import UnreadableImage

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """A resized image with 1 channel (grey) or 3.

    Attributes:
        pixels: uint8 is final. uint16 and float32 wait for the full scale of their source
            (depth.py), or for the scale that they share with other images (intensity.py).
        largest: the largest value before resizing.
        stored_size: rows and columns before resizing, upright.
        intensities: of DICOM values that wait, what they say of the scale that they share.
        description: what the decoder's `describe` says of the image before resizing.
        slice: of DICOM, what it says of its series' window.
    """

    pixels: Shaped[np.ndarray, "rows columns channels"]
    largest: float
    stored_size: tuple[int, int]
    intensities: Intensities | None = None
    description: Float[np.ndarray, " numbers"] | None = None
    slice: Slice | None = None

    @property
    def resized_up(self) -> bool:
        """Whether a side was shorter than asked for."""
        return is_smaller(self.stored_size, (self.pixels.shape[0], self.pixels.shape[1]))


@dataclasses.dataclass(frozen=True)
class FileHeader:
    """What a file's header says of its images.

    Attributes:
        images: how many it declares.
        deep: they are integers of more than 8 bits, which wait for a full scale.
        waits: they wait for a scale that they share.
        missing: why images are not there, by their index.
        slices: of DICOM, what each image says of its series' window.
    """

    images: int
    deep: bool
    waits: bool = False
    missing: Mapping[int, str] = dataclasses.field(default_factory=dict)
    slices: tuple[Slice | None, ...] = ()


@dataclasses.dataclass(frozen=True)
class ImageDecoder:
    """Reads image files.

    Attributes:
        image_size: (rows, columns) of the result; one number: a square.
        channels: 1 (grey) or 3 (colour).
        bits_stored: see depth.py.
        max_pixels: images with more are refused.
        max_bytes: files with more are refused.
        budget: bounds the decoded pixels that all threads together hold.
        grey_scale: how DICOM grey values become black to white.
        describe: describes each image before resizing (describing.py); None: nothing does.
    """

    image_size: ImageSize
    channels: int
    bits_stored: int | None
    max_pixels: int
    max_bytes: int
    budget: Budget
    grey_scale: GreyScale = BY_FILE
    describe: Describe | None = None

    def __call__(self, path: str, frame: int = 0) -> DecodedImage:
        """Reads the image in a file, or one frame of a DICOM file, or one page of a TIFF.

        Raises:
            UnreadableImage: the file cannot be read, for any reason.
        """
        image = self._decode(path, [frame])[0]
        if isinstance(image, UnreadableImage):
            raise image
        return image

    def frames(self, path: str) -> list[DecodedImage | UnreadableImage]:
        """Reads all frames of a DICOM file, all pages of a TIFF, or the one image of another.

        Returns:
            The images. In place of a frame or page that is damaged, while others are not: why.

        Raises:
            UnreadableImage: no image of the file can be read, for any reason.
        """
        images = self._decode(path, None)
        if all(isinstance(image, UnreadableImage) for image in images):
            raise images[0]  # type: ignore[misc]
        return images

    def read_header(self, path: str) -> FileHeader:
        """Reads a file's header alone.

        Raises:
            UnreadableImage: the file cannot be read, for any reason.
        """
        return self._opened(path, self._header)

    def _decode(self, path: str, indices: list[int] | None) -> list[DecodedImage | UnreadableImage]:
        def decode(stream: BinaryIO) -> list[DecodedImage | UnreadableImage]:
            beginning = stream.read(BEGINNING)
            stream.seek(0)
            if is_dicom(beginning):
                return self._dicom(stream, indices)
            if is_tiff(beginning):
                return self._tiff(stream, indices)
            return [self._picture(stream)]

        return self._opened(path, decode)

    def _opened(self, path: str, read: Callable[[BinaryIO], Result]) -> Result:
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImage("not a plain file but a pipe, socket or device")
            if status.st_size == 0:
                raise UnreadableImage("empty: 0 bytes")
            if status.st_size > self.max_bytes:
                raise UnreadableImage(
                    f"{status.st_size} bytes, more than max_bytes={self.max_bytes}"
                )
            # Given a name, Pillow maps the file into memory: a file that shrinks then kills the
            # process, and some TIFFs are turned wrongly.
            with open(path, "rb") as stream:
                return read(stream)
        except (UnreadableImage, DescribeFailed):
            raise
        except UnidentifiedImageError:
            raise UnreadableImage(
                "its content is no PNG, JPEG, TIFF, BMP, WebP or DICOM image that can be read"
            ) from None
        # Damaged files raise anything: SyntaxError, IndexError, zlib.error, MemoryError and more.
        except Exception as error:
            raise UnreadableImage(_plain(error)) from error

    def _header(self, stream: BinaryIO) -> FileHeader:
        beginning = stream.read(BEGINNING)
        stream.seek(0)
        if is_dicom(beginning):
            file = _dicom_reader().read_header(stream, self.max_pixels, self.max_bytes)
            missing = file.missing()
            if len(missing) == file.frame_count:
                raise UnreadableImage(missing[0])
            return FileHeader(
                file.frame_count,
                False,
                file.waits_for_scale(self.grey_scale),
                missing,
                file.slices(self.grey_scale),
            )
        if is_tiff(beginning):
            return self._tiff_header(stream)
        image = pillow_image.open_image(stream, self.max_pixels)
        return FileHeader(1, pillow_image.is_deep(image))

    def _tiff_header(self, stream: BinaryIO) -> FileHeader:
        directories, read = self._directories(stream)
        deep, missing = False, dict[int, str]()
        for index, directory in enumerate(directories):
            try:
                deep = read(directory).deep or deep
            except UnreadableImage as error:
                missing[index] = str(error)
            except Exception as error:
                missing[index] = _plain(error)
        if len(missing) == len(directories):
            raise UnreadableImage(missing[0])
        return FileHeader(len(directories), deep, missing=missing)

    def _check_held(self, frames: int) -> None:
        rows, columns = rows_and_columns(self.image_size)
        if frames > 1 and rows * columns * self.channels * frames > self.max_bytes:
            raise UnreadableImage(
                f"{frames} frames, which take more than max_bytes={self.max_bytes}"
            )

    def _directories(self, stream: BinaryIO) -> tuple[list[int], Callable[[int], Raster]]:
        """The directories of a TIFF's images, and what reads the image of one."""
        tiff = _tiff_reader()
        directories = image_directories(stream)
        file = tiff.open_tiff(stream)

        def read(directory: int) -> Raster:
            return tiff.read_tiff(
                stream, file, directory, self.max_pixels, self.max_bytes, self.bits_stored
            )

        return directories, read

    def _tiff(
        self, stream: BinaryIO, indices: list[int] | None
    ) -> list[DecodedImage | UnreadableImage]:
        directories, read = self._directories(stream)
        wanted = directories if indices is None else [directories[index] for index in indices]
        self._check_held(len(wanted))
        results: list[DecodedImage | UnreadableImage] = []
        for directory in wanted:
            try:
                raster = read(directory)
                with self.budget.claim(raster.height * raster.width):
                    results.append(self._raster(raster))
            except DescribeFailed:
                raise
            # A damaged page costs no other.
            except UnreadableImage as error:
                results.append(error)
            except Exception as error:
                results.append(UnreadableImage(_plain(error)))
        return results

    def _picture(self, stream: BinaryIO) -> DecodedImage:
        """A PNG, JPEG, BMP or WebP."""
        image = pillow_image.open_image(stream, self.max_pixels)
        width, height = image.size
        description = None
        with self.budget.claim(width * height):
            if pillow_image.is_deep(image):
                return self._raster(pillow_image.read_deep(stream, image, self.max_pixels))
            if self.describe is not None:
                whole = pillow_image.bytes_of(image)
                turned = upright(whole, pillow_image.orientation(image))
                description = described(self.describe, turned)
            pixels, orientation = pillow_image.resized_bytes(
                stream, image, self.image_size, self.channels
            )
        return DecodedImage(
            upright(pixels, orientation),
            255.0,
            upright_size((height, width), orientation),
            description=description,
        )

    def _raster(self, raster: Raster) -> DecodedImage:
        size = raster.height, raster.width
        found = _Found(None if self.describe is None else size)
        wanted = upright_size(rows_and_columns(self.image_size), raster.orientation)
        pixels = resize_bands(self._prepared(found.watched(raster.bands())), *size, wanted)
        if found.kind == "f":
            problem = float_problem(found.smallest, found.largest)
        elif found.final:
            problem = integer_problem(int(found.smallest), int(found.largest), None)
        else:
            problem = integer_problem(int(found.smallest), int(found.largest), self.bits_stored)
        if problem:
            raise UnreadableImage(problem)
        description = self._described_in_bands(found, raster.orientation)
        if found.kind != "f" and pixels.dtype != np.uint8:
            pixels = np.clip(np.rint(pixels), 0, 65535).astype(np.uint16)
        return DecodedImage(
            upright(pixels, raster.orientation),
            255.0 if found.final else float(found.largest),
            upright_size(size, raster.orientation),
            description=description,
        )

    def _prepared(
        self, bands: Iterator[Num[np.ndarray, "rows width channels"]]
    ) -> Iterator[Num[np.ndarray, "rows width channels"]]:
        """Bands as they are resized: bytes or float32, and grey where that is asked for."""
        for band in bands:
            to_one = band.shape[-1] == 3 and self.channels == 1
            if band.dtype.itemsize == 1:
                # Signed bytes are plain bytes unless one is negative, which is refused later.
                plain = band.view(np.uint8)
                yield to_grey(plain) if to_one else plain
            else:
                with np.errstate(over="ignore"):  # Infinity is refused later.
                    values = band.astype(np.float32)
                yield luma(values) if to_one else values

    def _described_in_bands(
        self, found: "_Found", orientation: int
    ) -> Float[np.ndarray, " numbers"] | None:
        """What `describe` says of an image; its memory is that of its bytes."""
        if self.describe is None or found.whole is None:
            return None
        shown = found.whole
        if not found.final:
            shown = np.empty(found.whole.shape, np.uint8)
            rows = max(1, BAND_PIXELS // found.whole.shape[1])
            for top in range(0, len(shown), rows):
                band = found.whole[top : top + rows]
                shown[top : top + rows] = provisional_bytes(
                    band, float(found.largest), self.bits_stored
                )
            found.whole = None
        return described(self.describe, upright(shown.view(np.uint8), orientation))

    def _dicom(
        self, stream: BinaryIO, indices: list[int] | None
    ) -> list[DecodedImage | UnreadableImage]:
        file = _dicom_reader().read_header(stream, self.max_pixels, self.max_bytes)
        count = file.frame_count if indices is None else len(indices)
        self._check_held(count)
        results: list[DecodedImage | UnreadableImage] = []
        with self.budget.claim(file.frame_size, work=file.frame_size * count):
            for frame in file.frames(indices, self.grey_scale):
                if not isinstance(frame, Exception):
                    results.append(self._dicom_frame(frame))
                elif isinstance(frame, UnreadableImage):
                    results.append(frame)
                else:
                    results.append(UnreadableImage(_plain(frame)))
        return results

    def _dicom_frame(self, frame: Any) -> DecodedImage:
        values = frame.values
        stored_size = values.shape[:2]
        description = self._described(values, frame.intensities)
        if frame.intensities is not None:
            pixels = resize_values(values, self.image_size)
            return DecodedImage(
                pixels,
                values.max().item(),
                stored_size,
                frame.intensities,
                description,
                frame.slice,
            )
        if values.shape[-1] == 3 and self.channels == 1:
            values = luma(values)
        return DecodedImage(
            to_bytes(resize_values(values, self.image_size), 1.0),
            255.0,
            stored_size,
            description=description,
            slice=frame.slice,
        )

    def _described(
        self, values: Shaped[np.ndarray, "height width stored"], intensities: Intensities | None
    ) -> Float[np.ndarray, " numbers"] | None:
        """What `describe` says of a DICOM frame."""
        if self.describe is None:
            return None
        return described(
            self.describe, provisional_bytes(values, 1.0, self.bits_stored, intensities)
        )


class _Found:
    """What is found in an image's bands while they pass.

    Attributes:
        smallest, largest: of all values.
        kind: NumPy's letter of their type: "u", "i" or "f".
        final: they are bytes.
        whole: all of them, where the image's size was given.
    """

    def __init__(self, size: tuple[int, int] | None):
        self.smallest: float = float("inf")
        self.largest: float = float("-inf")
        self.kind = "u"
        self.final = False
        self.whole: Num[np.ndarray, "height width channels"] | None = None
        self._size = size

    def watched(
        self, bands: Iterator[Num[np.ndarray, "rows width channels"]]
    ) -> Iterator[Num[np.ndarray, "rows width channels"]]:
        top = 0
        for band in bands:
            self.kind, self.final = band.dtype.kind, band.dtype.itemsize == 1
            if band.dtype == np.uint8:
                self.smallest, self.largest = 0, 255
            else:
                # NumPy's keep a NaN of any band; Python's keep large integers exact.
                lower, upper = (np.minimum, np.maximum) if self.kind == "f" else (min, max)
                self.smallest = lower(self.smallest, band.min().item())
                self.largest = upper(self.largest, band.max().item())
            if self._size is not None:
                if self.whole is None:
                    self.whole = np.empty((*self._size, band.shape[-1]), band.dtype)
                self.whole[top : top + len(band)] = band
            top += len(band)
            yield band


def _dicom_reader() -> ModuleType:
    try:
        from examine_jax.images.decoding import dicom
    except ImportError:
        raise UnreadableImage(
            "a DICOM file, which is read by the package pydicom; pip install 'examine-jax[dicom]'"
        ) from None
    return dicom


def _tiff_reader() -> ModuleType:
    try:
        from examine_jax.images.decoding import tiff
    except ImportError:
        raise UnreadableImage(
            "a TIFF, which is read by the packages tifffile and imagecodecs; pip install tifffile "
            "imagecodecs"
        ) from None
    return tiff


def _plain(error: Exception) -> str:
    """An error as one short line."""
    if isinstance(error, MemoryError):
        return "decoding needs more memory than a file of its size may take; it is damaged"
    message = " ".join(
        (error.strerror or str(error) if isinstance(error, OSError) else str(error)).split()
    )
    if not isinstance(error, OSError | SyntaxError | Image.DecompressionBombError) or not message:
        message = f"damaged ({type(error).__name__}: {message})"
    elif message.startswith("decoder error"):
        message = f"damaged ({message})"
    return message[:300]
