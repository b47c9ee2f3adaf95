"""TIFF files of every kind that is read, made from nothing, each with the values that are right.

The right values are those of the array that was written, converted by a line of NumPy; those of
lossy and LAB files come from another reader.
"""

import dataclasses
import io
import itertools
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tifffile
from PIL import Image

from tests.support.tiff_writer import COMPRESSIONS, tiff_bytes

SIZE = 40  # no multiple of a tile or a strip
_WHITE_AT_ZERO, _BLACK_AT_ZERO, _RGB, _PALETTE, _CMYK, _CIELAB, _ICCLAB = 0, 1, 2, 3, 5, 8, 9

# name -> dtype, bits in the file, largest value that is written
SAMPLES = {
    "uint1": (np.uint8, 1, 1),
    "uint2": (np.uint8, 2, 3),
    "uint4": (np.uint8, 4, 15),
    "uint6": (np.uint8, 6, 63),
    "uint8": (np.uint8, 8, 255),
    "uint10": (np.uint16, 10, 1023),
    "uint12": (np.uint16, 12, 4095),
    "uint14": (np.uint16, 14, 16383),
    "uint16": (np.uint16, 16, 65535),
    "uint32": (np.uint32, 32, 65535),
    "int8": (np.int8, 8, 127),
    "int16": (np.int16, 16, 32767),
    "int32": (np.int32, 32, 65535),
    "float16": (np.float16, 16, 1),
    "float32": (np.float32, 32, 1),
    "float64": (np.float64, 64, 1),
}
CHANNELS = {"grey": 1, "grey and alpha": 2, "RGB": 3, "RGBA": 4}
LAYOUTS = {"one strip": {}, "strips": {"rows_per_strip": 7}, "tiles": {"tile": 16}}
_WITH_PREDICTOR = ("LZW", "deflate", "Zstandard")


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """One file.

    Attributes:
        name: says what it is.
        suffix: of its name.
        write: writes it to a path.
        right: the values as they are read at `SIZE`, grey or RGB, a channel axis last.
        tolerance: how far values may be from these.
    """

    name: str
    suffix: str
    write: Callable[[pathlib.Path], None]
    right: np.ndarray
    tolerance: float = 0


def all_tiffs() -> Iterator[Cell]:
    yield from plain_tiffs()
    yield from special_tiffs()


def plain_tiffs(step: int = 1) -> Iterator[Cell]:
    """Samples x channels x order x layout x planes x compression, and BigTIFF for some.

    Every `step`-th of them.
    """
    for kind in itertools.islice(_plain_kinds(), 0, None, step):
        yield _plain(*kind)


def _plain_kinds() -> Iterator[tuple[str, str, str, str, str, int, bool, bool]]:
    for samples, channels, order, layout, compression in itertools.product(
        SAMPLES, CHANNELS, "<>", LAYOUTS, COMPRESSIONS
    ):
        dtype, bits, _ = SAMPLES[samples]
        whole = bits == 8 * np.dtype(dtype).itemsize
        predictors = [1]
        if compression in _WITH_PREDICTOR and whole:
            predictors = [1, 3 if np.dtype(dtype).kind == "f" else 2]
        for predictor in predictors:
            for planar in (False, True) if CHANNELS[channels] > 1 else (False,):
                for big in (False, True) if layout == "tiles" else (False,):
                    yield samples, channels, order, layout, compression, predictor, planar, big


def _plain(
    samples: str,
    channels: str,
    order: str,
    layout: str,
    compression: str,
    predictor: int,
    planar: bool,
    big: bool,
) -> Cell:
    _, bits, largest = SAMPLES[samples]
    values = _values(samples, CHANNELS[channels])
    colours = 3 if "RGB" in channels else 1
    right = values[..., :colours]
    if bits < 8:
        right = np.rint(right * (255 / largest))
    if CHANNELS[channels] > colours and samples.startswith("uint") and samples != "uint32":
        white = 2 ** max(bits, 8) - 1
        part = values[..., colours:] / largest
        right = np.rint(right * part + white * (1 - part))
    planes = ", planar" if planar else ""
    differences = f" with predictor {predictor}" if predictor > 1 else ""
    return _cell(
        f"{'Big, ' if big else ''}{samples}, {channels}{planes}, {layout}, {compression}"
        f"{differences}",
        values,
        right,
        1 if bits < 8 and CHANNELS[channels] > colours else 0,  # rounded twice
        bits=bits,
        photometric=_RGB if "RGB" in channels else _BLACK_AT_ZERO,
        order=order,
        compression=compression,
        predictor=predictor,
        planar=planar,
        big=big,
        tags={338: [2]} if CHANNELS[channels] > colours else {},
        **LAYOUTS[layout],
    )


def _cell(
    name: str, values: np.ndarray, right: np.ndarray, tolerance: float = 0, **options
) -> Cell:
    return Cell(
        f"TIFF, {name}, order {options['order']}",
        "tif",
        lambda path: path.write_bytes(tiff_bytes(values, **options)),
        right,
        tolerance,
    )


def _values(samples: str, channels: int) -> np.ndarray:
    dtype, bits, largest = SAMPLES[samples]
    generator = np.random.default_rng([bits, channels])
    if np.dtype(dtype).kind == "f":
        values = (generator.integers(0, 257, (SIZE, SIZE, channels)) / 256).astype(dtype)
        opaque = 1
    else:
        values = generator.integers(0, largest + 1, (SIZE, SIZE, channels)).astype(dtype)
        opaque = np.iinfo(dtype).max
    if channels in (2, 4) and (samples == "uint32" or not samples.startswith("uint")):
        values[..., -1] = opaque
    return values


def picture(dtype: type = np.uint8, largest: int = 255) -> np.ndarray:
    """A smooth colour picture, which lossy formats keep."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    colours = np.stack([rows, columns, 1 - (rows + columns) / 2], axis=-1)
    return np.rint(colours * largest).astype(dtype)


def special_tiffs() -> Iterator[Cell]:
    """Palettes, white at 0, CMYK, LAB, YCbCr, image codecs, orientations and pages."""
    for order in "<>":
        yield from _palettes(order)
        yield from _white_at_zero(order)
        yield from _inks_and_lab(order)
        yield from _codecs(order)
        yield from _orientations(order)


def _tiff(
    name: str, stored: np.ndarray, right: np.ndarray, tolerance: float = 0, **options
) -> Cell:
    options.setdefault("metadata", None)
    right = right if right.ndim == 3 else right[..., None]
    return Cell(
        f"TIFF, {name}, order {options.get('byteorder', '<')}",
        "tif",
        lambda path: tifffile.imwrite(path, stored, **options),
        right,
        tolerance,
    )


def _palettes(order: str) -> Iterator[Cell]:
    generator = np.random.default_rng(1)
    for bits, depth, layout, packing in itertools.product(
        (1, 2, 4, 8), (8, 16), LAYOUTS, ("none", "LZW", "deflate")
    ):
        index = generator.integers(0, 2**bits, (SIZE, SIZE), dtype=np.uint8)
        colours = generator.integers(0, 256, (3, 2**bits), dtype=np.uint16)
        yield _cell(
            f"palette of {depth} bits, indices of {bits}, {layout}, {packing}",
            index[..., None],
            colours.T[index],
            bits=bits,
            photometric=_PALETTE,
            order=order,
            compression=packing,
            tags={320: (colours * (1 if depth == 8 else 257)).ravel().tolist()},
            **LAYOUTS[layout],
        )


def _white_at_zero(order: str) -> Iterator[Cell]:
    for samples, layout, packing in itertools.product(
        ("uint1", "uint4", "uint8", "uint12", "uint16"), LAYOUTS, ("none", "LZW", "deflate")
    ):
        _, bits, largest = SAMPLES[samples]
        values = _values(samples, 1)
        right = largest - values.astype(np.int64)
        yield _cell(
            f"{samples}, 0 is white, {layout}, {packing}",
            values,
            np.rint(right * (255 / largest)) if bits < 8 else right,
            bits=bits,
            photometric=_WHITE_AT_ZERO,
            order=order,
            compression=packing,
            **LAYOUTS[layout],
        )


def _inks_and_lab(order: str) -> Iterator[Cell]:
    inks = np.random.default_rng(2).integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)
    rgb = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:].astype(float)) / 255
    seen = picture() // 2 + 64  # Bytes of LAB are coarse for saturated colours.
    signed = np.asarray(_lab(seen))  # a and b are signed
    shifted = signed ^ np.array([0, 128, 128], np.uint8)
    wide = signed.astype(np.int64)
    wide[..., 1:] = wide[..., 1:].astype(np.int8)
    cielab = (wide * [257, 256, 256]).astype(np.uint16)
    icclab = shifted.astype(np.uint16) * 256
    for planar, packing in itertools.product((False, True), ("none", "LZW", "deflate")):
        for name, stored, bits, right, tolerance, photometric in (
            ("CMYK", inks, 8, rgb, 1, _CMYK),
            ("CMYK", inks.astype(np.uint16) * 257, 16, rgb, 1, _CMYK),
            ("CIELAB", signed, 8, seen, 6, _CIELAB),
            ("CIELAB", cielab, 16, seen, 6, _CIELAB),
            ("ICCLAB", shifted, 8, seen, 6, _ICCLAB),
            ("ICCLAB", icclab, 16, seen, 6, _ICCLAB),
        ):
            yield _cell(
                f"{name} of {bits} bits, {'planar' if planar else 'chunky'}, {packing}",
                stored,
                right,
                tolerance,
                bits=bits,
                photometric=photometric,
                order=order,
                compression=packing,
                planar=planar,
            )


def _lab(rgb: np.ndarray) -> Image.Image:
    from PIL import ImageCms

    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(Image.fromarray(rgb), *profiles, outputMode="LAB")


def _codecs(order: str) -> Iterator[Cell]:
    smooth, deep = picture(), picture(np.uint16, 65535)
    noise = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    for layout in LAYOUTS:
        cut = {"one strip": {}, "strips": {"rowsperstrip": 16}, "tiles": {"tile": (16, 16)}}
        common = {"byteorder": order, **cut[layout]}
        for subsampling in ((1, 1), (2, 1), (2, 2)):
            options = {
                "photometric": "rgb",
                "compression": "jpeg",
                "compressionargs": {"level": 98},
                "subsampling": subsampling,
                **common,
            }
            buffer = io.BytesIO()
            tifffile.imwrite(buffer, smooth, **options)
            by_libtiff = np.asarray(Image.open(buffer))
            name = f"JPEG, YCbCr {subsampling}, {layout}"
            yield _tiff(name, smooth, by_libtiff, 4, **options)
        yield _tiff(
            f"JPEG, grey, {layout}",
            smooth[..., 0],
            smooth[..., 0],
            6,
            compression="jpeg",
            compressionargs={"level": 98},
            **common,
        )
        cut = LAYOUTS[layout]
        for channels, values in itertools.product((1, 3), (smooth, deep)):
            bits = 8 * values.dtype.itemsize
            for codec in ("JPEG 2000, lossless", "JPEG 2000, lossy"):
                yield _cell(
                    f"{codec}, {channels} channels of {bits} bits, {layout}",
                    values[..., :channels],
                    values[..., :channels],
                    0 if "lossless" in codec else 0.03 * values.max(),
                    bits=bits,
                    photometric=_RGB if channels == 3 else _BLACK_AT_ZERO,
                    order=order,
                    compression=codec,
                    **cut,
                )
        yield _cell(
            f"WebP, lossless, {layout}",
            noise,
            noise,
            bits=8,
            photometric=_RGB,
            order=order,
            compression="WebP, lossless",
            **cut,
        )


def _orientations(order: str) -> Iterator[Cell]:
    turns: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda image: image,
        2: lambda image: image[:, ::-1],
        3: lambda image: image[::-1, ::-1],
        4: lambda image: image[::-1],
        5: lambda image: image.transpose(1, 0, 2),
        6: lambda image: np.rot90(image, -1),
        7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
        8: lambda image: np.rot90(image),
    }
    for orientation, samples, channels in itertools.product(
        turns, ("uint8", "uint16", "float32"), (1, 3)
    ):
        values = _values(samples, channels)
        yield _cell(
            f"{samples}, {channels} channels, orientation {orientation}",
            values,
            turns[orientation](values),
            bits=SAMPLES[samples][1],
            photometric=_RGB if channels == 3 else _BLACK_AT_ZERO,
            order=order,
            tags={274: [orientation]},
        )
