"""Palettes and luma with chroma: against pydicom's own functions."""

import struct

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, convert_color_space

from examine_jax.images.decoding.dicom_colour import colour, palette_colour
from examine_jax.images.decoding.unreadable import UnreadableImage
from tests.images.decoding.test_dicom import grey, shipped

INDICES = np.arange(256, dtype=np.uint8).reshape(16, 16)


def palette(tables: list[bytes], depth: int, segmented: bool, first: int = 0) -> Dataset:
    header = grey(8, INDICES, PhotometricInterpretation="PALETTE COLOR")
    for channel, content in zip(("Red", "Green", "Blue"), tables):
        name = f"{channel}PaletteColorLookupTable"
        setattr(header, f"{name}Descriptor", [256, first, depth])
        setattr(header, f"{'Segmented' if segmented else ''}{name}Data", content)
    return header


@pytest.mark.parametrize("first", [0, 30])
@pytest.mark.parametrize("depth", [8, 16])
def test_tables_are_pydicoms(depth: int, first: int) -> None:
    random = np.random.default_rng(depth)
    tables = [random.integers(0, 2**depth, 256).astype(f"<u{depth // 8}") for _ in range(3)]
    tables[0][-1] = 2**depth - 1
    header = palette([table.tobytes() for table in tables], depth, False, first)
    expected = apply_color_lut(INDICES, header) / (2**depth - 1)
    np.testing.assert_allclose(palette_colour(INDICES, header), expected, atol=1e-7)


def segments(depth: int) -> bytes:
    """C.7.9.2: entries, lines up and down and of one value."""
    scale = 1 if depth == 8 else 257
    words = [0, 3, 5 * scale, 90 * scale, 7 * scale, 1, 100, 250 * scale, 1, 93, 250 * scale]
    words += [1, 60, 3 * scale]
    return struct.pack(f"<{len(words)}{'B' if depth == 8 else 'H'}", *words)


@pytest.mark.parametrize("depth", [8, 16])
def test_segments_are_pydicoms(depth: int) -> None:
    header = palette([segments(depth)] * 3, depth, True)
    expected = apply_color_lut(INDICES, header) / (2**depth - 1)
    step = 1 / (2**depth - 1)  # A half on a line may be rounded to either side.
    np.testing.assert_allclose(palette_colour(INDICES, header), expected, atol=1.001 * step)


def test_the_shipped_palette_is_pydicoms() -> None:
    dataset = shipped("examples_palette.dcm")
    pixels = dataset.pixel_array
    expected = apply_color_lut(pixels, dataset) / 65535
    np.testing.assert_allclose(palette_colour(pixels, dataset), expected, atol=1e-7)


def test_tables_of_16_bits_with_small_entries_hold_8_bits() -> None:
    table = np.arange(256, dtype="<u2").tobytes()
    shown = palette_colour(INDICES, palette([table] * 3, 16, False))
    np.testing.assert_allclose(shown[..., 0], INDICES / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\1\5\0\0", "damaged DICOM palette"),  # a line without a beginning
        (b"\0\2\1\1", "of 2 entries, where its header says 256"),
        (b"\0\xff\1\1", "of 2 entries"),
        (b"\7\2\1\1", "damaged DICOM palette"),
        (b"\0\1\5\2\xff\3\0\0\0\0", "damaged DICOM palette"),  # it names itself
        (b"\0\1\5\2\xff\0\1\0\0\0", "damaged DICOM palette"),  # out of the table
        (b"", "of 0 entries"),
    ],
)
def test_damaged_segments_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        palette_colour(INDICES, palette([content] * 3, 8, True))


def test_a_missing_table_is_named() -> None:
    header = palette([bytes(256)] * 3, 8, False)
    del header.GreenPaletteColorLookupTableData
    with pytest.raises(UnreadableImage, match="without a table of green"):
        palette_colour(INDICES, header)


def test_luma_and_chroma_are_pydicoms() -> None:
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    expected = convert_color_space(values, "YBR_FULL", "RGB")
    assert np.abs(255 * colour(values, "YBR_FULL", 8) - expected).max() <= 0.501
    deep = values.astype(np.uint16) * 257
    shown = colour(deep, "YBR_FULL", 16)
    assert np.abs(255 * shown - expected).max() <= 1.4  # the middle is 32768, not 128 * 257


@pytest.mark.parametrize("photometric", ["YBR_PARTIAL_422", "YBR_RCT", "YBR_ICT", "HSV", "CMYK"])
def test_colours_that_are_not_known_are_refused(photometric: str) -> None:
    with pytest.raises(UnreadableImage, match=f"colours as '{photometric}'"):
        colour(np.zeros((4, 4, 3), np.uint8), photometric, 8)


def test_a_big_endian_table_is_read_by_its_order() -> None:
    table = np.arange(256, dtype=np.uint16) * 257
    header = palette([table.astype(">u2").tobytes()] * 3, 16, False)
    header.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    np.testing.assert_allclose(palette_colour(INDICES, header)[..., 0], INDICES / 255, atol=1e-7)
