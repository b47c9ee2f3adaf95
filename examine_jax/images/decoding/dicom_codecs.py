"""Decodes one compressed frame of a DICOM file to the values that it stores.

imagecodecs (BSD) decodes all JPEG families. pydicom decodes run lengths (RLE) itself, and the rest
by other packages where imagecodecs is not installed.

A codestream that disagrees with the header about sizes is refused. One that disagrees about the
sign of its values is right: they are taken as numbers of the codestream's bits, signed or not as
the header says.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEG2000MC,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEG2000MCLossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from examine_jax.common.shapes import Num
from examine_jax.images.decoding.unreadable import UnreadableImage

JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
JPEG_2000 = (
    *(JPEG2000Lossless, JPEG2000, JPEG2000MCLossless, JPEG2000MC),
    *(HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K),
)

# What decodes every compressed syntax that is read here.
ADVICE = "pip install 'examine-jax[dicom]'"

_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit)

# Component identifiers "RGB" and "rgb".
_RGB = ([82, 71, 66], [114, 103, 98])

# JPEG markers: frames but for huffman tables (C4), JPG (C8) and arithmetic conditions (CC).
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


@dataclasses.dataclass(frozen=True)
class Codestream:
    """What a compressed frame says of itself.

    Attributes:
        rows, columns, samples: its size.
        bits: of a sample.
        colours: "RGB" or "YBR_FULL" where it says so.
    """

    rows: int
    columns: int
    samples: int
    bits: int
    colours: str | None = None


def check_decodable(syntax: UID) -> None:
    """Refuses a compressed syntax that no installed package decodes.

    Raises:
        UnreadableImage: the message says what to install.
    """
    if syntax in (*JPEG, *JPEG_LS, *JPEG_2000) and _has_imagecodecs():
        return
    decoder = _decoder(syntax)
    if decoder is None and syntax not in JPEG_2000:
        raise UnreadableImage(
            f"DICOM pixels encoded as {syntax.name}, which are not read; export it as PNG"
        )
    if decoder is None or not decoder.is_available:
        raise UnreadableImage(f"DICOM pixels encoded as {syntax.name}; to read them {ADVICE}")


def decode(
    frame: bytes, header: pydicom.Dataset
) -> tuple[Num[np.ndarray, "height width ..."], str]:
    """Decodes one compressed frame.

    Returns:
        (the values [H, W] or [H, W, 3], how they are colours)

    Raises:
        UnreadableImage: it is damaged, or no installed package decodes it.
    """
    syntax = header.file_meta.TransferSyntaxUID
    if syntax not in (*JPEG, *JPEG_LS, *JPEG_2000):
        return _by_pydicom(frame, header)
    stream = _codestream(frame, syntax)
    if stream is None:
        raise UnreadableImage(f"damaged: no frame in the encoding {syntax.name}")
    _check_sizes(stream, header)
    if not _has_imagecodecs():
        return _by_pydicom(frame, header)
    values = _codec(syntax, stream.samples)(frame)
    if values.shape[:2] != (stream.rows, stream.columns):
        raise UnreadableImage(f"damaged: {values.shape} values, which differ from its header")
    return _as_stored(values, stream, header), _colours(stream, header)


def _has_imagecodecs() -> bool:
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


def _codec(syntax: UID, samples: int) -> Callable[[bytes], Num[np.ndarray, "..."]]:
    import imagecodecs

    if syntax in JPEG_2000:
        return imagecodecs.jpeg2k_decode
    if syntax in JPEG_LS:
        return imagecodecs.jpegls_decode
    if samples != 3:
        return imagecodecs.jpeg8_decode
    # Equal colour spaces: the samples as they are, without a conversion.
    return lambda frame: imagecodecs.jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB")


def _as_stored(
    values: Num[np.ndarray, "..."], stream: Codestream, header: pydicom.Dataset
) -> Num[np.ndarray, "..."]:
    """The codec's values as numbers of the header's sign."""
    signed = bool(header.PixelRepresentation)
    bits = min(stream.bits, header.BitsStored)
    if values.dtype.kind == "i":
        if signed:
            return values
        bits = stream.bits
    elif not signed and (bits == stream.bits or header.file_meta.TransferSyntaxUID not in JPEG):
        return values
    kept = values.astype(np.int64) & (2**bits - 1)
    if signed:
        kept -= (kept >> (bits - 1)) << bits
    return kept.astype(f"{'i' if signed else 'u'}{values.dtype.itemsize}")


def _colours(stream: Codestream, header: pydicom.Dataset) -> str:
    declared = str(header.get("PhotometricInterpretation", ""))
    if stream.samples != 3:
        return declared
    # The codec undoes the transforms of JPEG 2000.
    if header.file_meta.TransferSyntaxUID in JPEG_2000 and declared in ("YBR_RCT", "YBR_ICT"):
        return "RGB"
    return stream.colours or declared


def _by_pydicom(
    frame: bytes, header: pydicom.Dataset
) -> tuple[Num[np.ndarray, "height width ..."], str]:
    syntax = header.file_meta.TransferSyntaxUID
    decoder = _decoder(syntax)
    options = decoder_options(header, 1, "OB")
    if decoder is None:
        raise UnreadableImage(f"DICOM pixels encoded as {syntax.name}; to read them {ADVICE}")
    try:
        values, found = decoder.as_array(encapsulate([frame]), index=0, raw=True, **options)
    except RuntimeError as error:  # All installed packages failed.
        reason = " ".join(str(error).split())[:160]
        others = "" if _has_imagecodecs() else f"; another package may: {ADVICE}"
        raise UnreadableImage(
            f"DICOM pixels encoded as {syntax.name} could not be decoded ({reason}){others}"
        ) from error
    return stored_bits(values, header), str(found["photometric_interpretation"])


def decoder_options(header: pydicom.Dataset, count: int, representation: str) -> dict[str, Any]:
    """pydicom's options to decode so many frames to the values as they lie in the file."""
    options: dict[str, Any] = as_pixel_options(header)
    options.pop("extended_offsets", None)
    options.setdefault("planar_configuration", 0)
    return options | {
        "number_of_frames": count,
        "pixel_keyword": "PixelData",
        "pixel_vr": representation,
        "correct_unused_bits": False,
    }


def stored_bits(values: Num[np.ndarray, "..."], header: pydicom.Dataset) -> Num[np.ndarray, "..."]:
    """The bits of each value that are its own; others may hold overlays.

    They are the lowest. Where the header says that they are higher (HighBit), and higher bits are
    in use, it is right.
    """
    bits, allocated = int(header.BitsStored), 8 * values.dtype.itemsize
    if bits >= allocated or values.dtype.kind not in "iu" or header.BitsAllocated == 1:
        return values
    plain = values.astype(values.dtype.newbyteorder("=")).view(f"u{values.dtype.itemsize}")
    highest = int(header.get("HighBit") or 0)
    if bits <= highest < allocated and (plain >> bits).any():
        plain = plain >> (highest + 1 - bits)
    # Up to the sign bit and down again.
    plain = plain << (allocated - bits)
    signed = bool(header.PixelRepresentation)
    return plain.view(f"{'i' if signed else 'u'}{values.dtype.itemsize}") >> (allocated - bits)


def _decoder(syntax: UID) -> Decoder | None:
    try:
        return get_decoder(syntax)
    except NotImplementedError:
        return None


def _check_sizes(stream: Codestream, header: pydicom.Dataset) -> None:
    own = stream.rows, stream.columns, stream.samples
    declared = header.Rows, header.Columns, header.get("SamplesPerPixel", 1)
    if own != declared:
        raise UnreadableImage(
            f"compressed DICOM pixels of {own[1]} x {own[0]} x {own[2]}, and a header of "
            f"{declared[1]} x {declared[0]} x {declared[2]}"
        )


def _codestream(frame: bytes, syntax: UID) -> Codestream | None:
    """What a frame says of itself; None: it is none of this encoding.

    Raises:
        UnreadableImage: it has no end.
    """
    if syntax in JPEG_2000:
        return _jpeg_2000(frame)
    return _jpeg(frame, syntax in _LOSSY)


def _jpeg_2000(frame: bytes) -> Codestream | None:
    """Reads the marker SIZ, in a codestream or in a JP2 file."""
    start = re.compile(rb"\xff\x4f\xff\x51").search(frame)
    if start is None or len(frame) < start.start() + 43:
        return None
    size = frame[start.start() : start.start() + 43]
    right, bottom, left, top = (int.from_bytes(size[at : at + 4], "big") for at in (8, 12, 16, 20))
    samples = int.from_bytes(size[40:42], "big")
    return Codestream(bottom - top, right - left, samples, (size[42] & 0x7F) + 1)


def _jpeg(frame: bytes, lossy: bool) -> Codestream | None:
    """Reads the markers of JPEG or JPEG-LS, up to the frame header.

    Markers of JFIF and Adobe say how lossy JPEG transformed its colours; others transform none.
    """
    if frame[:2] != b"\xff\xd8":
        return None
    position, colours = 2, None
    while position + 4 <= len(frame):
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker == 0xFF:  # filling
            position += 1
            continue
        length = int.from_bytes(frame[position + 2 : position + 4], "big")
        content = frame[position + 4 : position + 2 + length]
        if marker in _FRAMES and len(content) >= 6:
            # The JPEG codec fills a frame without an end up with grey, without a word.
            if frame.find(b"\xff\xd9", position) < 0:
                raise UnreadableImage("truncated: its JPEG data have no end")
            bits, samples = content[0], content[5]
            rows, columns = (int.from_bytes(content[at : at + 2], "big") for at in (1, 3))
            if list(content[6 : 6 + 3 * samples : 3]) in _RGB:
                return Codestream(rows, columns, samples, bits, "RGB")
            return Codestream(rows, columns, samples, bits, colours if lossy else None)
        if marker == 0xEE and content[:5] == b"Adobe" and len(content) >= 12:
            colours = {0: "RGB", 1: "YBR_FULL"}.get(content[11])
        elif marker == 0xE0 and content[:4] == b"JFIF" and colours is None:
            colours = "YBR_FULL"
        position += 2 + length
    return None
