"""All file formats, compared with Pillow, scikit-image, tifffile or the written array."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from examine_jax.images.decoding import tiff_samples
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.resize import is_smaller
from examine_jax.images.decoding.unreadable import UnreadableImage

SIZE = 24


@pytest.fixture(autouse=True)
def _pillow_may_warn():
    """load_folder silences Pillow's warnings for all threads; the decoder alone does not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield


def decoder(image_size=SIZE, channels=3, bits_stored=None, max_pixels=10**7, max_bytes=10**8):
    return ImageDecoder(
        image_size, channels, bits_stored, max_pixels, max_bytes, Budget(max_pixels)
    )


@pytest.fixture(scope="module")
def picture():
    """A smooth colour picture, which JPEG keeps; taller than wide, so that a turn is visible."""
    rows, columns = np.mgrid[0:60, 0:40]
    return np.stack([rows * 4, columns * 6, 255 - rows * 2 - columns], axis=-1).astype(np.uint8)


def resized(image, size=SIZE):
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS)).reshape(size, size, -1)


def png(values, colour_type):
    """A 16-bit PNG written from the specification: Pillow writes none in colour."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    height, width = values.shape[:2]
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "jpg"])
def test_formats_are_decoded_as_pillow_does(tmp_path, picture, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(picture).save(path, **({"lossless": True} if suffix == "webp" else {}))
    result = decoder()(str(path))
    with Image.open(path) as image:
        np.testing.assert_array_equal(result.pixels, resized(image.convert("RGB")))
    assert not is_smaller(result.stored_size, SIZE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_modes_are_converted_as_pillow_does(tmp_path, picture, mode, channels):
    path = tmp_path / "image.tif"
    Image.fromarray(picture).convert(mode).save(path)
    pixels = decoder(channels=channels)(str(path)).pixels
    with Image.open(path) as image:
        expected = resized(image.convert("L" if channels == 1 else "RGB"))
    # YCbCr becomes grey by way of RGB, as JPEG does; Pillow takes Y.
    tolerance = 2 if (mode, channels) == ("YCbCr", 1) else 0
    np.testing.assert_allclose(
        np.broadcast_to(pixels, expected.shape).astype(int), expected, atol=tolerance
    )


@pytest.mark.parametrize("case", ["RGBA", "LA", "palette", "RGB key", "L key"])
def test_transparency_becomes_white(tmp_path, picture, case):
    path = tmp_path / "image.png"
    left = np.zeros((60, 40), np.uint8)
    left[:, 20:] = 255
    if case == "RGBA":
        Image.fromarray(np.dstack([picture, left])).save(path)
    elif case == "LA":
        Image.fromarray(np.dstack([picture[..., 0], left])).save(path)
    elif case == "palette":
        indices = Image.fromarray((left // 255 + 1).astype(np.uint8), mode=None).convert("P")
        indices.putpalette([0, 0, 0, 10, 20, 30, 200, 100, 50])
        indices.save(path, transparency=1)
    elif case == "RGB key":
        Image.fromarray(np.where(left[..., None] == 0, np.uint8([9, 8, 7]), picture)).save(
            path, transparency=(9, 8, 7)
        )
    else:
        Image.fromarray(np.where(left == 0, np.uint8(3), picture[..., 0])).save(
            path, transparency=3
        )
    pixels = np.broadcast_to(decoder(image_size=40)(str(path)).pixels, (40, 40, 3))
    assert (pixels[:, :15] == 255).all()
    assert (pixels[:, 25:] != 255).any(axis=-1).mean() > 0.9


def test_half_transparent_is_half_white(tmp_path):
    path = tmp_path / "image.png"
    Image.new("RGBA", (30, 30), (0, 100, 200, 51)).save(path)
    np.testing.assert_allclose(decoder()(str(path)).pixels[0, 0], [204, 224, 244], atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation_is_applied(tmp_path, picture, orientation, suffix):
    path = tmp_path / f"image.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(path, exif=exif)
    with Image.open(path) as image:
        expected = resized(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_allclose(
        decoder()(str(path)).pixels.astype(int), expected, atol=2
    )  # Bytes are rounded between the two axes.


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_exif_orientation_is_applied_at_16_bits(tmp_path, picture, orientation, suffix):
    path, turned, upright = (
        tmp_path / f"image.{suffix}",
        tmp_path / "turned.png",
        tmp_path / "upright.png",
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    grey = Image.fromarray(picture[..., 0].astype(np.uint16) * 256)
    grey.save(path, exif=exif)
    grey.save(turned, exif=exif)
    with Image.open(
        turned
    ) as image:  # Not the TIFF: by its name Pillow maps it into memory, and then turns it wrongly.
        ImageOps.exif_transpose(image).save(upright)
    np.testing.assert_allclose(decoder()(str(path)).pixels, decoder()(str(upright)).pixels, atol=2)


def test_damaged_exif_is_no_reason_to_lose_the_image(tmp_path, picture):
    path = tmp_path / "image.jpg"
    Image.fromarray(picture).save(path, exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff garbage")
    assert decoder()(str(path)).pixels.shape == (SIZE, SIZE, 3)


def test_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue")]
    for name, options in [("a.tif", {}), ("a.webp", {"lossless": True}), ("a.png", {})]:
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(decoder()(str(tmp_path / name)).pixels[5, 5], [255, 0, 0])


def test_large_jpegs_decoded_at_reduced_scale_look_the_same(tmp_path):
    import skimage

    path = tmp_path / "image.jpg"
    photograph = Image.fromarray(skimage.data.immunohistochemistry())
    photograph.resize((1600, 1200)).save(path, quality=92)
    with Image.open(path) as image:
        expected = resized(image, 72).astype(int)
    difference = np.abs(decoder(image_size=72)(str(path)).pixels - expected)
    assert difference.mean() < 1
    assert difference.max() <= 8


@pytest.mark.parametrize("size", [(SIZE, SIZE), (SIZE - 1, 60), (60, SIZE - 1), (1, 1)])
def test_small_images_are_resized_up_and_say_so(tmp_path, size):
    path = tmp_path / "image.png"
    Image.new("L", size, 77).save(path)
    result = decoder()(str(path))
    assert is_smaller(result.stored_size, SIZE) == (min(size) < SIZE)
    assert (result.pixels == 77).all()


@pytest.fixture(scope="module")
def deep():
    """12-bit colours with detail in every bit."""
    return np.random.default_rng(0).integers(0, 4096, (SIZE, SIZE, 3), dtype=np.uint16)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sixteen_bit_tiff_keeps_every_bit(tmp_path, deep, byteorder, compression):
    path = str(tmp_path / "image.tif")
    tifffile.imwrite(path, deep, photometric="rgb", byteorder=byteorder, compression=compression)
    result = decoder()(path)
    np.testing.assert_array_equal(result.pixels, deep)
    assert (result.pixels.dtype, result.largest) == (np.uint16, float(deep.max()))
    tifffile.imwrite(path, deep[..., 0], byteorder=byteorder, compression=compression)
    np.testing.assert_array_equal(decoder()(path).pixels[..., 0], deep[..., 0])


def test_sixteen_bit_tiff_in_tiles_and_with_a_predictor_keeps_every_bit(tmp_path):
    values = np.random.default_rng(1).integers(0, 65536, (80, 80, 3), dtype=np.uint16)
    for name, options in [
        ("tiles.tif", {"tile": (16, 16)}),
        ("predictor.tif", {"compression": "zlib", "predictor": True}),
    ]:
        tifffile.imwrite(tmp_path / name, values, photometric="rgb", **options)
        np.testing.assert_array_equal(decoder(image_size=80)(str(tmp_path / name)).pixels, values)


@pytest.mark.parametrize(("colour_type", "planes"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_keeps_every_bit(tmp_path, colour_type, planes):
    path = tmp_path / "image.png"
    values = np.random.default_rng(2).integers(0, 65536, (SIZE, SIZE, planes), dtype=np.uint16)
    if planes in (2, 4):
        values[..., -1] = 65535
    path.write_bytes(png(values, colour_type))
    pixels = decoder()(str(path)).pixels
    colours = values[..., :-1] if planes in (2, 4) else values
    np.testing.assert_array_equal(pixels, np.broadcast_to(colours, pixels.shape))


def test_sixteen_bit_transparency_becomes_white(tmp_path):
    path = tmp_path / "image.png"
    values = np.full((SIZE, SIZE, 4), 20000, np.uint16)
    values[0, 0, 3], values[0, 1, 3], values[0, 2, 3] = 0, 65535, 13107
    path.write_bytes(png(values, 6))
    np.testing.assert_allclose(
        decoder()(str(path)).pixels[0, :3, 0], [65535, 20000, 0.2 * 20000 + 0.8 * 65535], atol=1
    )


def test_sixteen_bit_colour_becomes_grey_by_luma(tmp_path, deep):
    path = str(tmp_path / "image.tif")
    tifffile.imwrite(path, deep, photometric="rgb")
    np.testing.assert_allclose(
        decoder(channels=1)(path).pixels[..., 0], deep @ [0.299, 0.587, 0.114], atol=0.51
    )


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32])
def test_wider_integers_in_range_are_read(tmp_path, deep, dtype):
    path = str(tmp_path / "image.tif")
    tifffile.imwrite(path, deep[..., 0].astype(dtype), byteorder="<")
    np.testing.assert_array_equal(decoder()(path).pixels[..., 0], deep[..., 0])


def test_float_tiff_is_read_as_it_is(tmp_path):
    path = str(tmp_path / "image.tif")
    values = np.random.default_rng(3).random((SIZE, SIZE), np.float32)
    tifffile.imwrite(path, values)
    result = decoder()(path)
    np.testing.assert_array_equal(result.pixels[..., 0], values)
    assert result.largest == values.max()


def test_a_mislabelled_image_is_read_by_its_content(tmp_path, picture):
    path = tmp_path / "image.jpg"
    Image.fromarray(picture).save(path, format="PNG")
    np.testing.assert_array_equal(decoder()(str(path)).pixels, resized(Image.fromarray(picture)))


def write_tiff(path, values, **options):
    tifffile.imwrite(path, values, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 15, 29])
def test_a_value_that_is_no_number_is_found_in_every_band(tmp_path, monkeypatch, row, value):
    monkeypatch.setattr(tiff_samples, "BAND_PIXELS", 10 * 30)  # three bands of ten rows
    values = np.random.default_rng(0).random((30, 30)).astype(np.float32)
    write_tiff(tmp_path / "sound.tif", values, rowsperstrip=5)
    assert decoder(channels=1)(str(tmp_path / "sound.tif")).largest == values.max()
    values[row, 7] = value
    write_tiff(tmp_path / "a.tif", values, rowsperstrip=5)
    with pytest.raises(UnreadableImage, match="NaN or infinity"):
        decoder(channels=1)(str(tmp_path / "a.tif"))


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (
            lambda path: write_tiff(path, np.full((30, 30), -5, np.int16)),
            "values from -5 to -5: only 0 to 65535",
        ),
        (lambda path: write_tiff(path, np.full((30, 30), 70000, np.int32)), "values from 70000"),
        (lambda path: write_tiff(path, np.full((30, 30), 3e9, np.uint32)), "from 3000000000"),
        (lambda path: write_tiff(path, np.full((30, 30), np.nan, np.float32)), "NaN or infinity"),
        (
            lambda path: write_tiff(path, np.full((30, 30), -0.5, np.float32)),
            "only [0, 1] or [0, 255]",
        ),
        (
            lambda path: write_tiff(path, np.full((30, 30), 1j, np.complex64)),
            "a TIFF of complex samples",
        ),
        (lambda path: path.write_bytes(b"II*\0\x08\0\0\0\xff\xff"), "a TIFF of 65535 tags"),
        (
            lambda path: write_tiff(path, np.ones((30, 30), np.float32), photometric="miniswhite"),
            "0 is white",
        ),
        (lambda path: path.write_bytes(b""), "empty: 0 bytes"),
        (lambda path: path.write_bytes(b"this is no image\n" * 9), "its content is no PNG"),
        (
            lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
            "its content is no PNG",
        ),
        (
            lambda path: Image.new("RGB", (2000, 6000)).save(path, format="PNG"),
            "2000 x 6000 pixels in its header",
        ),
        (
            lambda path: path.write_bytes(bytes(10**6 + 1)),
            "1000001 bytes, more than max_bytes=1000000",
        ),
        (lambda path: path.mkdir(), "not a plain file"),
        (lambda path: path.symlink_to(path.parent / "nowhere"), "No such file or directory"),
        (lambda path: path.symlink_to(path), "symbolic links"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, write, reason):
    path = tmp_path / "image.tif"
    write(path)
    with pytest.raises(UnreadableImage) as caught:
        decoder(max_bytes=10**6)(str(path))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_never_half_an_image(tmp_path, suffix, kept):
    path = tmp_path / f"image.{suffix}"
    noise = np.random.default_rng(4).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(UnreadableImage):
        decoder()(str(path))


def test_a_damaged_byte_never_ends_the_run(tmp_path):
    """Any one damaged byte gives pixels or a reason, never another error."""
    generator, reasons = np.random.default_rng(5), []
    for suffix in ["png", "jpg", "tif", "bmp", "webp"]:
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(
            buffer, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix)
        )
        for _ in range(60):
            content = bytearray(buffer.getvalue())
            for _ in range(3):
                content[generator.integers(min(len(content), 200))] = generator.integers(256)
            path = tmp_path / f"image.{suffix}"
            path.write_bytes(content)
            try:
                assert decoder()(str(path)).pixels.shape == (SIZE, SIZE, 3)
            except UnreadableImage as error:
                reasons.append(str(error))
    assert reasons
    assert all(reason and "\n" not in reason for reason in reasons)
