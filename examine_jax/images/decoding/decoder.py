"""Decodes one image file to pixels of one size, or gives the reason why it cannot be read.

Files are not trusted. Only plain files of a limited size are opened, the format comes from the
content, and the size in the header is checked before anything is decoded.
"""

import dataclasses
import os
import stat
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError
from PIL.ExifTags import Base as ExifTag

from examine_jax.common.shapes import Float, Shaped
from examine_jax.images.decoding.depth import float_problem, integer_problem, to_bytes
from examine_jax.images.decoding.describing import (
    Describe,
    DescribeFailed,
    described,
    provisional_bytes,
    upright,
)
from examine_jax.images.decoding.dicom_content import BEGINNING, is_dicom
from examine_jax.images.decoding.intensity import BY_FILE, GreyScale, Intensities
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.resize import luma, resize_image, resize_values
from examine_jax.images.decoding.unreadable import UnreadableImage

Result = TypeVar("Result")

_MOST_PAGES = 100_000  # that a TIFF may have: each becomes an image with a name
_MOST_DAMAGED_FRAMES = 16  # of a DICOM file; one with more is skipped as a whole

# Pillow reads others too, such as PostScript, which it passes to an interpreter.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")

# JPEG decodes to a half, quarter or eighth in a fraction of the time. From 4 times the final size
# on, the difference is invisible.
_DRAFT_MARGIN = 4

# TIFF tags.
_BITS_PER_SAMPLE, _PHOTOMETRIC_INTERPRETATION, _SAMPLE_FORMAT = 258, 262, 339
_NEW_SUBFILE_TYPE = 254
_SMALLER_COPY, _MASK = 1, 4  # bits of it
_SAMPLE_KINDS = {
    1: "unsigned integer",
    2: "signed integer",
    3: "float",
    5: "complex integer",
    6: "complex float",
}

_GREY_MODES = ("1", "L", "LA", "La")

# EXIF orientation -> what turns the image upright.
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """A resized image with 1 channel (grey) or 3.

    Attributes:
        pixels: uint8 is final. uint16 and float32 wait for the full scale of their source
            (depth.py), or for the scale that they share with other images (intensity.py).
        largest: the largest value before resizing.
        resized_up: whether a side was shorter than asked for.
        intensities: of DICOM values that wait, what they say of the scale that they share.
        description: what the decoder's `describe` says of the image before resizing.
    """

    pixels: Shaped[np.ndarray, "image_size image_size channels"]
    largest: float
    resized_up: bool
    intensities: Intensities | None = None
    description: Float[np.ndarray, " numbers"] | None = None


@dataclasses.dataclass(frozen=True)
class ImageDecoder:
    """Reads image files.

    Attributes:
        image_size: rows and columns of the result.
        channels: 1 (grey) or 3 (colour).
        bits_stored: see depth.py.
        max_pixels: images with more are refused.
        max_bytes: files with more are refused.
        budget: bounds the decoded pixels that all threads together hold.
        grey_scale: how DICOM grey values become black to white.
        describe: describes each image before resizing (describing.py); None: nothing does.
    """

    image_size: int
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

    def read_header(self, path: str) -> tuple[int, bool, bool]:
        """Reads a file's header alone.

        Returns:
            The number of images in the file, whether they are integers of more than 8 bits, which
            wait for a full scale, and whether they wait for a scale that they share.

        Raises:
            UnreadableImage: the file cannot be read, for any reason.
        """
        return self._opened(path, self._header)

    def _decode(self, path: str, indices: list[int] | None) -> list[DecodedImage | UnreadableImage]:
        def decode(stream: BinaryIO) -> list[DecodedImage | UnreadableImage]:
            if _is_dicom(stream):
                return self._dicom(stream, indices)
            pages = _pages(self._open(stream))
            self._check_held(len(pages if indices is None else indices))
            if len(pages) == 1:
                return [self._read(stream)]
            return [
                self._page(stream, pages[index])
                for index in (range(len(pages)) if indices is None else indices)
            ]

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
            raise UnreadableImage(_unidentified(path)) from None
        # Damaged files raise anything: SyntaxError, IndexError, zlib.error, MemoryError and more.
        except Exception as error:
            raise UnreadableImage(_plain(error)) from error

    def _header(self, stream: BinaryIO) -> tuple[int, bool, bool]:
        if _is_dicom(stream):
            dicom = _dicom_reader()
            header = dicom.read_header(stream, self.max_pixels, self.max_bytes)
            waits = dicom.waits_for_scale(header, self.grey_scale)
            return dicom.frame_count(header), False, waits
        image = self._open(stream)
        _check_samples(image)
        pages, deep = _pages(image), False
        for page in pages:
            image.seek(page)
            deep = deep or (_is_deep(image) and image.mode != "F")
        return len(pages), deep, False

    def _check_held(self, frames: int) -> None:
        if frames > 1 and self.image_size**2 * self.channels * frames > self.max_bytes:
            raise UnreadableImage(
                f"{frames} frames, which take more than max_bytes={self.max_bytes}"
            )

    def _page(self, stream: BinaryIO, page: int) -> DecodedImage | UnreadableImage:
        """One page of several; a damaged one costs no other."""
        try:
            return self._read(stream, page)
        except DescribeFailed:
            raise
        except UnreadableImage as error:
            return error
        except Exception as error:
            return UnreadableImage(_plain(error))

    def _open(self, stream: BinaryIO, page: int = 0) -> Image.Image:
        image = _opened(stream, page)
        width, height = image.size
        if width * height > self.max_pixels:
            raise UnreadableImage(
                f"{width} x {height} pixels in its header, more than max_pixels={self.max_pixels}"
            )
        return image

    def _read(self, stream: BinaryIO, page: int = 0) -> DecodedImage:
        image = self._open(stream, page)
        width, height = image.size
        resized_up = min(width, height) < self.image_size
        with self.budget.claim(width * height):
            _check_samples(image)
            pixels, largest, description = (
                self._deep(stream, image, page)
                if _is_deep(image)
                else self._shallow(stream, image, page)
            )
        return DecodedImage(pixels, largest, resized_up, description=description)

    def _dicom(
        self, stream: BinaryIO, indices: list[int] | None
    ) -> list[DecodedImage | UnreadableImage]:
        dicom = _dicom_reader()
        header = dicom.read_header(stream, self.max_pixels, self.max_bytes)
        wanted = list(range(dicom.frame_count(header))) if indices is None else indices
        self._check_held(len(wanted))
        results: list[DecodedImage | UnreadableImage] = []
        damaged = 0
        with self.budget.claim(header.Rows * header.Columns):
            while len(results) < len(wanted):
                try:
                    rest = wanted[len(results) :]
                    for frame in dicom.frames(stream, header, rest, self.grey_scale):
                        results.append(self._dicom_frame(frame))
                except DescribeFailed:
                    raise
                except Exception as error:
                    # Each attempt reads the file again, so a file has few.
                    damaged += 1
                    if len(wanted) == 1 or damaged > _MOST_DAMAGED_FRAMES:
                        raise
                    known = error if isinstance(error, UnreadableImage) else None
                    results.append(known or UnreadableImage(_plain(error)))
        return results

    def _dicom_frame(self, frame: Any) -> DecodedImage:
        values = frame.values
        resized_up = min(values.shape[:2]) < self.image_size
        description = self._described(values, 1.0, frame.intensities)
        if frame.intensities is not None:
            pixels = resize_values(values, self.image_size)
            return DecodedImage(
                pixels, values.max().item(), resized_up, frame.intensities, description
            )
        if values.shape[-1] == 3 and self.channels == 1:
            values = luma(values)
        return DecodedImage(
            to_bytes(resize_values(values, self.image_size), 1.0),
            255.0,
            resized_up,
            description=description,
        )

    def _described(
        self,
        values: Shaped[np.ndarray, "height width stored"],
        largest: float,
        intensities: Intensities | None = None,
        orientation: int = 1,
    ) -> Float[np.ndarray, " numbers"] | None:
        """What `describe` says of deep values."""
        if self.describe is None:
            return None
        shown = provisional_bytes(values, largest, self.bits_stored, intensities)
        return described(self.describe, upright(shown, orientation))

    def _shallow(
        self, stream: BinaryIO, image: Image.Image, page: int
    ) -> tuple[
        Shaped[np.ndarray, "image_size image_size channels"],
        float,
        Float[np.ndarray, " numbers"] | None,
    ]:
        description = None
        if self.describe is not None:
            whole, stored_grey = _laid_on_white(image), image.mode in _GREY_MODES
            pixels = np.asarray(whole.convert("L" if stored_grey else "RGB"))
            pixels = pixels.reshape(*pixels.shape[:2], -1)
            description = described(self.describe, upright(pixels, _orientation(image)))
            # Resized pixels are the same with a description as without: by a draft of its own.
            if image.format == "JPEG" and min(image.size) >= 2 * _DRAFT_MARGIN * self.image_size:
                image = self._open(stream, page)
        # Mode None keeps the file's. Only JPEG has drafts.
        image.draft(None, (_DRAFT_MARGIN * self.image_size,) * 2)
        image.load()
        orientation = _orientation(image)
        grey = self.channels == 1 or image.mode in _GREY_MODES
        image = _laid_on_white(image)
        image = resize_image(image.convert("L" if grey else "RGB"), self.image_size)
        if orientation in _TRANSPOSITIONS:
            image = image.transpose(_TRANSPOSITIONS[orientation])
        pixels = np.asarray(image).reshape(self.image_size, self.image_size, -1)
        return pixels, 255.0, description

    def _deep(
        self, stream: BinaryIO, image: Image.Image, page: int
    ) -> tuple[
        Shaped[np.ndarray, "image_size image_size channels"],
        float,
        Float[np.ndarray, " numbers"] | None,
    ]:
        if image.mode in ("RGB", "RGBA"):
            image, values = _sixteen_bit_colour(stream, page)
        else:
            values = _array(image)[..., None]
        # Ask for the orientation after decoding: Pillow has then turned some images upright.
        return self._resized(values, _orientation(image))

    def _resized(
        self, values: Shaped[np.ndarray, "height width stored"], orientation: int = 1
    ) -> tuple[
        Shaped[np.ndarray, "image_size image_size channels"],
        float,
        Float[np.ndarray, " numbers"] | None,
    ]:
        """Deep values (uint16 or float32) resized, and the largest value before that.

        The third is their description.
        """
        floating = values.dtype.kind == "f"
        smallest, largest = values.min().item(), values.max().item()
        problem = (
            float_problem(smallest, largest)
            if floating
            else integer_problem(smallest, largest, self.bits_stored)
        )
        if problem:
            raise UnreadableImage(problem)
        description = self._described(values, float(largest), orientation=orientation)
        values = values.astype(np.float32)
        if values.shape[-1] == 3 and self.channels == 1:
            values = luma(values)
        values = resize_values(values, self.image_size)
        if orientation in _TRANSPOSITIONS:
            planes = [
                Image.fromarray(plane).transpose(_TRANSPOSITIONS[orientation])
                for plane in np.moveaxis(values, -1, 0)
            ]
            values = np.stack([np.asarray(plane) for plane in planes], axis=-1)
        values = values if floating else np.clip(np.rint(values), 0, 65535).astype(np.uint16)
        return values, float(largest), description


def _laid_on_white(image: Image.Image) -> Image.Image:
    """The image without transparency.

    The colour of transparent pixels is arbitrary; slides and figures are white there.
    """
    image.load()
    if not image.has_transparency_data:
        return image
    image = image.convert("LA") if image.mode == "La" else image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _opened(stream: BinaryIO, page: int) -> Image.Image:
    image = Image.open(stream, formats=FORMATS)
    if page:
        image.seek(page)
    return image


def _pages(image: Image.Image) -> list[int]:
    """The pages of a TIFF that are images: no smaller copies of others, and no masks.

    The page after which the file is damaged is the last one. Other formats have one page.
    """
    if image.format != "TIFF":
        return [0]
    pages = [0]
    try:
        for page in range(1, min(image.n_frames, _MOST_PAGES)):  # type: ignore[attr-defined]
            image.seek(page)
            kind = image.tag_v2.get(_NEW_SUBFILE_TYPE, 0)  # type: ignore[attr-defined]
            if not kind & (_SMALLER_COPY | _MASK):
                pages.append(page)
    except Exception:
        pass
    image.seek(0)
    return pages


def _is_dicom(stream: BinaryIO) -> bool:
    beginning = stream.read(BEGINNING)
    stream.seek(0)
    return is_dicom(beginning)


def _dicom_reader() -> ModuleType:
    try:
        from examine_jax.images.decoding import dicom
    except ImportError:
        raise UnreadableImage(
            "a DICOM file, which is read by the package pydicom; pip install pydicom"
        ) from None
    return dicom


def _rawmode(image: Image.Image) -> str:
    """The layout of the file's samples, in Pillow's notation: "RGB;16B"."""
    arguments = image.tile[0].args if image.tile else ""  # type: ignore[attr-defined]
    return str(arguments[0] if isinstance(arguments, tuple | list) and arguments else arguments)


def _is_deep(image: Image.Image) -> bool:
    return (
        image.mode.startswith("I")
        or image.mode == "F"
        or (image.mode in ("RGB", "RGBA") and ";16" in _rawmode(image))
    )


def _check_samples(image: Image.Image) -> None:
    """Refuses TIFFs that Pillow reads wrongly."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return
    bits = tags.get(_BITS_PER_SAMPLE, (1,))
    if max(bits) > 8 and not _is_deep(image) and ";16" not in _rawmode(image):
        raise UnreadableImage(
            "a TIFF of more than 8 bits a sample with each channel by itself; save it with "
            "interleaved channels"
        )
    if _is_deep(image) and tags.get(_PHOTOMETRIC_INTERPRETATION) == 0:
        raise UnreadableImage(
            "a TIFF of more than 8 bits a sample whose 0 is white; save it with 0 as black"
        )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 (upright) where it is missing or damaged.

    Pillow turns TIFFs itself and then gives 1.
    """
    try:
        return int(image.getexif().get(ExifTag.Orientation, 1))
    except Exception:
        return 1


def _sixteen_bit_colour(
    stream: BinaryIO, page: int
) -> tuple[Image.Image, Shaped[np.ndarray, "height width 3"]]:
    """The decoded file, and its colours as uint16.

    Pillow keeps the upper 8 bits, which it finds by the byte order in the raw mode. Given the other
    order, the same decoder returns the lower 8 bits.
    """
    image = _opened(stream, page)
    rawmode = _rawmode(image)
    if rawmode == "LA;16B":  # PNG: the bytes of grey and alpha lie like four channels.
        grey_high, grey_low, alpha_high, alpha_low = np.moveaxis(
            _samples(image, "RGBA"), -1, 0
        ).astype(np.uint16)
        grey, alpha = grey_high << 8 | grey_low, alpha_high << 8 | alpha_low
        values = np.stack([grey, grey, grey, alpha], axis=-1)
    elif rawmode in (
        "RGB;16L",
        "RGB;16B",
        "RGB;16N",
        "RGBX;16L",
        "RGBX;16B",
        "RGBX;16N",
        "RGBA;16L",
        "RGBA;16B",
        "RGBA;16N",
    ):
        layout, order = rawmode[:-1], rawmode[-1]
        native = "L" if sys.byteorder == "little" else "B"
        order = native if order == "N" else order
        high = _samples(image, layout + order).astype(np.uint16)
        low = _samples(_opened(stream, page), layout + ("B" if order == "L" else "L"))
        values = high << 8 | low
    else:
        raise UnreadableImage(f"16-bit samples laid out as {rawmode}; save it as 16-bit RGB")
    if values.shape[-1] == 3:
        return image, values
    colour, alpha = values[..., :3], values[..., 3:].astype(np.float32) / 65535
    if alpha.min() == 1:
        return image, colour
    return image, np.rint(colour * alpha + 65535 * (1 - alpha)).astype(np.uint16)


def _unidentified(path: str) -> str:
    """Why Pillow does not recognise a file: an unsupported TIFF, or no image at all."""
    try:
        with open(path, "rb") as stream:
            tags = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
            stream.seek(tags.next)
            tags.load(stream)
        bits, kind = tags[_BITS_PER_SAMPLE], tags.get(_SAMPLE_FORMAT, (1,))[0]
        samples = f"{len(bits)} x {bits[0]}-bit {_SAMPLE_KINDS[kind]} samples"
        advice = "save it as 8- or 16-bit grey or RGB, or as float32 grey"
        return f"a TIFF of {samples}, which is not read; {advice}"
    except Exception:  # no TIFF, or one so damaged that its tags cannot be read
        return "its content is no PNG, JPEG, TIFF, BMP, WebP or DICOM image that can be read"


def _samples(image: Image.Image, rawmode: str) -> Shaped[np.ndarray, "height width channels"]:
    """Decodes the image with another layout of its samples."""
    tiles = image.tile  # type: ignore[attr-defined]
    image.tile = [  # type: ignore[attr-defined]
        tile._replace(
            args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple | list) else rawmode
        )
        for tile in tiles
    ]
    return _array(image)


def _array(image: Image.Image) -> Shaped[np.ndarray, "height width ..."]:
    image.load()  # First: loading turns a TIFF upright, and NumPy would ask for the shape before.
    return np.asarray(image)


def _plain(error: Exception) -> str:
    """An error as one short line."""
    message = " ".join(
        (error.strerror or str(error) if isinstance(error, OSError) else str(error)).split()
    )
    if not isinstance(error, OSError | SyntaxError | Image.DecompressionBombError) or not message:
        message = f"damaged ({type(error).__name__}: {message})"
    elif message.startswith("decoder error"):
        message = f"damaged ({message})"
    return message[:300]
