"""PNG, BMP, JPEG and WebP files of every kind, made from nothing, with the values that are right.

Right is what was written; of JPEG, what it was written from, within what its loss allows.
"""

import io
import itertools
from collections.abc import Iterator

import imagecodecs
import numpy as np
from PIL import Image

from tests.support.raster_writers import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    bmp_bytes,
    bmp_rows,
    bmp_runs,
    png_bytes,
)
from tests.support.tiff_cells import SIZE, Cell, picture

_PNG_DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
_SAMPLES = {GREY: 1, RGB: 3, GREY_ALPHA: 2, RGBA: 4}
_NAMES = {GREY: "grey", RGB: "RGB", GREY_ALPHA: "grey and alpha", RGBA: "RGBA"}


def all_rasters() -> Iterator[Cell]:
    yield from pngs()
    yield from bmps()
    yield from jpegs()
    yield from webps()


def _cell(name: str, suffix: str, content: bytes, right: np.ndarray, tolerance: float = 0) -> Cell:
    return Cell(name, suffix, lambda path: path.write_bytes(content), right, tolerance)


def _on_white(values: np.ndarray, alpha: np.ndarray, white: int) -> np.ndarray:
    return np.rint(values * (alpha / white) + white * (1 - alpha / white))


def pngs() -> Iterator[Cell]:
    generator = np.random.default_rng(4)
    for (kind, depths), interlaced in itertools.product(_PNG_DEPTHS.items(), (False, True)):
        for bits, keyed in itertools.product(depths, (False, True)):
            if keyed and kind in (GREY_ALPHA, RGBA):
                continue
            largest = 2**bits - 1
            values = generator.integers(0, largest + 1, (SIZE, SIZE, _SAMPLES[kind]))
            right = values
            if kind in (GREY_ALPHA, RGBA):
                right = _on_white(values[..., :-1], values[..., -1:], largest)
            key = b""
            if keyed:
                chosen = values[3, 5]
                key = chosen.astype(">u2").tobytes()
                clear = (values == chosen).all(-1, keepdims=True)
                right = np.where(clear, largest, values)
            if bits < 8:
                right = right * (255 // largest)
            yield _cell(
                f"PNG, {_NAMES[kind]} of {bits} bits{', key' if keyed else ''}"
                f"{', interlaced' if interlaced else ''}",
                "png",
                png_bytes(values, bits, kind, interlaced=interlaced, transparency=key),
                right,
                1 if kind in (GREY_ALPHA, RGBA) else 0,
            )
    for bits, interlaced, clear in itertools.product((1, 2, 4, 8), (False, True), (False, True)):
        index = generator.integers(0, 2**bits, (SIZE, SIZE, 1))
        palette = generator.integers(0, 256, (2**bits, 3))
        alpha = generator.integers(0, 256, 2**bits)
        right = palette[index[..., 0]]
        if clear:
            right = _on_white(right, alpha[index], 255)
        yield _cell(
            f"PNG, palette of {bits} bits{', transparent' if clear else ''}"
            f"{', interlaced' if interlaced else ''}",
            "png",
            png_bytes(
                index,
                bits,
                PALETTE,
                interlaced=interlaced,
                palette=palette,
                transparency=alpha.astype(np.uint8).tobytes() if clear else b"",
            ),
            right,
            1 if clear else 0,
        )


def bmps() -> Iterator[Cell]:
    generator = np.random.default_rng(5)
    for top_down in (False, True):
        height, turned = (-SIZE, ", top-down") if top_down else (SIZE, "")
        for bits in (1, 4, 8):
            index = generator.integers(0, 2**bits, (SIZE, SIZE), dtype=np.uint8)
            palette = generator.integers(0, 256, (2**bits, 3), dtype=np.uint8)
            packed = bmp_bytes(bmp_rows(index, bits, top_down), SIZE, height, bits, palette=palette)
            yield _cell(f"BMP, palette of {bits} bits{turned}", "bmp", packed, palette[index])
            if bits > 1 and not top_down:
                runs = bmp_bytes(
                    bmp_runs(index, bits),
                    SIZE,
                    SIZE,
                    bits,
                    packing=1 if bits == 8 else 2,
                    palette=palette,
                )
                yield _cell(f"BMP, RLE{bits}", "bmp", runs, palette[index])
        for name, green, masks in (
            ("5-5-5", 5, ()),
            ("5-5-5 by masks", 5, (0x7C00, 0x3E0, 0x1F)),
            ("5-6-5", 6, (0xF800, 0x7E0, 0x1F)),
        ):
            depths = np.array([5, green, 5])
            values = generator.integers(0, 2**depths, (SIZE, SIZE, 3))
            words = values[..., 0] << 5 + green | values[..., 1] << 5 | values[..., 2]
            content = bmp_bytes(
                bmp_rows(words.astype("<u2"), 16, top_down),
                SIZE,
                height,
                16,
                packing=3 if masks else 0,
                masks=masks,
            )
            yield _cell(f"BMP, {name}{turned}", "bmp", content, values * (255 / (2**depths - 1)), 1)
        colours = generator.integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)
        backwards = np.ascontiguousarray(colours[..., 2::-1])
        four = np.concatenate([backwards, colours[..., 3:]], -1)
        masks = (0xFF0000, 0xFF00, 0xFF)
        for name, content, right in (
            ("24 bits", bmp_bytes(bmp_rows(backwards, 24, top_down), SIZE, height, 24), None),
            ("32 bits", bmp_bytes(bmp_rows(four, 32, top_down), SIZE, height, 32), None),
            (
                "32 bits by masks",
                bmp_bytes(bmp_rows(four, 32, top_down), SIZE, height, 32, packing=3, masks=masks),
                None,
            ),
            (
                "32 bits by masks with alpha",
                bmp_bytes(
                    bmp_rows(four, 32, top_down),
                    SIZE,
                    height,
                    32,
                    packing=3,
                    masks=(*masks, 0xFF000000),
                ),
                _on_white(colours[..., :3], colours[..., 3:], 255),
            ),
        ):
            yield _cell(
                f"BMP, {name}{turned}",
                "bmp",
                content,
                colours[..., :3] if right is None else right,
                0 if right is None else 1,
            )


def jpegs() -> Iterator[Cell]:
    smooth = picture()
    inks = np.concatenate([255 - smooth, np.full((SIZE, SIZE, 1), 40, np.uint8)], -1)
    printed = smooth * (215 / 255)
    for progressive in (False, True):
        how = ", progressive" if progressive else ""
        options = {"quality": 98, "progressive": progressive}
        yield _cell(f"JPEG, grey{how}", "jpg", _jpeg(smooth[..., 0], **options), smooth[..., :1], 6)
        for subsampling in (0, 1, 2):
            yield _cell(
                f"JPEG, RGB, subsampling {subsampling}{how}",
                "jpg",
                _jpeg(smooth, subsampling=subsampling, **options),
                smooth,
                12,
            )
        cmyk = Image.frombytes("CMYK", (SIZE, SIZE), inks.tobytes())
        yield _cell(f"JPEG, CMYK{how}", "jpg", _saved(cmyk, "JPEG", **options), printed, 12)
    ycck = imagecodecs.jpeg8_encode(255 - inks, 98, colorspace="CMYK", outcolorspace="YCCK")
    yield _cell("JPEG, YCCK", "jpg", ycck, printed, 12)


def _jpeg(values: np.ndarray, **options: object) -> bytes:
    return _saved(Image.fromarray(values), "JPEG", **options)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def webps() -> Iterator[Cell]:
    values = np.random.default_rng(6).integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)
    rgb = np.ascontiguousarray(values[..., :3])
    exact = {"lossless": True, "exact": True}
    clear = _on_white(values[..., :3], values[..., 3:], 255)
    yield _cell("WebP, RGB, lossless", "webp", _saved(Image.fromarray(rgb), "WEBP", **exact), rgb)
    whole = Image.fromarray(values)
    yield _cell("WebP, RGBA, lossless", "webp", _saved(whole, "WEBP", **exact), clear, 1)
    smooth = picture()
    lossy = _saved(Image.fromarray(smooth), "WEBP", quality=95)
    yield _cell("WebP, RGB, lossy", "webp", lossy, smooth, 16)
    several = [Image.fromarray(np.roll(rgb, shift, 0)) for shift in (0, 5)]
    moving = _saved(several[0], "WEBP", save_all=True, append_images=several[1:], **exact)
    yield _cell("WebP, animation", "webp", moving, rgb)
