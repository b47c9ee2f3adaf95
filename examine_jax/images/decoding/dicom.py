"""Reads DICOM files by pydicom: frames as grey or colour values from 0 (black) to 1 (white).

Grey values pass the modality LUT (or rescale slope and intercept), then the first VOI LUT or
window, or another that the user names. A window of width 0 is none. Its output range becomes black
to white. Without a window:

- CT is shown from -1024 to 3071 Hounsfield units.
- PET in standardised uptake values (units GML) is shown from 0 to 10.
- The outputs of a modality LUT, and up to 8 unsigned bits without rescaling, are shown by the range
  that they can have.
- All other values wait for the scale that they share with other images (intensity.py).

MONOCHROME1 is inverted, so that white is bright. In enhanced multi-frame files, each frame has its
own values (shared and per-frame functional groups).
"""

import contextlib
import copy
import dataclasses
import zlib
from collections.abc import Generator, Iterator, Sequence
from typing import Any, BinaryIO, cast

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SegmentationStorage,
)

from examine_jax.common.shapes import Num, Shaped
from examine_jax.images.decoding.dicom_grey import display, rescaled, sharing
from examine_jax.images.decoding.intensity import BY_FILE, GreyScale, Intensities
from examine_jax.images.decoding.unreadable import UnreadableImage

# Bounds the number of frames that a header declares, because each becomes an image with a name.
MAX_FRAMES = 100_000

# The preamble, "DICM", and the element with the length of the file meta information that follows.
_META_START = 128 + 4 + 12

# Objects whose pixels are masks.
_NO_IMAGES = (SegmentationStorage,)

_GREY = ("MONOCHROME1", "MONOCHROME2")

_FRAME_SEQUENCES = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


def read_header(stream: BinaryIO, max_pixels: int, max_bytes: int) -> pydicom.Dataset:
    """Reads a file's header, without its pixels.

    Raises:
        UnreadableImage: the file has no pixels or too many, or no installed package decompresses
            them; the message says which package would.
    """
    _check_deflated(stream, max_bytes)
    try:
        stream.seek(0)
        header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
    except InvalidDicomError:
        raise UnreadableImage("its content is no DICOM file that can be read") from None
    if "TransferSyntaxUID" not in header.file_meta and not _has_preamble(stream):
        header.file_meta.TransferSyntaxUID = _syntax_of_bare(header)
    if "Rows" not in header or "Columns" not in header:
        kind = header.get("SOPClassUID")
        raise UnreadableImage(
            f"a DICOM file without pixels{f' ({kind.name})' if kind else ''}; remove it"
        )
    if header.get("SOPClassUID") in _NO_IMAGES:
        raise UnreadableImage(
            f"a DICOM object that is no image ({header.SOPClassUID.name}); remove it"
        )
    if header.Rows * header.Columns > max_pixels:
        raise UnreadableImage(
            f"{header.Columns} x {header.Rows} pixels in its header, more than "
            f"max_pixels={max_pixels}"
        )
    if not 1 <= frame_count(header) <= MAX_FRAMES:
        raise UnreadableImage(
            f"{frame_count(header)} frames in its header; 1 to {MAX_FRAMES} can be read"
        )
    _check_decoder(header)
    return header


def _has_preamble(stream: BinaryIO) -> bool:
    stream.seek(128)
    return stream.read(4) == b"DICM"


def _syntax_of_bare(header: pydicom.Dataset) -> UID:
    """The transfer syntax of a data set without file meta information, as pydicom read it."""
    implicit, little = header.original_encoding
    if not little:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def frame_count(header: pydicom.Dataset) -> int:
    """The number of images in the file."""
    return int(header.get("NumberOfFrames") or 1)


def waits_for_scale(header: pydicom.Dataset, scale: GreyScale) -> bool:
    """Whether `frames` may yield values that wait for the scale that they share."""
    if header.get("PhotometricInterpretation") not in _GREY:
        return False
    own = header.get("PerFrameFunctionalGroupsSequence")
    count = frame_count(header) if own else 1
    return any(display(_of_frame(header, index), scale) is None for index in range(count))


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One image of a file.

    Attributes:
        values: 1 or 3 channels, from 0 (black) to 1 (white), or values after rescaling.
        intensities: of values after rescaling, what they say of the scale that they share.
    """

    values: Shaped[np.ndarray, "height width channels"]
    intensities: Intensities | None = None


def frames(
    stream: BinaryIO,
    header: pydicom.Dataset,
    indices: Sequence[int] | None = None,
    scale: GreyScale = BY_FILE,
) -> Iterator[Frame]:
    """Yields frames one at a time.

    Args:
        stream: the file.
        header: what `read_header` returned for it.
        indices: frames; None: all.
        scale: how grey values become black to white.

    Yields:
        float32 frames.

    Raises:
        UnreadableImage: pixels are missing, damaged or unsupported.
    """
    stream.seek(0)
    deflated = header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    # A deflated stream has no random access. A bare data set does not say how it is encoded.
    whole = deflated or not _has_preamble(stream)
    stream.seek(0)
    source = pydicom.dcmread(stream, force=True) if whole else stream
    if isinstance(source, pydicom.Dataset) and "TransferSyntaxUID" not in source.file_meta:
        source.file_meta.TransferSyntaxUID = header.file_meta.TransferSyntaxUID
    with contextlib.closing(
        cast(Generator[np.ndarray, None, None], iter_pixels(source, indices=indices))
    ) as decoded:
        for index in range(frame_count(header)) if indices is None else indices:
            yield _frame(_next(decoded, header), _of_frame(header, index), scale)


def _next(decoded: Iterator[np.ndarray], header: pydicom.Dataset) -> Num[np.ndarray, "..."]:
    try:
        return next(decoded)
    except StopIteration:
        raise UnreadableImage(_truncated(header)) from None
    except ValueError as error:
        if "cannot reshape" not in str(error) or frame_count(header) == 1:
            raise
        raise UnreadableImage(_truncated(header)) from error
    except AttributeError as error:
        if "Pixel Data" not in str(error) and "PixelData" not in str(error):
            raise
        raise UnreadableImage("a DICOM file without pixels; remove it") from error
    except RuntimeError as error:  # All installed packages failed.
        raise UnreadableImage(_undecodable(header, error)) from error


def _truncated(header: pydicom.Dataset) -> str:
    return f"truncated: its header declares {frame_count(header)} frames"


def _frame(pixels: Num[np.ndarray, "..."], header: pydicom.Dataset, scale: GreyScale) -> Frame:
    photometric = header.get("PhotometricInterpretation", "")
    if photometric in _GREY:
        return _grey(pixels, header, scale)
    if photometric == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, header)
        return Frame((pixels / np.float32(np.iinfo(pixels.dtype).max)).astype(np.float32)[..., :3])
    if photometric == "RGB" or photometric.startswith("YBR"):  # pydicom returns RGB for both.
        return Frame((pixels / np.float32(2**header.BitsStored - 1)).astype(np.float32))
    raise UnreadableImage(f"DICOM colours as {photometric!r}, which are not read; export it as PNG")


def _grey(
    pixels: Num[np.ndarray, "height width"], header: pydicom.Dataset, scale: GreyScale
) -> Frame:
    if pixels.dtype.kind == "f":
        raise UnreadableImage(
            "DICOM pixels in floating point, which are not read; export it as 16-bit TIFF"
        )
    inverted = header.PhotometricInterpretation == "MONOCHROME1"
    values = rescaled(pixels, header)
    show = display(header, scale)
    if show is not None:
        shown = show(values)
        return Frame((1 - shown if inverted else shown).astype(np.float32)[..., None])
    # Values that fill the area outside the image say nothing of its scale.
    padding = header.get("PixelPaddingValue")
    image = values if padding is None else values[pixels != padding]
    shared_by, from_zero = sharing(header)
    return Frame(
        values.astype(np.float32)[..., None],
        Intensities.of(
            image if image.size else values, shared_by, from_zero=from_zero, inverted=inverted
        ),
    )


def _of_frame(header: pydicom.Dataset, index: int) -> pydicom.Dataset:
    """The header of one frame. It differs from the file's in enhanced multi-frame files alone."""
    groups: list[Any] = list(header.get("SharedFunctionalGroupsSequence") or [])[:1]
    groups += list(header.get("PerFrameFunctionalGroupsSequence") or [])[index : index + 1]
    found = [
        item
        for group in groups
        for name in _FRAME_SEQUENCES
        for item in list(group.get(name) or [])[:1]
    ]
    if not found:
        return header
    result = copy.copy(header)
    for item in found:
        result.update(item)
    return result


def _check_decoder(header: pydicom.Dataset) -> None:
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise UnreadableImage(
            "a DICOM file that does not say how it is encoded (TransferSyntaxUID); convert it anew"
        )
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnreadableImage(
            f"DICOM pixels encoded as {syntax.name}, which pydicom does not read; export it as PNG"
        ) from None
    if not decoder.is_available:
        raise UnreadableImage(
            f"DICOM pixels encoded as {syntax.name}; to read them install one of: "
            f"{_packages(decoder)}"
        )


def _undecodable(header: pydicom.Dataset, error: RuntimeError) -> str:
    syntax = header.file_meta.TransferSyntaxUID
    others = _packages(get_decoder(syntax))
    reason = " ".join(str(error).split())[:160]
    message = f"DICOM pixels encoded as {syntax.name} could not be decoded ({reason})"
    return message + (f"; another package may: {others}" if others else "")


def _packages(decoder: Decoder) -> str:
    """The missing packages that would decode a transfer syntax, by their names on PyPI."""
    named = (
        dependency.replace("requires gdcm", "requires python-gdcm")
        for dependency in decoder.missing_dependencies
    )
    return "; ".join(named)


def _check_deflated(stream: BinaryIO, max_bytes: int) -> None:
    """Refuses a deflated file that inflates beyond max_bytes. pydicom inflates it whole."""
    try:
        meta = read_file_meta_info(stream.name)
    except InvalidDicomError:
        return  # read_header gives the reason.
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    stream.seek(_META_START + meta.FileMetaInformationGroupLength)
    inflater, held = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while chunk := stream.read(2**20):
        while chunk:
            held += len(inflater.decompress(chunk, 2**24))
            chunk = inflater.unconsumed_tail
            if held > max_bytes:
                raise UnreadableImage(
                    f"deflated, and more than max_bytes={max_bytes} when inflated"
                )
