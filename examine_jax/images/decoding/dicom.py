"""Reads DICOM files by pydicom: frames as grey or colour values from 0 (black) to 1 (white).

Grey values pass the modality LUT (or rescale slope and intercept), then the first VOI LUT or
window. Its output range becomes black to white. Without a window:

- CT is shown from -1024 to 3071 Hounsfield units.
- Values of more than 8 bits without rescaling, none below 0, wait for the full scale of their
  source (depth.py).
- All other values are scaled by the range that the bits stored can hold.

MONOCHROME1 is inverted, so that white is bright. In enhanced multi-frame files, each frame has its
own values (shared and per-frame functional groups).
"""

import contextlib
import copy
import zlib
from collections.abc import Generator, Iterator, Sequence
from typing import Any, BinaryIO, cast

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.pixels.processing import (
    apply_color_lut,
    apply_modality_lut,
    apply_voi_lut,
    apply_windowing,
)
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import DeflatedExplicitVRLittleEndian, SegmentationStorage

from examine_jax.common.shapes import Num, Shaped
from examine_jax.images.decoding.unreadable import UnreadableImage

# Bounds the number of frames that a header declares, because each becomes an image with a name.
MAX_FRAMES = 100_000

# The preamble, "DICM", and the element with the length of the file meta information that follows.
_META_START = 128 + 4 + 12

# The range of 12 bits in Hounsfield units: air is -1000, the densest bone about 3000.
_HOUNSFIELD = -1024.0, 3071.0

# Objects whose pixels are masks.
_NO_IMAGES = (SegmentationStorage,)

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
        header = pydicom.dcmread(stream, stop_before_pixels=True)
    except InvalidDicomError:
        raise UnreadableImage("its content is no DICOM file that can be read") from None
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


def frame_count(header: pydicom.Dataset) -> int:
    """The number of images in the file."""
    return int(header.get("NumberOfFrames") or 1)


def waits_for_full_scale(header: pydicom.Dataset) -> bool:
    """Whether `frames` may yield uint16 values that wait for a full scale (if none is below 0)."""
    return (
        header.get("PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2")
        and 8 < int(header.get("BitsStored", 0)) <= 16
        and not any(
            name in header for name in ("RescaleIntercept", "ModalityLUTSequence", "VOILUTSequence")
        )
        and header.get("WindowWidth") is None
        and _of_frame(header, 0) is header
    )


def frames(
    stream: BinaryIO, header: pydicom.Dataset, indices: Sequence[int] | None = None
) -> Iterator[Shaped[np.ndarray, "height width channels"]]:
    """Yields frames one at a time, with 1 or 3 channels.

    Args:
        stream: the file.
        header: what `read_header` returned for it.
        indices: frames; None: all.

    Yields:
        float32 in [0, 1], or uint16 that waits for the full scale of its source.

    Raises:
        UnreadableImage: pixels are missing, damaged or unsupported.
    """
    stream.seek(0)
    deflated = header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    # A deflated stream has no random access.
    source = pydicom.dcmread(stream) if deflated else stream
    with contextlib.closing(
        cast(Generator[np.ndarray, None, None], iter_pixels(source, indices=indices))
    ) as decoded:
        for index in range(frame_count(header)) if indices is None else indices:
            yield _values(_next(decoded, header), _of_frame(header, index))


def _next(decoded: Iterator[np.ndarray], header: pydicom.Dataset) -> Num[np.ndarray, "..."]:
    try:
        return next(decoded)
    except StopIteration:
        raise UnreadableImage(
            f"truncated: its header declares {frame_count(header)} frames"
        ) from None
    except AttributeError as error:
        if "Pixel Data" not in str(error) and "PixelData" not in str(error):
            raise
        raise UnreadableImage("a DICOM file without pixels; remove it") from error
    except RuntimeError as error:  # All installed packages failed.
        raise UnreadableImage(_undecodable(header, error)) from error


def _values(
    pixels: Num[np.ndarray, "..."], header: pydicom.Dataset
) -> Shaped[np.ndarray, "height width channels"]:
    photometric = header.get("PhotometricInterpretation", "")
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        values, white = _grey(pixels, header)
        return (white - values if photometric == "MONOCHROME1" else values)[..., None]
    if photometric == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, header)
        return (pixels / np.float32(np.iinfo(pixels.dtype).max)).astype(np.float32)[..., :3]
    if photometric == "RGB" or photometric.startswith("YBR"):  # pydicom returns RGB for both.
        return (pixels / np.float32(2**header.BitsStored - 1)).astype(np.float32)
    raise UnreadableImage(f"DICOM colours as {photometric!r}, which are not read; export it as PNG")


def _grey(
    pixels: Num[np.ndarray, "height width"], header: pydicom.Dataset
) -> tuple[Shaped[np.ndarray, "height width"], Any]:
    """(values, white): float32 and 1, or uint16 and the largest value of the bits stored."""
    if pixels.dtype.kind == "f":
        raise UnreadableImage(
            "DICOM pixels in floating point, which are not read; export it as 16-bit TIFF"
        )
    bits = int(header.BitsStored)
    values = apply_modality_lut(pixels, header)
    if header.get("VOILUTSequence"):
        values = apply_voi_lut(np.rint(values).astype(np.int64), header)  # a table of integers
        black, white = 0.0, 2.0 ** header.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif header.get("WindowWidth") is not None and header.get("WindowCenter") is not None:
        # Black and white are its outputs for the darkest and brightest possible values.
        with np.errstate(over="ignore"):  # exp of a sigmoid's far end
            black, white = apply_windowing(np.array([-1e30, 1e30]), header).tolist()
            values = apply_windowing(values, header)
    elif header.get("Modality") == "CT" and (
        header.PixelRepresentation or "RescaleIntercept" in header
    ):
        black, white = _HOUNSFIELD
    elif values is pixels and 8 < bits <= 16 and values.min() >= 0:
        return values.astype(np.uint16), np.uint16(2**bits - 1)
    else:
        black, white = _stored_range(header)
    if black == white:
        raise UnreadableImage("a DICOM window or rescale slope without extent; correct its header")
    return np.clip((values - black) / (white - black), 0, 1).astype(np.float32), np.float32(1)


def _stored_range(header: pydicom.Dataset) -> tuple[float, float]:
    """The smallest and largest possible value after the modality LUT."""
    if header.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** header.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits = int(header.BitsStored)
    if bits > 16:
        raise UnreadableImage(
            f"{bits} bits a sample and no window that says what is black and white; add a window"
        )
    low = -(2.0 ** (bits - 1)) if header.PixelRepresentation else 0.0
    slope, intercept = (
        float(header.get("RescaleSlope", 1) or 1),
        float(header.get("RescaleIntercept", 0) or 0),
    )
    ends = sorted((low * slope + intercept, (low + 2.0**bits - 1) * slope + intercept))
    return ends[0], ends[1]


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
