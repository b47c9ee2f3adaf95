"""Cells of the matrix of DICOM files (dicom_matrix.py): grey images, and the encoders."""

import dataclasses
import io
import pathlib
import warnings
from collections.abc import Callable, Iterator

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder

SIZE = 24

# Levels of 255 by which the nearest level differs from the exact value, and rounding.
EXACT = 0.51

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)

Codec = Callable[[np.ndarray, int], bytes]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One file of the matrix.

    Attributes:
        name: what distinguishes it.
        syntax: its transfer syntax.
        values: [frames, SIZE, SIZE] or [frames, SIZE, SIZE, 3], as they should be read: colours as
            RGB, palette colours after the look-up.
        tags: of the header, beside the size.
        frames: the encoded frames; None: the content is `native`.
        native: pixels without compression.
        tolerance: levels of 255 by which a reader may differ.
        representation: of the pixel data.
    """

    name: str
    syntax: uid.UID
    values: np.ndarray
    tags: dict[str, object]
    frames: tuple[bytes, ...] | None = None
    native: bytes = b""
    tolerance: float = EXACT
    representation: str = "OW"


def grey_values(bits: int, signed: bool, count: int) -> np.ndarray:
    """A ramp with noise over the whole range of the bits."""
    random = np.random.default_rng(bits)
    ramp = np.add.outer(np.arange(SIZE), np.arange(SIZE)) / (2 * SIZE - 2)
    frames = np.stack([np.roll(ramp, frame, axis=1) for frame in range(count)])
    values = frames * 0.9 * (2**bits - 1) + random.uniform(0, 0.1 * (2**bits - 1), frames.shape)
    values[:, 0, 0], values[:, 0, 1] = 0, 2**bits - 1
    kept = np.rint(values).astype(np.int64) - (2 ** (bits - 1) if signed else 0)
    return kept.astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")


def smooth_values(bits: int, signed: bool, count: int) -> np.ndarray:
    """A ramp, for lossy codecs."""
    ramp = np.add.outer(np.arange(SIZE), np.arange(SIZE)) / (2 * SIZE - 2)
    values = np.rint(np.stack([ramp] * count) * (2**bits - 1)).astype(np.int64)
    return (values - (2 ** (bits - 1) if signed else 0)).astype(
        f"{'i' if signed else 'u'}{1 if bits == 8 else 2}"
    )


def unsigned(values: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement in so many bits: how JPEG and JPEG-LS store signed values."""
    return (values.astype(np.int64) & (2**bits - 1)).astype(f"u{values.dtype.itemsize}")


def lossless_codecs(bits: int, space: str = "RGB") -> dict[uid.UID, Codec]:
    def jpeg(values: np.ndarray, predictor: int) -> bytes:
        colours = {"colorspace": space, "outcolorspace": space} if values.ndim == 3 else {}
        return imagecodecs.jpeg8_encode(
            unsigned(values, bits),
            lossless=True,
            predictor=predictor,
            bitspersample=bits,
            **colours,
        )

    def second(values: np.ndarray, _: int) -> bytes:
        return imagecodecs.ljpeg_encode(unsigned(values, bits), bitspersample=bits)

    def jpeg_2000(values: np.ndarray, _: int) -> bytes:
        return imagecodecs.jpeg2k_encode(
            values, codecformat="j2k", reversible=True, bitspersample=bits, mct=values.ndim == 3
        )

    def high_throughput(values: np.ndarray, _: int) -> bytes:
        return imagecodecs.htj2k_encode(values, reversible=True)

    def jpeg_ls(values: np.ndarray, _: int) -> bytes:
        return imagecodecs.jpegls_encode(unsigned(values, 8 * values.itemsize))

    return {
        uid.JPEGLossless: lambda values, frame: jpeg(values, 1 + frame % 7),
        uid.JPEGLosslessSV1: lambda values, frame: (
            jpeg(values, 1) if values.ndim == 3 or frame % 2 else second(values, frame)
        ),
        uid.JPEGLSLossless: jpeg_ls,
        uid.JPEG2000Lossless: jpeg_2000,
        uid.JPEG2000MCLossless: jpeg_2000,
        uid.HTJ2KLossless: high_throughput,
        uid.HTJ2KLosslessRPCL: high_throughput,
    }


def header_tags(photometric: str, bits: int, signed: bool = False, samples: int = 1) -> dict:
    return {
        "PhotometricInterpretation": photometric,
        "BitsAllocated": 8 if bits <= 8 else 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(signed),
        "SamplesPerPixel": samples,
    }


def cell_name(syntax: uid.UID, *parts: object) -> str:
    return " ".join(str(part) for part in (syntax.keyword, *parts))


def native_bytes(values: np.ndarray, syntax: uid.UID, representation: str) -> bytes:
    order = "<" if syntax.is_little_endian else ">"
    content = values.astype(values.dtype.newbyteorder(order)).tobytes()
    content += b"\0" * (len(content) % 2)
    if representation == "OW" and values.dtype.itemsize == 1 and order == ">":
        content = np.frombuffer(content, np.uint16).byteswap().tobytes()
    return content


def run_lengths(values: np.ndarray, tags: dict) -> bytes:
    return RLELosslessEncoder.encode(
        values.astype(values.dtype.newbyteorder("<")).tobytes(),
        rows=values.shape[0],
        columns=values.shape[1],
        samples_per_pixel=tags["SamplesPerPixel"],
        number_of_frames=1,
        bits_allocated=tags["BitsAllocated"],
        bits_stored=tags["BitsAllocated"],
        pixel_representation=tags["PixelRepresentation"],
        photometric_interpretation="MONOCHROME2" if tags["SamplesPerPixel"] == 1 else "RGB",
        planar_configuration=0,
        encoding_plugin="pydicom",
    )


def grey_cells(bits: int, signed: bool, photometric: str, count: int) -> Iterator[Cell]:
    values, tags = grey_values(bits, signed, count), header_tags(photometric, bits, signed)
    parts = (bits, "signed" if signed else "unsigned", photometric, count)
    for syntax in NATIVE:
        for representation in ("OB", "OW") if bits == 8 and not syntax.is_implicit_VR else ("OW",):
            yield Cell(
                cell_name(syntax, *parts, representation),
                syntax,
                values,
                tags,
                native=native_bytes(values, syntax, representation),
                representation=representation,
            )
    runs = tuple(run_lengths(frame, tags) for frame in values)
    yield Cell(cell_name(uid.RLELossless, *parts), uid.RLELossless, values, tags, runs)
    for syntax, encode in lossless_codecs(bits).items():
        encoded = tuple(encode(frame, index) for index, frame in enumerate(values))
        yield Cell(cell_name(syntax, *parts), syntax, values, tags, encoded)
    yield from _lossy_grey(bits, signed, photometric, count)


def _lossy_grey(bits: int, signed: bool, photometric: str, count: int) -> Iterator[Cell]:
    values, tags = smooth_values(bits, signed, count), header_tags(photometric, bits, signed)
    parts = (bits, "signed" if signed else "unsigned", photometric, count)

    def cell(syntax: uid.UID, encoded: list[bytes], read: list[np.ndarray], off: float) -> Cell:
        return Cell(
            cell_name(syntax, *parts), syntax, np.stack(read), tags, tuple(encoded), b"", off
        )

    if not signed and bits == 8:
        encoded = [imagecodecs.jpeg8_encode(frame, level=90) for frame in values]
        read = [np.asarray(Image.open(io.BytesIO(frame))) for frame in encoded]
        yield cell(uid.JPEGBaseline8Bit, encoded, read, 1.51)
        yield cell(uid.JPEGExtended12Bit, encoded, read, 1.51)
    if not signed and bits == 12:  # Its own bound: a step of quantisation at the best quality.
        encoded = [imagecodecs.jpeg8_encode(frame, level=100, bitspersample=12) for frame in values]
        yield cell(uid.JPEGExtended12Bit, encoded, list(values), 0.51 + 4 * 255 / 4095)
    encoded = [imagecodecs.jpegls_encode(unsigned(frame, bits), level=2) for frame in values]
    if not signed:  # Two's complement that is off by 2 may change its sign.
        yield cell(uid.JPEGLSNearLossless, encoded, list(values), 0.51 + 2 * 255 / (2**bits - 1))
    encoded = [
        imagecodecs.jpeg2k_encode(frame, 60, codecformat="j2k", reversible=False)
        for frame in values
    ]
    if bits == 8 and not signed:
        read = [np.asarray(Image.open(io.BytesIO(frame))) for frame in encoded]
        yield cell(uid.JPEG2000, encoded, read, 1.51)
        yield cell(uid.JPEG2000MC, encoded, read, 1.51)
    elif bits == 16:
        yield cell(uid.JPEG2000, encoded, list(values), 2.0)
    encoded = [imagecodecs.htj2k_encode(frame, 0.001, reversible=False) for frame in values]
    read = [imagecodecs.htj2k_decode(frame) for frame in encoded]
    if bits in (8, 16):
        yield cell(uid.HTJ2K, encoded, read, 1.51)


def bit_cells(count: int) -> Iterator[Cell]:
    values = grey_values(8, False, count) >> 7
    tags = header_tags("MONOCHROME2", 1) | {"BitsAllocated": 1}
    packed = np.packbits(values.ravel(), bitorder="little").tobytes()
    for syntax in NATIVE:
        if syntax.is_little_endian:
            name = cell_name(syntax, 1, "unsigned MONOCHROME2", count)
            yield Cell(name, syntax, values, tags, native=packed + b"\0" * (len(packed) % 2))


def disagreeing_signs() -> Iterator[Cell]:
    """JPEG 2000 whose codestream has the other sign than its header."""
    for bits in (8, 12, 16):
        for signed in (False, True):
            values = grey_values(bits, signed, 1)
            tags = header_tags("MONOCHROME2", bits, signed)
            stored = unsigned(values, bits)
            if not signed:
                stored = stored.astype(np.int64)
                stored = (stored - (stored >> (bits - 1) << bits)).astype(
                    f"i{values.dtype.itemsize}"
                )
            for syntax in (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless):
                if syntax == uid.HTJ2KLossless:
                    if bits == 12:
                        continue  # The encoder knows 8 and 16 bits.
                    encoded = imagecodecs.htj2k_encode(stored[0], reversible=True)
                else:
                    encoded = imagecodecs.jpeg2k_encode(
                        stored[0], codecformat="j2k", reversible=True, bitspersample=bits
                    )
                sign = "signed" if signed else "unsigned"
                yield Cell(
                    cell_name(syntax, bits, sign, "disagrees"), syntax, values, tags, (encoded,)
                )


def write(cell: Cell, path: pathlib.Path) -> None:
    """Writes a cell's file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = cell.syntax
    dataset = FileDataset(
        str(path),
        {},
        file_meta=meta,
        preamble=bytes(128),
        is_implicit_VR=cell.syntax.is_implicit_VR,
        is_little_endian=cell.syntax.is_little_endian,
    )
    dataset.SOPClassUID, dataset.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    dataset.Modality = "OT"
    dataset.Rows, dataset.Columns = SIZE, SIZE
    if len(cell.values) > 1:
        dataset.NumberOfFrames = len(cell.values)
    for name, value in cell.tags.items():
        setattr(dataset, name, value)
        if name.endswith("Descriptor"):
            dataset[name].VR = "US"
        elif name.endswith("Data"):
            dataset[name].VR = "OW"
    dataset.PixelData = cell.native if cell.frames is None else encapsulate(list(cell.frames))
    dataset["PixelData"].VR = cell.representation if cell.frames is None else "OB"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(path, enforce_file_format=True)
