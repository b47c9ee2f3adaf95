"""Cells of the matrix of DICOM files (dicom_matrix.py): colours and palettes."""

import io
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid

from benchmarks.quality.dicom_cells import (
    NATIVE,
    SIZE,
    Cell,
    cell_name,
    grey_values,
    header_tags,
    lossless_codecs,
    native_bytes,
    run_lengths,
    smooth_values,
)


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


def colour_cells(bits: int, planar: int, count: int) -> Iterator[Cell]:
    rgb = colour_values(bits, count)
    for photometric in ("RGB", "YBR_FULL"):
        stored = rgb if photometric == "RGB" else to_luma(rgb, bits)
        tags = header_tags(photometric, bits, samples=3) | {"PlanarConfiguration": planar}
        off = 0.51 if photometric == "RGB" else 0.51 + 1.5 * 255 / (2**bits - 1)
        laid = np.moveaxis(stored, -1, 1) if planar else stored
        parts = (bits, photometric, f"planar {planar}", count)
        for syntax in NATIVE:
            both = bits == 8 and not syntax.is_implicit_VR
            for representation in ("OB", "OW") if both else ("OW",):
                content = native_bytes(laid, syntax, representation)
                name = cell_name(syntax, *parts, representation)
                yield Cell(name, syntax, rgb, tags, None, content, off, representation)
        runs = tuple(run_lengths(frame, tags) for frame in stored)
        yield Cell(cell_name(uid.RLELossless, *parts), uid.RLELossless, rgb, tags, runs, b"", off)
        if planar:
            continue
        # The encoder of lossless JPEG names wrong tables for the colour space YCBCR.
        space = "RGB" if photometric == "RGB" else "UNKNOWN"
        for syntax, encode in lossless_codecs(bits, space).items():
            is_2000 = syntax.keyword.startswith(("JPEG2000", "HTJ2K"))
            if photometric == "YBR_FULL" and is_2000:
                continue
            own = tags | ({"PhotometricInterpretation": "YBR_RCT"} if is_2000 else {})
            encoded = tuple(encode(frame, index) for index, frame in enumerate(stored))
            name = cell_name(syntax, bits, own["PhotometricInterpretation"], count)
            yield Cell(name, syntax, rgb, own, encoded, b"", off)


def _subsampled(luma: np.ndarray) -> np.ndarray:
    """YBR_FULL as YBR_FULL_422: Y1 Y2 B R for two pixels; chroma of the first of them."""
    pairs = luma.reshape(len(luma), SIZE, SIZE // 2, 2, 3)
    return np.stack(
        [pairs[..., 0, 0], pairs[..., 1, 0], pairs[..., 0, 1], pairs[..., 0, 2]], axis=-1
    )


def compressed_colours(count: int) -> Iterator[Cell]:
    rgb = colour_values(8, count)
    luma = to_luma(rgb, 8)
    # Chroma of two pixels in one.
    double = np.repeat(rgb[:, :, ::2], 2, axis=2)
    tags = header_tags("YBR_FULL_422", 8, samples=3) | {"PlanarConfiguration": 0}
    packed = _subsampled(to_luma(double, 8))
    for syntax in NATIVE:
        for representation in ("OB",) if not syntax.is_implicit_VR else ("OW",):
            content = native_bytes(packed, syntax, representation)
            name = cell_name(syntax, 8, "YBR_FULL_422", count)
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
                name = cell_name(syntax, 8, photometric, "JFIF" if marker else "bare", count)
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
            name = cell_name(syntax, 8, "RGB", "Adobe" if marker else "bare", count)
            own = tags | {"PhotometricInterpretation": "RGB"}
            yield Cell(name, syntax, read, own, tuple(frames), b"", 1.51)
    near = tuple(imagecodecs.jpegls_encode(frame, level=2) for frame in rgb)
    own = tags | {"PhotometricInterpretation": "RGB"}
    name = cell_name(uid.JPEGLSNearLossless, 8, "RGB", count)
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
            name = cell_name(syntax, 8, photometric, count)
            yield Cell(name, syntax, read, own, tuple(encoded), b"", 1.51)
    own = tags | {"PhotometricInterpretation": "YBR_ICT"}
    encoded = [imagecodecs.htj2k_encode(frame, 0.001, reversible=False) for frame in rgb]
    read = np.stack([imagecodecs.htj2k_decode(frame) for frame in encoded])
    yield Cell(
        cell_name(uid.HTJ2K, 8, "YBR_ICT", count), uid.HTJ2K, read, own, tuple(encoded), b"", 1.51
    )
    for syntax in lossless_codecs(8):
        if syntax.keyword.startswith("JPEG2000"):
            plain = tags | {"PhotometricInterpretation": "YBR_FULL"}
            encoded = [
                imagecodecs.jpeg2k_encode(frame, codecformat="j2k", reversible=True, mct=False)
                for frame in luma
            ]
            yield Cell(
                cell_name(syntax, 8, "YBR_FULL", count),
                syntax,
                rgb,
                plain,
                tuple(encoded),
                b"",
                2.1,
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


def palettes(count: int) -> Iterator[Cell]:
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
                tags: dict[str, object] = header_tags("PALETTE COLOR", 8)
                for table, channel in zip(tables, ("Red", "Green", "Blue")):
                    name = f"{channel}PaletteColorLookupTable"
                    tags[f"{name}Descriptor"] = [256, 0, depth]
                    little = syntax.is_little_endian
                    if segmented:
                        tags[f"Segmented{name}Data"] = _segments(table, depth, little)
                    else:
                        tags[f"{name}Data"] = _words(table.tolist(), depth, little)
                kind = "segments" if segmented else "table"
                title = cell_name(syntax, 8, f"PALETTE of {depth} bits", kind, count)
                if syntax in NATIVE:
                    content = native_bytes(indices, syntax, "OW")
                    yield Cell(title, syntax, rgb, tags, None, content)
                    continue
                encode = (
                    (lambda values, _, tags=tags: run_lengths(values, tags))
                    if syntax == uid.RLELossless
                    else lossless_codecs(8)[syntax]
                )
                encoded = tuple(encode(frame, index) for index, frame in enumerate(indices))
                yield Cell(title, syntax, rgb, tags, encoded)


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
