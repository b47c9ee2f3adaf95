"""Reads a matrix of DICOM files that are made from nothing, and holds each to what was written.

python -m benchmarks.quality.dicom_matrix [--folder=FILES] [--output=TABLE.csv]

A cell is a transfer syntax, bits a sample, sign, photometric interpretation, planar configuration
and number of frames. What is lossless is held to the values that were written, as grey levels of
the whole range and of 256 levels in its middle. What is lossy is held to a second decoder (Pillow,
OpenJPH), or to the values that were written within the codec's own bound.
"""

import dataclasses
import io
import pathlib
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator

import imagecodecs
import numpy as np
from absl import app, flags
from PIL import Image
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder

from examine_jax.images import load_folder

SIZE = 24

# Levels of 255 by which the nearest level differs from the exact value, and rounding.
_EXACT = 0.51

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
    tolerance: float = _EXACT
    representation: str = "OW"


def cells() -> Iterator[Cell]:
    """The matrix."""
    for count in (1, 3):
        for bits in (8, 10, 12, 16):
            for signed in (False, True):
                for photometric in ("MONOCHROME2", "MONOCHROME1"):
                    yield from _grey_cells(bits, signed, photometric, count)
        yield from _bit_cells(count)
        for bits in (8, 12, 16):
            for planar in (0, 1):
                yield from _colour_cells(bits, planar, count)
        yield from _compressed_colours(count)
        yield from _palettes(count)
    yield from _disagreeing_signs()


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


def _unsigned(values: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement in so many bits: how JPEG and JPEG-LS store signed values."""
    return (values.astype(np.int64) & (2**bits - 1)).astype(f"u{values.dtype.itemsize}")


def _lossless_codecs(bits: int, space: str = "RGB") -> dict[uid.UID, Codec]:
    def jpeg(values: np.ndarray, predictor: int) -> bytes:
        colours = {"colorspace": space, "outcolorspace": space} if values.ndim == 3 else {}
        return imagecodecs.jpeg8_encode(
            _unsigned(values, bits),
            lossless=True,
            predictor=predictor,
            bitspersample=bits,
            **colours,
        )

    def second(values: np.ndarray, _: int) -> bytes:
        return imagecodecs.ljpeg_encode(_unsigned(values, bits), bitspersample=bits)

    def jpeg_2000(values: np.ndarray, _: int) -> bytes:
        return imagecodecs.jpeg2k_encode(
            values, codecformat="j2k", reversible=True, bitspersample=bits, mct=values.ndim == 3
        )

    def high_throughput(values: np.ndarray, _: int) -> bytes:
        return imagecodecs.htj2k_encode(values, reversible=True)

    def jpeg_ls(values: np.ndarray, _: int) -> bytes:
        return imagecodecs.jpegls_encode(_unsigned(values, 8 * values.itemsize))

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


def _header(photometric: str, bits: int, signed: bool = False, samples: int = 1) -> dict:
    return {
        "PhotometricInterpretation": photometric,
        "BitsAllocated": 8 if bits <= 8 else 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(signed),
        "SamplesPerPixel": samples,
    }


def _name(syntax: uid.UID, *parts: object) -> str:
    return " ".join(str(part) for part in (syntax.keyword, *parts))


def _native_bytes(values: np.ndarray, syntax: uid.UID, representation: str) -> bytes:
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


def _grey_cells(bits: int, signed: bool, photometric: str, count: int) -> Iterator[Cell]:
    values, tags = grey_values(bits, signed, count), _header(photometric, bits, signed)
    parts = (bits, "signed" if signed else "unsigned", photometric, count)
    for syntax in NATIVE:
        for representation in ("OB", "OW") if bits == 8 and not syntax.is_implicit_VR else ("OW",):
            yield Cell(
                _name(syntax, *parts, representation),
                syntax,
                values,
                tags,
                native=_native_bytes(values, syntax, representation),
                representation=representation,
            )
    runs = tuple(run_lengths(frame, tags) for frame in values)
    yield Cell(_name(uid.RLELossless, *parts), uid.RLELossless, values, tags, runs)
    for syntax, encode in _lossless_codecs(bits).items():
        encoded = tuple(encode(frame, index) for index, frame in enumerate(values))
        yield Cell(_name(syntax, *parts), syntax, values, tags, encoded)
    yield from _lossy_grey(bits, signed, photometric, count)


def _lossy_grey(bits: int, signed: bool, photometric: str, count: int) -> Iterator[Cell]:
    values, tags = smooth_values(bits, signed, count), _header(photometric, bits, signed)
    parts = (bits, "signed" if signed else "unsigned", photometric, count)

    def cell(syntax: uid.UID, encoded: list[bytes], read: list[np.ndarray], off: float) -> Cell:
        return Cell(_name(syntax, *parts), syntax, np.stack(read), tags, tuple(encoded), b"", off)

    if not signed and bits == 8:
        encoded = [imagecodecs.jpeg8_encode(frame, level=90) for frame in values]
        read = [np.asarray(Image.open(io.BytesIO(frame))) for frame in encoded]
        yield cell(uid.JPEGBaseline8Bit, encoded, read, 1.51)
        yield cell(uid.JPEGExtended12Bit, encoded, read, 1.51)
    if not signed and bits == 12:  # Its own bound: a step of quantisation at the best quality.
        encoded = [imagecodecs.jpeg8_encode(frame, level=100, bitspersample=12) for frame in values]
        yield cell(uid.JPEGExtended12Bit, encoded, list(values), 0.51 + 4 * 255 / 4095)
    encoded = [imagecodecs.jpegls_encode(_unsigned(frame, bits), level=2) for frame in values]
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


def _bit_cells(count: int) -> Iterator[Cell]:
    values = grey_values(8, False, count) >> 7
    tags = _header("MONOCHROME2", 1) | {"BitsAllocated": 1}
    packed = np.packbits(values.ravel(), bitorder="little").tobytes()
    for syntax in NATIVE:
        if syntax.is_little_endian:
            name = _name(syntax, 1, "unsigned MONOCHROME2", count)
            yield Cell(name, syntax, values, tags, native=packed + b"\0" * (len(packed) % 2))


def colour_values(bits: int, count: int) -> np.ndarray:
    """RGB [count, SIZE, SIZE, 3]."""
    one = smooth_values(bits, False, count)
    return np.stack([one, one[:, ::-1], np.transpose(one[:, ::-1], (0, 2, 1))], axis=-1)


def to_luma(values: np.ndarray, bits: int) -> np.ndarray:
    """RGB as YBR_FULL (PS3.3 C.7.6.3.1.2)."""
    matrix = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    )
    middle = np.array([0, 2 ** (bits - 1), 2 ** (bits - 1)])
    found = np.rint(values.astype(np.float64) @ matrix.T + middle)
    return np.clip(found, 0, 2**bits - 1).astype(values.dtype)


def _colour_cells(bits: int, planar: int, count: int) -> Iterator[Cell]:
    rgb = colour_values(bits, count)
    for photometric in ("RGB", "YBR_FULL"):
        stored = rgb if photometric == "RGB" else to_luma(rgb, bits)
        tags = _header(photometric, bits, samples=3) | {"PlanarConfiguration": planar}
        off = 0.51 if photometric == "RGB" else 0.51 + 1.5 * 255 / (2**bits - 1)
        laid = np.moveaxis(stored, -1, 1) if planar else stored
        parts = (bits, photometric, f"planar {planar}", count)
        for syntax in NATIVE:
            both = bits == 8 and not syntax.is_implicit_VR
            for representation in ("OB", "OW") if both else ("OW",):
                content = _native_bytes(laid, syntax, representation)
                name = _name(syntax, *parts, representation)
                yield Cell(name, syntax, rgb, tags, None, content, off, representation)
        runs = tuple(run_lengths(frame, tags) for frame in stored)
        yield Cell(_name(uid.RLELossless, *parts), uid.RLELossless, rgb, tags, runs, b"", off)
        if planar:
            continue
        # The encoder of lossless JPEG names wrong tables for the colour space YCBCR.
        space = "RGB" if photometric == "RGB" else "UNKNOWN"
        for syntax, encode in _lossless_codecs(bits, space).items():
            is_2000 = syntax.keyword.startswith(("JPEG2000", "HTJ2K"))
            if photometric == "YBR_FULL" and is_2000:
                continue
            own = tags | ({"PhotometricInterpretation": "YBR_RCT"} if is_2000 else {})
            encoded = tuple(encode(frame, index) for index, frame in enumerate(stored))
            name = _name(syntax, bits, own["PhotometricInterpretation"], count)
            yield Cell(name, syntax, rgb, own, encoded, b"", off)


def _subsampled(luma: np.ndarray) -> np.ndarray:
    """YBR_FULL as YBR_FULL_422: Y1 Y2 B R for two pixels; chroma of the first of them."""
    pairs = luma.reshape(len(luma), SIZE, SIZE // 2, 2, 3)
    return np.stack(
        [pairs[..., 0, 0], pairs[..., 1, 0], pairs[..., 0, 1], pairs[..., 0, 2]], axis=-1
    )


def _compressed_colours(count: int) -> Iterator[Cell]:
    rgb = colour_values(8, count)
    luma = to_luma(rgb, 8)
    # Chroma of two pixels in one.
    double = np.repeat(rgb[:, :, ::2], 2, axis=2)
    tags = _header("YBR_FULL_422", 8, samples=3) | {"PlanarConfiguration": 0}
    packed = _subsampled(to_luma(double, 8))
    for syntax in NATIVE:
        for representation in ("OB",) if not syntax.is_implicit_VR else ("OW",):
            content = _native_bytes(packed, syntax, representation)
            name = _name(syntax, 8, "YBR_FULL_422", count)
            yield Cell(name, syntax, double, tags, None, content, 2.1, representation)

    def second(frames: list[bytes], mode: str) -> np.ndarray:
        read = []
        for frame in frames:
            image = Image.open(io.BytesIO(frame))
            if mode == "raw":  # The samples are RGB already.
                image.draft("YCbCr", image.size)
                read.append(np.asarray(image))
            else:
                read.append(np.asarray(image.convert("RGB")))
        return np.stack(read)

    for sampling, photometric in (("444", "YBR_FULL"), ("422", "YBR_FULL_422")):
        for marker in (True, False):
            frames = [
                imagecodecs.jpeg8_encode(
                    frame,
                    level=95,
                    colorspace="RGB",
                    outcolorspace="YCBCR",
                    subsampling=sampling,
                )
                for frame in rgb
            ]
            read = second(frames, "converted")
            if not marker:
                frames = [_without_application_data(frame) for frame in frames]
            for syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
                name = _name(syntax, 8, photometric, "JFIF" if marker else "bare", count)
                own = tags | {"PhotometricInterpretation": photometric}
                yield Cell(name, syntax, read, own, tuple(frames), b"", 2.51)
    for marker in (True, False):
        frames = [
            imagecodecs.jpeg8_encode(frame, level=95, colorspace="RGB", outcolorspace="RGB")
            for frame in rgb
        ]
        read = second(frames, "converted")
        if not marker:
            frames = [_without_application_data(frame) for frame in frames]
        for syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
            name = _name(syntax, 8, "RGB", "Adobe" if marker else "bare", count)
            own = tags | {"PhotometricInterpretation": "RGB"}
            yield Cell(name, syntax, read, own, tuple(frames), b"", 1.51)
    near = tuple(imagecodecs.jpegls_encode(frame, level=2) for frame in rgb)
    own = tags | {"PhotometricInterpretation": "RGB"}
    name = _name(uid.JPEGLSNearLossless, 8, "RGB", count)
    yield Cell(name, uid.JPEGLSNearLossless, rgb, own, near, b"", 2.51)
    for photometric in ("YBR_ICT", "RGB"):
        own = tags | {"PhotometricInterpretation": photometric}
        for syntax in (uid.JPEG2000, uid.JPEG2000MC):
            encoded = [
                imagecodecs.jpeg2k_encode(
                    frame, 60, codecformat="j2k", reversible=False, mct=photometric != "RGB"
                )
                for frame in rgb
            ]
            read = np.stack([np.asarray(Image.open(io.BytesIO(frame))) for frame in encoded])
            name = _name(syntax, 8, photometric, count)
            yield Cell(name, syntax, read, own, tuple(encoded), b"", 1.51)
    own = tags | {"PhotometricInterpretation": "YBR_ICT"}
    encoded = [imagecodecs.htj2k_encode(frame, 0.001, reversible=False) for frame in rgb]
    read = np.stack([imagecodecs.htj2k_decode(frame) for frame in encoded])
    yield Cell(
        _name(uid.HTJ2K, 8, "YBR_ICT", count), uid.HTJ2K, read, own, tuple(encoded), b"", 1.51
    )
    for syntax in _lossless_codecs(8):
        if syntax.keyword.startswith("JPEG2000"):
            plain = tags | {"PhotometricInterpretation": "YBR_FULL"}
            encoded = [
                imagecodecs.jpeg2k_encode(frame, codecformat="j2k", reversible=True, mct=False)
                for frame in luma
            ]
            yield Cell(
                _name(syntax, 8, "YBR_FULL", count), syntax, rgb, plain, tuple(encoded), b"", 2.1
            )


def _without_application_data(frame: bytes) -> bytes:
    """A JPEG without the markers that name its colours."""
    kept, position = [frame[:2]], 2
    while frame[position + 1] != 0xDA:
        length = int.from_bytes(frame[position + 2 : position + 4], "big")
        if frame[position + 1] not in range(0xE0, 0xF0):
            kept.append(frame[position : position + 2 + length])
        position += 2 + length
    return b"".join([*kept, frame[position:]])


def _palettes(count: int) -> Iterator[Cell]:
    indices = grey_values(8, False, count)
    random = np.random.default_rng(5)
    for depth in (8, 16):
        tables = random.integers(0, 2**depth, (3, 256))
        tables[:, 0] = 2**depth - 1
        for segmented in (False, True):
            if segmented:  # 100 entries, a line of 100, the first 56 of a part that is named again.
                tables[:, 100:200] = np.rint(
                    tables[:, 99:100]
                    + np.arange(1, 101) * (tables[:, 199:200] - tables[:, 99:100]) / 100
                )
                tables[:, 200:] = tables[:, :56]
            rgb = np.stack([table[indices] for table in tables], axis=-1)
            rgb = rgb.astype(f"u{depth // 8}")
            for syntax in (*NATIVE, uid.RLELossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless):
                tags: dict[str, object] = _header("PALETTE COLOR", 8)
                for table, channel in zip(tables, ("Red", "Green", "Blue")):
                    name = f"{channel}PaletteColorLookupTable"
                    tags[f"{name}Descriptor"] = [256, 0, depth]
                    little = syntax.is_little_endian
                    if segmented:
                        tags[f"Segmented{name}Data"] = _segments(table, depth, little)
                    else:
                        tags[f"{name}Data"] = _words(table.tolist(), depth, little)
                kind = "segments" if segmented else "table"
                cell_name = _name(syntax, 8, f"PALETTE of {depth} bits", kind, count)
                if syntax in NATIVE:
                    content = _native_bytes(indices, syntax, "OW")
                    yield Cell(cell_name, syntax, rgb, tags, None, content)
                    continue
                encode = (
                    (lambda values, _, tags=tags: run_lengths(values, tags))
                    if syntax == uid.RLELossless
                    else _lossless_codecs(8)[syntax]
                )
                encoded = tuple(encode(frame, index) for index, frame in enumerate(indices))
                yield Cell(cell_name, syntax, rgb, tags, encoded)


def _words(entries: list[int], depth: int, little: bool) -> bytes:
    if depth == 16:
        return struct.pack(f"{'<' if little else '>'}{len(entries)}H", *entries)
    content = bytes(entries) + b"\0" * (len(entries) % 2)
    return content if little else np.frombuffer(content, np.uint16).byteswap().tobytes()


def _segments(table: np.ndarray, depth: int, little: bool) -> bytes:
    """A table as segments: two of 56 and 44 entries, a line, and the first of them again."""
    first = [0, 56, *table[:56].tolist()]
    second = [0, 44, *table[56:100].tolist()]
    line = [1, 100, int(table[199])]
    again = [2, 1, *([0, 0, 0, 0] if depth == 8 else [0, 0])]
    return _words([*first, *second, *line, *again], depth, little)


def _disagreeing_signs() -> Iterator[Cell]:
    """JPEG 2000 whose codestream has the other sign than its header."""
    for bits in (8, 12, 16):
        for signed in (False, True):
            values = grey_values(bits, signed, 1)
            tags = _header("MONOCHROME2", bits, signed)
            stored = _unsigned(values, bits)
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
                yield Cell(_name(syntax, bits, sign, "disagrees"), syntax, values, tags, (encoded,))


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


# (file, channels, range of grey values) -> uint8 [frames, SIZE, SIZE, channels].
Reader = Callable[[pathlib.Path, int, tuple[float, float] | None], np.ndarray]


def by_folder(
    path: pathlib.Path, channels: int, intensity_range: tuple[float, float] | None
) -> np.ndarray:
    """What `load_folder` reads of the folder that holds this file alone.

    Raises:
        ValueError: nothing, or not all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = load_folder(
            path.parent, image_size=SIZE, channels=channels, intensity_range=intensity_range
        )
    if images.skipped:
        raise ValueError(images.skipped[0].reason)
    return images.pixels


def problem(cell: Cell, path: pathlib.Path, read: Reader = by_folder) -> str:
    """How the file of a cell is read wrongly; empty: it is right."""
    for shown, intensity_range in _expected(cell):
        try:
            pixels = read(path, shown.shape[-1], intensity_range)
        except ValueError as error:
            return f"not read: {error}"
        difference = np.abs(pixels - 255 * shown)
        if difference.max() > cell.tolerance:
            share = 100 * (difference > cell.tolerance).mean()
            return f"wrong: up to {difference.max():.1f} levels, {share:.0f} % of the values"
    return ""


def _expected(cell: Cell) -> Iterator[tuple[np.ndarray, tuple[float, float] | None]]:
    """(pixels from 0 to 1, the range that shows them so) of a cell."""
    values = cell.values.astype(np.float64)
    if values.ndim == 4:
        palette = cell.tags["PhotometricInterpretation"] == "PALETTE COLOR"
        bits = 8 * cell.values.itemsize if palette else int(str(cell.tags["BitsStored"]))
        yield values / (2**bits - 1), None
        return
    low, high = float(values.min()), float(values.max())
    ranges = {(low, high)}
    if cell.tolerance <= _EXACT and high > 1:
        middle = np.rint((low + high) / 2)
        ranges.add((float(max(low, middle - 127)), float(min(high, middle + 128))))
    for black, white in ranges:
        shown = np.clip((values - black) / (white - black), 0, 1)
        inverted = cell.tags["PhotometricInterpretation"] == "MONOCHROME1"
        yield (1 - shown if inverted else shown)[..., None], (black, white)


def run(wanted: Iterator[Cell], keep: pathlib.Path | None = None) -> list[tuple[str, str]]:
    """(name, problem) of each cell.

    Args:
        wanted: the cells.
        keep: a folder that keeps their files.
    """
    found = []
    for number, cell in enumerate(wanted):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.dcm"
            write(cell, path)
            found.append((cell.name, problem(cell, path)))
            if keep is not None:
                (keep / f"{number:04}.dcm").write_bytes(path.read_bytes())
                np.save(keep / f"{number:04}.npy", cell.values)
    return found


def main(_: list[str]) -> None:
    folder = flags.FLAGS.folder
    if folder:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    lines = run(cells(), pathlib.Path(folder) if folder else None)
    wrong = [line for line in lines if line[1]]
    for name, what in wrong:
        print(f"{name}: {what}")
    not_read = sum(what.startswith("not read") for _, what in wrong)
    print(
        f"{len(lines)} cells; {len(lines) - len(wrong)} right, {not_read} not read, "
        f"{len(wrong) - not_read} wrong"
    )
    if flags.FLAGS.output:
        from examine_jax.reporting.tables import write_table

        write_table(flags.FLAGS.output, ("cell", "problem"), lines)


if __name__ == "__main__":
    flags.DEFINE_string("folder", None, "Keeps the files, with the values as .npy.")
    flags.DEFINE_string("output", None, "A CSV file.")
    app.run(main)
