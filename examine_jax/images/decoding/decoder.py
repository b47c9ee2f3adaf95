"""Decodes one image file to pixels of one size, or gives the reason why it cannot be read.

Files are not trusted. Only plain files of a limited size are opened, the format comes from the
content, and the size in the header is checked before anything is decoded.
"""

import contextlib
import dataclasses
import io
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import UnidentifiedImageError

from examine_jax.images.decoding import pillow_image
from examine_jax.images.decoding.decoded_image import (
    DecodedFile,
    DecodedImage,
    FileHeader,
    check_held,
)
from examine_jax.images.decoding.describing import (
    Describe,
    DescribeFailed,
    described,
    upright,
    upright_size,
)
from examine_jax.images.decoding.dicom_content import BEGINNING, is_dicom
from examine_jax.images.decoding.file_part import (
    FilePart,
    Place,
    RemoteFile,
    StackedFiles,
    open_place,
    part_bytes,
    scale_name,
)
from examine_jax.images.decoding.framing import Framing
from examine_jax.images.decoding.header_identity import HEADER_BYTES, HeaderIdentity
from examine_jax.images.decoding.intensity import BY_FILE, GreyScale
from examine_jax.images.decoding.local_copies import local_copies
from examine_jax.images.decoding.optional_readers import (
    dicom_reader,
    dicom_slide_reader,
    identity_reader,
    slide_reader,
    tiff_reader,
    volume_reader,
)
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.raster import Raster
from examine_jax.images.decoding.raster_pixels import decode_raster
from examine_jax.images.decoding.resize import (
    ImageSize,
    resize_image,
    rows_and_columns,
)
from examine_jax.images.decoding.slice_stacks import Placement
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiff_directory import Directories, is_tiff, tiff_directories
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, SlideTile, Tiling
from examine_jax.images.decoding.unreadable import UnreadableImage, unreadable
from examine_jax.images.decoding.volume_content import is_volume

Result = TypeVar("Result")


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
        slicing: which slices of volumes are images.
        tiling: how whole slides are cut.
    """

    image_size: ImageSize
    channels: int
    bits_stored: int | None
    max_pixels: int
    max_bytes: int
    budget: Budget
    grey_scale: GreyScale = BY_FILE
    describe: Describe | None = None
    slicing: Slicing = EVERY_SLICE
    tiling: Tiling = HALF_MICROMETRE

    def __call__(self, path: Place, frame: int = 0) -> DecodedImage:
        """Reads the image in a file, or one frame of a DICOM file, page of a TIFF, or slice.

        Raises:
            UnreadableImage: the file cannot be read, for any reason.
        """
        image = self._decode(path, [frame]).images[0]
        if isinstance(image, UnreadableImage):
            raise image
        return image

    def frames(self, path: Place) -> DecodedFile:
        """Reads all frames of a DICOM file, pages of a TIFF, slices of a volume, or the one image.

        Raises:
            UnreadableImage: no image of the file can be read, for any reason.
        """
        file = self._decode(path, None)
        first = file.images[0]
        if isinstance(first, UnreadableImage) and not any(
            isinstance(image, DecodedImage) for image in file.images
        ):
            raise first
        return file

    def read_header(self, path: Place) -> FileHeader:
        """Reads a file's header alone.

        Raises:
            UnreadableImage: the file cannot be read, for any reason.
        """
        if isinstance(path, SlideTile):
            return _guarded(lambda: self._tile_header(path))
        if isinstance(path, StackedFiles):
            return _guarded(lambda: self._dicom.cut_header(path))
        return self._opened(path, lambda stream: self._header(stream, path))

    def _tile_header(self, tile: SlideTile) -> FileHeader:
        side = slide_reader().tile_side(tile)
        return FileHeader(1, False, sizes=((side, side),))

    def identity(self, path: str | FilePart) -> HeaderIdentity | None:
        """What a DICOM file's header says of the patient and the scanner; None: it is none.

        Raises:
            UnreadableImage: the header cannot be read, for any reason.
        """
        if isinstance(path, FilePart) and path.size > HEADER_BYTES:
            with contextlib.suppress(UnreadableImage):
                beginning = _guarded(lambda: io.BytesIO(part_bytes(path, HEADER_BYTES)))
                return _guarded(lambda: self._identity(beginning, whole=False))
        return self._opened(path, self._identity)

    def _identity(self, stream: BinaryIO, whole: bool = True) -> HeaderIdentity | None:
        beginning = stream.read(BEGINNING)
        stream.seek(0)
        if not is_dicom(beginning):
            return None
        found: HeaderIdentity = identity_reader().read_identity(stream, self.max_bytes, whole=whole)
        return found

    def placement(self, path: str | FilePart) -> Placement | None:
        """Where the slice of a DICOM file lies in its series; None: it is no such slice.

        Raises:
            UnreadableImage: the file cannot be read, for any reason.
        """

        def read(stream: BinaryIO) -> Placement | None:
            beginning = stream.read(BEGINNING)
            stream.seek(0)
            return self._dicom.placement(stream) if is_dicom(beginning) else None

        return self._opened(path, read)

    def digest(self, path: str | FilePart) -> str:
        """Of the pixels of a DICOM file with one frame, and of what says how they are shown.

        Raises:
            UnreadableImage: the file cannot be read, for any reason.
        """
        return self._opened(path, lambda stream: str(self._dicom.digest(stream)))

    def tiles(self, path: str) -> tuple[list[list[int]], str]:
        """The tiles of a whole slide, and what to know of their resolution, as slide.py has it.

        Raises:
            UnreadableImage: there are none, for any reason.
        """
        return _guarded(lambda: slide_reader().slide_tiles(path, self.tiling, self.budget))

    def slide_part(self, path: str) -> tuple[str, str]:
        """The series of a DICOM file of a whole slide, and what it holds, as dicom_slide.py has it.

        Raises:
            UnreadableImage: it cannot be read, for any reason.
        """
        return _guarded(lambda: dicom_slide_reader().slide_part(path))

    def slide_facts(self, path: str) -> tuple[list[int], list[float]]:
        """The size and the resolution of a whole slide, as slide.py has it.

        Raises:
            UnreadableImage: it cannot be read, for any reason.
        """
        return _guarded(lambda: slide_reader().slide_facts(path))

    def overview(self, path: str) -> tuple[np.ndarray, np.ndarray, list[int], list[float]]:
        """A small picture of a whole slide, its tissue, size and resolution, as slide.py has it.

        Raises:
            UnreadableImage: it cannot be read, for any reason.
        """
        return _guarded(lambda: slide_reader().slide_overview(path, self.budget))

    def _decode(self, path: Place, indices: list[int] | None) -> DecodedFile:
        if isinstance(path, SlideTile):
            return _guarded(lambda: self._tile(path))
        if isinstance(path, StackedFiles):
            return _guarded(lambda: self._dicom.cuts(path, indices))

        def decode(stream: BinaryIO) -> DecodedFile:
            beginning = stream.read(BEGINNING)
            stream.seek(0)
            if is_dicom(beginning):
                return self._dicom.images(stream, indices)
            if is_tiff(beginning):
                return self._tiff(stream, indices)
            if is_volume(stream):
                volumes, name = self._volumes(), scale_name(path)
                if indices is None:
                    return volumes.slices(stream, name)
                return volumes.some(stream, name, indices)
            return self._picture(stream)

        return self._opened(path, decode)

    def _opened(
        self, path: str | FilePart | RemoteFile, read: Callable[[BinaryIO], Result]
    ) -> Result:
        def call() -> Result:
            with local_copies([path], self.max_bytes) as (local,):
                if isinstance(local, UnreadableImage):
                    raise local
                with open_place(local, self.max_bytes) as stream:
                    return read(stream)

        return _guarded(call)

    def _tile(self, tile: SlideTile) -> DecodedFile:
        with self.budget.claim(slide_reader().tile_side(tile) ** 2):
            image = slide_reader().tile_image(tile)
            description = None
            if self.describe is not None:
                description = described(self.describe, np.asarray(image))
            shown = image.convert("L") if self.channels == 1 else image
            size, framed = rows_and_columns(self.image_size), isinstance(self.image_size, Framing)
            if framed or shown.size[::-1] != size:
                shown = resize_image(shown, self.image_size)
            pixels = np.asarray(shown).reshape(*shown.size[::-1], self.channels)
            decoded = DecodedImage(pixels, 255.0, image.size[::-1], description=description)
        return DecodedFile([decoded])

    @property
    def _dicom(self) -> Any:
        return dicom_reader().DicomImages(
            self.image_size,
            self.channels,
            self.bits_stored,
            self.max_pixels,
            self.max_bytes,
            self.budget,
            self.grey_scale,
            self.describe,
            self.slicing,
        )

    def _volumes(self) -> Any:
        return volume_reader().VolumeReader(
            self.image_size,
            self.slicing,
            self.max_bytes,
            self.budget,
            self.grey_scale.intensity_range,
            self.describe,
        )

    def _header(self, stream: BinaryIO, path: Place) -> FileHeader:
        beginning = stream.read(BEGINNING)
        stream.seek(0)
        if is_dicom(beginning):
            return self._dicom.header(stream)
        if is_tiff(beginning):
            return self._tiff_header(stream)
        if is_volume(stream):
            header: FileHeader = self._volumes().header(stream, scale_name(path))
            return header
        image = pillow_image.open_image(stream, self.max_pixels)
        return FileHeader(
            1,
            pillow_image.is_deep(image),
            beyond=pillow_image.beyond(image),
            sizes=(pillow_image.size(stream, image),),
        )

    def _tiff_header(self, stream: BinaryIO) -> FileHeader:
        directories, read = self._directories(stream)
        deep, missing = False, dict[int, str]()
        sizes: list[tuple[int, int]] = []
        for index, directory in enumerate(directories.images):
            try:
                raster = read(directory)
                deep = raster.deep or deep
                sizes.append(upright_size((raster.height, raster.width), raster.orientation))
            except Exception as error:
                missing[index] = str(unreadable(error))
                sizes.append((0, 0))
        count = len(directories.images)
        if len(missing) == count:
            raise UnreadableImage(missing[0])
        return FileHeader(
            count, deep, missing=missing, beyond=directories.beyond, sizes=tuple(sizes)
        )

    def _directories(self, stream: BinaryIO) -> tuple[Directories, Callable[[int], Raster]]:
        """The directories of a TIFF's images, and what reads the image of one."""
        tiff = tiff_reader()
        directories = tiff_directories(stream)
        file = tiff.open_tiff(stream)
        if directories.beyond is None:
            beyond = tiff.declared_beyond(file, len(directories.images))
            directories = dataclasses.replace(directories, beyond=beyond)

        def read(directory: int) -> Raster:
            return tiff.read_tiff(
                stream, file, directory, self.max_pixels, self.max_bytes, self.bits_stored
            )

        return directories, read

    def _tiff(self, stream: BinaryIO, indices: list[int] | None) -> DecodedFile:
        directories, read = self._directories(stream)
        wanted = directories.images
        if indices is not None:
            wanted = tuple(wanted[index] for index in indices)
        check_held(len(wanted), self.image_size, self.channels, self.max_bytes)
        results: list[DecodedImage | UnreadableImage] = []
        for directory in wanted:
            try:
                raster = read(directory)
                with self.budget.claim(raster.height * raster.width):
                    results.append(self._raster(raster))
            except DescribeFailed:
                raise
            except Exception as error:  # A damaged page costs no other.
                results.append(unreadable(error))
        return DecodedFile(results, directories.beyond)

    def _picture(self, stream: BinaryIO) -> DecodedFile:
        """A PNG, JPEG, BMP or WebP."""
        image = pillow_image.open_image(stream, self.max_pixels)
        width, height = image.size
        beyond = pillow_image.beyond(image)
        description = None
        with self.budget.claim(width * height):
            if pillow_image.is_deep(image):
                deep = self._raster(pillow_image.read_deep(stream, image, self.max_pixels))
                return DecodedFile([deep], beyond)
            image = pillow_image.decoded(stream, image)
            if self.describe is not None:
                whole = pillow_image.bytes_of(image)
                turned = upright(whole, pillow_image.orientation(image))
                description = described(self.describe, turned)
            pixels, orientation = pillow_image.resized_bytes(
                stream, image, self.image_size, self.channels
            )
        decoded = DecodedImage(
            upright(pixels, orientation),
            255.0,
            upright_size((height, width), orientation),
            description=description,
        )
        return DecodedFile([decoded], beyond)

    def _raster(self, raster: Raster) -> DecodedImage:
        return decode_raster(
            raster, self.image_size, self.channels, self.bits_stored, self.describe
        )


def _guarded(call: Callable[[], Result]) -> Result:
    """What the call returns; what a damaged file raises becomes an `UnreadableImage`."""
    try:
        return call()
    except (UnreadableImage, DescribeFailed):
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(
            "its content is no PNG, JPEG, TIFF, BMP, WebP, DICOM or NIfTI image that can be read"
        ) from None
    # Damaged files raise anything: SyntaxError, IndexError, zlib.error, MemoryError and more.
    except Exception as error:
        raise unreadable(error) from error
