"""Tall strips of a TIFF are decoded in bands; held to what was written."""

import itertools
import pathlib
import tracemalloc

import numpy as np
import pytest
import tifffile

from examine_jax.images.decoding import tiff_samples, tiff_strips
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.tiff import open_tiff
from examine_jax.images.decoding.unreadable import UnreadableImage

RNG = np.random.default_rng(0)
ROWS, COLUMNS = 23, 13

CELLS = [
    cell
    for cell in itertools.product(
        (None, "lzw", "deflate", "lzma", "zstd", "packbits"), ("u1", "u2", "i2", "f4", "?"), "<>"
    )
    if cell[1:] != ("?", ">")
]


def bands_of(path: pathlib.Path) -> list[np.ndarray]:
    with path.open("rb") as stream:
        page = open_tiff(stream).pages.first
        tiff_samples.check_samples(page, 10**9)
        return list(tiff_samples.sample_bands(stream, page))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("strip", [ROWS, 9])
@pytest.mark.parametrize("predictor", [False, True])
def test_strips_in_bands(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    streamed: bool,
    strip: int,
    predictor: bool,
) -> None:
    monkeypatch.setattr(tiff_samples, "BAND_PIXELS", 4 * COLUMNS)
    monkeypatch.setattr(tiff_strips, "_STREAMED_BYTES", 0 if streamed else 2**26)
    for compression, dtype, order in CELLS[streamed :: 2 if strip == ROWS else 3]:
        if predictor and (compression in (None, "packbits") or dtype == "?"):
            continue
        for shape in ((ROWS, COLUMNS), (ROWS, COLUMNS, 3)):
            if dtype == "?" and len(shape) == 3:
                continue
            values = RNG.integers(0, 2 if dtype == "?" else 200, shape).astype(dtype)
            tifffile.imwrite(
                tmp_path / "a.tif",
                values,
                compression=compression,
                predictor=predictor or None,
                byteorder=order,
                rowsperstrip=strip,
                photometric="rgb" if len(shape) == 3 else "minisblack",
            )
            bands = bands_of(tmp_path / "a.tif")
            np.testing.assert_array_equal(np.concatenate(bands).reshape(shape), values)
            assert bands[0].dtype == values.dtype
            assert compression is None or max(map(len, bands)) == 4


@pytest.mark.parametrize("compression", ["deflate", "lzma", "lzw", "zstd"])
@pytest.mark.parametrize("streamed", [False, True])
def test_damaged_strips(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, compression: str, streamed: bool
) -> None:
    monkeypatch.setattr(tiff_samples, "BAND_PIXELS", 4 * COLUMNS)
    monkeypatch.setattr(tiff_strips, "_STREAMED_BYTES", 0 if streamed else 2**26)
    values = RNG.integers(0, 256, (ROWS, COLUMNS), dtype=np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, compression=compression, rowsperstrip=ROWS)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        start, size = page.dataoffsets[0], page.databytecounts[0]
        length = page.tags["StripByteCounts"].valueoffset
    whole = path.read_bytes()
    decode = ImageDecoder(8, 1, None, 10**6, 10**6, Budget(10**6))
    path.write_bytes(whole[:length] + (size // 2).to_bytes(4, "little") + whole[length + 4 :])
    with pytest.raises(UnreadableImage, match=r"truncated|damaged"):
        decode(str(path))
    path.write_bytes(whole[:start] + bytes(size) + whole[start + size :])
    with pytest.raises(UnreadableImage, match=r"truncated|damaged"):
        decode(str(path))


@pytest.mark.parametrize(("compression", "share"), [("deflate", 0.3), ("lzw", 1.4)])
def test_a_strip_takes_little_memory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, compression: str, share: float
) -> None:
    monkeypatch.setattr(tiff_samples, "BAND_PIXELS", 20_000)
    monkeypatch.setattr(tiff_strips, "_STREAMED_BYTES", 2**20)
    values = np.add.outer(np.arange(2000), np.arange(1000)).astype(">u2")
    path = tmp_path / "a.tif"
    options = {"compression": compression, "predictor": True, "rowsperstrip": len(values)}
    tifffile.imwrite(path, values, byteorder=">", **options)
    bands_of(path)
    with path.open("rb") as stream:
        page = open_tiff(stream).pages.first
        tracemalloc.start()
        for band in tiff_samples.sample_bands(stream, page):
            del band
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < share * values.nbytes
