"""TIFFs of every kind: a sample of the file matrix, and what must be refused."""

import functools
import itertools
import struct
import tracemalloc
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.quiet import quiet_libraries
from examine_jax.images.decoding.unreadable import UnreadableImage
from tests.support.raster_cells import all_rasters
from tests.support.tiff_cells import SIZE, plain_tiffs, special_tiffs
from tests.support.tiff_writer import tiff_bytes


@pytest.fixture(autouse=True)
def _libraries_are_quiet():
    with quiet_libraries():
        yield


def decoder(image_size=SIZE, channels=3, bits_stored=None, max_pixels=10**7, max_bytes=10**8):
    return ImageDecoder(
        image_size, channels, bits_stored, max_pixels, max_bytes, Budget(max_pixels)
    )


@pytest.mark.parametrize(
    ("cells", "step"),
    [(functools.partial(plain_tiffs, 199), 1), (special_tiffs, 13), (all_rasters, 3)],
)
def test_a_sample_of_the_file_matrix_has_the_right_values(tmp_path, cells, step):
    """The whole of it is benchmarks/quality/file_matrix.py."""
    wrong = []
    for cell in itertools.islice(cells(), 0, None, step):
        path = tmp_path / f"image.{cell.suffix}"
        cell.write(path)
        pixels = decoder(channels=cell.right.shape[-1])(str(path)).pixels
        off = np.abs(np.asarray(pixels, np.float64) - cell.right).max()
        if not off <= cell.tolerance:
            wrong.append(f"{cell.name}: off by {off}")
    assert not wrong


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("white_at_zero", [False, True])
def test_faxes_are_read_as_libtiff_does(tmp_path, compression, white_at_zero):
    path = str(tmp_path / "image.tif")
    page = np.zeros((SIZE, SIZE), bool)
    page[5:20, 7:30] = page[25:, ::3] = True
    tags = {262: 0 if white_at_zero else 1}
    Image.fromarray(page).save(path, compression=compression, tiffinfo=tags)
    with Image.open(path) as image:
        right = np.asarray(image.convert("L"))
    assert 0 < right.mean() < 255
    np.testing.assert_array_equal(decoder()(path).pixels[..., 0], right)


@pytest.mark.parametrize("mode", ["LAB", "CMYK", "YCbCr", "RGB", "L"])
def test_jpeg_keeps_the_channels_that_it_holds(tmp_path, mode):
    """JPEG data do not say of what their channels are; the TIFF does."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    plain = np.stack([rows * 4 + 60, columns * 2 + 5, 90 - rows - columns, rows * 3], -1)
    samples = plain[..., : len(Image.new(mode, (1, 1)).getbands())].astype(np.uint8)
    image = Image.frombytes(mode, (SIZE, SIZE), samples.tobytes())
    read = []
    for name in ("raw", "jpeg"):
        path = str(tmp_path / f"{name}.tif")
        image.save(path, compression=name, **({"quality": 99} if name == "jpeg" else {}))
        read.append(decoder()(path).pixels.astype(int))
    assert np.abs(read[0] - read[1]).mean() < 2


def test_a_damaged_orientation_costs_no_image(tmp_path):
    path = tmp_path / "image.tif"
    for values in ([0], [99], [6, 6]):
        path.write_bytes(tiff_bytes(ramp(), 16, 1, tags={274: values}))
        np.testing.assert_array_equal(decoder()(str(path)).pixels, ramp())


def ramp(dtype=np.uint16, samples=1, largest=4095):
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    values = ((rows * SIZE + columns) * largest // SIZE**2).astype(dtype)
    return np.repeat(values[..., None], samples, axis=-1)


def test_bits_in_use_say_what_is_black_where_0_is_white(tmp_path):
    path = tmp_path / "image.tif"
    path.write_bytes(tiff_bytes(ramp(), 16, 0))
    np.testing.assert_array_equal(decoder()(str(path)).pixels, 65535 - ramp())
    np.testing.assert_array_equal(decoder(bits_stored=12)(str(path)).pixels, 4095 - ramp())


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_alpha_is_what_its_tag_says(tmp_path, kind):
    """0: another channel; 1: colours are multiplied by it; 2: they are not."""
    path = tmp_path / "image.tif"
    values = np.full((SIZE, SIZE, 4), 100, np.uint8)
    values[..., 3] = 51
    path.write_bytes(tiff_bytes(values, 8, 2, tags={338: [kind]}))
    right = {0: 100, 1: 100 + 204, 2: 20 + 204}[kind]
    assert (decoder()(str(path)).pixels == min(right, 255)).all()
    wide = values.astype(np.uint16) * 257
    path.write_bytes(tiff_bytes(wide, 16, 2, tags={338: [kind]}))
    if kind == 1:  # The sum is above white, which no associated alpha gives.
        with pytest.raises(UnreadableImage, match="values from"):
            decoder()(str(path))
    else:
        assert (decoder()(str(path)).pixels == right * 257).all()


def test_pages_are_images_and_thumbnails_and_masks_are_not(tmp_path):
    path = str(tmp_path / "stack.tif")
    with tifffile.TiffWriter(path) as writer:
        for value, kind in ((10, 0), (20, 1), (30, 0), (40, 4), (50, 2)):
            page = np.full((SIZE, SIZE), value, np.uint16)
            mask = {"photometric": "mask"} if kind == 4 else {}
            page = page.astype(bool) if mask else page
            writer.write(page, subfiletype=kind, metadata=None, **mask)
    assert [image.pixels.max() for image in decoder().frames(path).images] == [10, 30, 50]
    assert decoder()(path, 1).pixels.max() == 30
    header = decoder().read_header(path)
    assert (header.images, header.deep, header.missing) == (3, True, {})


def test_a_page_that_is_not_read_costs_no_other(tmp_path):
    path = str(tmp_path / "stack.tif")
    with tifffile.TiffWriter(path) as writer:
        for page in (np.full((9, 9), 7, np.uint8), np.ones((9, 9), np.complex64)):
            writer.write(page, metadata=None)
    first, second = decoder().frames(path).images
    assert (first.pixels == 7).all()
    assert "complex samples" in str(second)
    assert list(decoder().read_header(path).missing) == [1]


def jpeg_in_a_tile():
    """A JPEG of 4096 x 4096 pixels in a tile of 16 x 16."""
    bomb = imagecodecs.jpeg8_encode(np.zeros((4096, 4096), np.uint8))
    content = bytearray(tiff_bytes(np.zeros((16, 16, 1), np.uint8), 8, 1, tile=16))
    start = len(content) - 256
    return _patched(content[:start] + bomb, {259: 7, 325: len(bomb)})


def _patched(content, values):
    """A little-endian TIFF with other values of single-valued tags."""
    content = bytearray(content)
    (count,) = struct.unpack_from("<H", content, 8)
    for place in range(10, 10 + 12 * count, 12):
        code, kind = struct.unpack_from("<HH", content, place)
        if code in values:
            struct.pack_into("<H" if kind == 3 else "<I", content, place + 8, values[code])
    return bytes(content)


def _counted(content, code, count):
    """A little-endian TIFF whose tag claims to hold `count` values."""
    content = bytearray(content)
    (tags,) = struct.unpack_from("<H", content, 8)
    for place in range(10, 10 + 12 * tags, 12):
        if struct.unpack_from("<H", content, place)[0] == code:
            struct.pack_into("<I", content, place + 4, count)
    return bytes(content)


PLAIN = tiff_bytes(ramp(), 16, 1)
DEFLATED = tiff_bytes(ramp(), 16, 1, compression="deflate", rows_per_strip=8)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PLAIN[:-1], "truncated: the file ends 1 bytes early"),
        (PLAIN[:60], "truncated in the directory"),
        (b"II*\0", "truncated: a TIFF without a directory"),
        (b"MM\0*\0\0\0\0" + bytes(20), "truncated: a TIFF without a directory"),
        (DEFLATED[:-5], "truncated: the file ends 5 bytes early"),
        (DEFLATED[:-40] + bytes(40), "damaged"),
        (_counted(DEFLATED, 273, 2**30), "1073741824 values in tag 273"),
        (_counted(DEFLATED, 279, 2), "5 strips or tiles that lists"),
        (_patched(PLAIN, {257: 2**31, 256: 2**31}), "pixels in its header"),
        (_patched(PLAIN, {256: 0}), "a side of 0 pixels"),
        (_patched(DEFLATED, {278: 0}), "damaged"),
        (_patched(PLAIN, {259: 34676}), "compressed by SGILOG, which is not read"),
        (_patched(PLAIN, {259: 60000}), "compressed by scheme 60000"),
        (_patched(PLAIN, {262: 32803}), "a TIFF of CFA samples"),
        (_patched(PLAIN, {262: 3}), "without its whole palette"),
        (_patched(PLAIN, {262: 5}), "1 samples a pixel where its colours need 4"),
        (_patched(DEFLATED, {317: 34892}), "predictor 34892"),
        (_patched(PLAIN, {339: 6, 258: 64}), "a TIFF of complex samples"),
        (_patched(PLAIN, {258: 48}), "a TIFF of 48-bit samples"),
        (tiff_bytes(ramp(samples=3), 16, 1), "3 channels that are no colours"),
        (tiff_bytes(ramp(np.int8, largest=127) - 1, 8, 1), "values from -1 to 125"),
        (tiff_bytes(ramp(np.int16), 16, 0), "int16 samples whose 0 is white"),
        (tiff_bytes(np.full((9, 9, 1), np.inf, np.float64), 64, 1), "NaN or infinity"),
        (tiff_bytes(np.full((9, 9, 1), 1e300), 64, 1), "values from 1e+300 to 1e+300"),
        (jpeg_in_a_tile(), "an image of 4096 x 4096 pixels in a strip or tile of 16 x 16"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, content, reason):
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage) as caught:
        decoder()(str(path))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_directory_that_names_itself_is_one_page(tmp_path):
    path = tmp_path / "image.tif"
    content = bytearray(PLAIN)
    (tags,) = struct.unpack_from("<H", content, 8)
    struct.pack_into("<I", content, 10 + 12 * tags, 8)
    path.write_bytes(content)
    assert len(decoder().frames(str(path)).images) == 1


def test_a_strip_that_inflates_beyond_its_size_is_not_inflated(tmp_path):
    path = tmp_path / "image.tif"
    bomb = zlib.compress(bytes(2**24), 9)
    content = tiff_bytes(np.zeros((16, 16, 1), np.uint8), 8, 1, compression="deflate")
    start = len(content) - len(zlib.compress(bytes(256)))
    path.write_bytes(_patched(content[:start] + bomb, {279: len(bomb)}))
    tracemalloc.start()
    try:
        decoder()(str(path))
    except UnreadableImage:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2**22


@pytest.mark.parametrize("layout", ["plain", "tiles", "strips"])
def test_large_images_take_little_memory(tmp_path, layout):
    """4 million pixels of 16-bit RGB are 24 MB decoded, 48 MB as float32."""
    path = tmp_path / "image.tif"
    options = {
        "plain": {},
        "tiles": {"compression": "zlib", "tile": (256, 256)},
        "strips": {"compression": "zlib", "rowsperstrip": 64},
    }[layout]
    values = np.zeros((2000, 2000, 3), np.uint16)
    values[:1000] = 1000
    tifffile.imwrite(path, values, photometric="rgb", metadata=None, **options)
    del values
    read = decoder(image_size=32)
    read(str(path))  # Modules and caches are loaded.
    tracemalloc.start()
    pixels = read(str(path)).pixels
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.3 * 24e6
    assert (pixels[:12] >= 990).all()
    assert (pixels[20:] <= 10).all()


@pytest.mark.parametrize("shape", [(1500, 700, 3), (700, 3000, 1), (1500, 700, 4)])
def test_bands_give_the_picture_that_the_whole_image_gives(tmp_path, shape):
    values = np.random.default_rng(7).integers(60, 190, shape, dtype=np.uint8)
    if shape[-1] == 4:
        values[..., 3] = 255
    whole = Image.fromarray(values[..., 0] if shape[-1] == 1 else values[..., :3])
    right = np.asarray(whole.resize((64, 64), Image.Resampling.LANCZOS)).reshape(64, 64, -1)
    for name in ("image.png", "image.tif"):
        path = str(tmp_path / name)
        Image.fromarray(values.squeeze()).save(
            path, **({"compress_level": 1} if "png" in name else {})
        )
        off = np.abs(decoder(image_size=64)(path).pixels.astype(int) - right)
        assert off.max() <= 1  # Bytes are rounded between the axes, whose order may differ.
