"""Images of any rectangle, and the size that each image had as it was stored."""

import pathlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from examine_jax.images import (
    ImageSet,
    load_array,
    load_folder,
    load_images,
    sample_images,
    stream_images,
)
from examine_jax.images.decoding.resize import (
    BAND_PIXELS,
    resize_bands,
    resize_bytes,
    resize_values,
)

RNG = np.random.default_rng(0)
ROWS, COLUMNS = 12, 16
SIZE = ROWS, COLUMNS
ORIENTATION = 0x0112


def picture(height: int, width: int) -> np.ndarray:
    """A smooth colour picture, which JPEG keeps, with no symmetry."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.stack([rows * 250, columns * 200, 99 * rows * columns], axis=-1).astype(np.uint8)


def lanczos(pixels: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
    image = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.LANCZOS)
    return np.asarray(image)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def sizes(images: ImageSet) -> list[list[int]]:
    assert images.stored_sizes is not None
    assert images.stored_sizes.dtype == np.int32
    return images.stored_sizes.tolist()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp"])
def test_a_rectangle_is_rows_by_columns(tmp_path: pathlib.Path, name: str) -> None:
    lossless = {"lossless": True} if name == "a.webp" else {}
    Image.fromarray(picture(40, 30)).save(tmp_path / name, **lossless)
    images = load_images(tmp_path, image_size=SIZE)
    with Image.open(tmp_path / name) as image:
        np.testing.assert_array_equal(images.pixels[0], lanczos(np.asarray(image)))
    assert (sizes(images), images.resized_up) == ([[40, 30]], 0)
    stream = stream_images(tmp_path, image_size=SIZE)
    assert stream.shape == (1, ROWS, COLUMNS, 3)
    np.testing.assert_array_equal(stream[np.array([0])], images.pixels)
    square = load_images(tmp_path, image_size=16).pixels
    np.testing.assert_array_equal(load_images(tmp_path, image_size=(16, 16)).pixels, square)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("name", ["a.jpg", "large.jpg", "a.png", "a.webp", "a.tif", "deep.png"])
def test_a_turned_image_has_the_size_when_it_is_upright(
    tmp_path: pathlib.Path, name: str, orientation: int
) -> None:
    values = picture(*((200, 440) if name == "large.jpg" else (40, 60)))
    if name == "deep.png":
        Image.fromarray(values[..., 0].astype(np.uint16) * 257).save(
            tmp_path / name, exif=turned(orientation)
        )
    elif name == "a.tif":
        Image.fromarray(values).save(tmp_path / name, tiffinfo={ORIENTATION: orientation})
    else:
        lossless = {"lossless": True} if name == "a.webp" else {"quality": 98}
        Image.fromarray(values).save(tmp_path / name, exif=turned(orientation), **lossless)
    images = load_images(tmp_path, image_size=SIZE)
    with Image.open(tmp_path / name) as stored:
        upright = ImageOps.exif_transpose(stored)
        assert sizes(images) == [[upright.height, upright.width]]
        shown = np.asarray(upright)
    if name == "deep.png":
        shown = np.repeat((shown[..., None] / 257).astype(np.uint8), 3, axis=-1)
    # The axes are resized in another order, and a large JPEG is decoded at a reduced scale.
    np.testing.assert_allclose(
        images.pixels[0].astype(int), lanczos(shown), atol=3 if name == "large.jpg" else 1
    )


@pytest.mark.parametrize(("size", "reduced"), [((64, 8), True), ((8, 64), False)])
def test_a_turned_jpeg_is_reduced_by_its_stored_sides(
    tmp_path: pathlib.Path, size: tuple[int, int], reduced: bool
) -> None:
    noise = RNG.integers(0, 256, (100, 800, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", exif=turned(6))  # Upright, 800 x 100.
    with Image.open(tmp_path / "a.jpg") as stored:
        if reduced:
            stored.draft(None, (4 * 64, 4 * 8))
            assert stored.size == (400, 50)
        expected = np.rot90(lanczos(np.asarray(stored), size[::-1]), -1)
    np.testing.assert_array_equal(load_images(tmp_path, image_size=size).pixels[0], expected)


def test_large_images_are_resized_in_bands(tmp_path: pathlib.Path) -> None:
    pixels = RNG.integers(0, 256, (BAND_PIXELS // 500 + 300, 500, 1), dtype=np.uint8)
    for values, resize in ((pixels, resize_bytes), (pixels.astype(np.float32), resize_values)):
        bands = resize_bands(iter(np.split(values, 10)), *pixels.shape[:2], SIZE)
        np.testing.assert_allclose(bands.astype(float), resize(values, SIZE), atol=1)
        assert bands.shape == (*SIZE, 1)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.png", exif=turned(6))
    images = load_images(tmp_path, image_size=SIZE, channels=1)
    expected = np.rot90(lanczos(pixels[..., 0], SIZE[::-1]), -1)
    np.testing.assert_allclose(images.pixels[0, ..., 0].astype(int), expected, atol=1)
    assert sizes(images) == [[500, len(pixels)]]


def test_pages_and_frames_have_sizes_of_their_own(tmp_path: pathlib.Path) -> None:
    pages = [RNG.integers(0, 256, shape, dtype=np.uint8) for shape in ((20, 30), (14, 11))]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pages:
            writer.write(page, photometric="minisblack")
    floats = RNG.random((9, 25)).astype(np.float32)
    tifffile.imwrite(tmp_path / "b.tif", floats)
    (tmp_path / "c.png").write_text("no image")
    images = load_images(tmp_path, image_size=SIZE, channels=1)
    assert images.names == ("a.tif[0]", "a.tif[1]", "b.tif")
    assert sizes(images) == [[20, 30], [14, 11], [9, 25]]
    assert images.resized_up == 2
    assert sizes(images.take([2, 0])) == [[9, 25], [20, 30]]
    for row, page in enumerate(pages):
        np.testing.assert_array_equal(images.pixels[row, ..., 0], lanczos(page))
    expected = np.clip(np.rint(lanczos(floats) * 255.0), 0, 255)
    np.testing.assert_allclose(images.pixels[2, ..., 0], expected, atol=1)


def test_frames_of_dicom(tmp_path: pathlib.Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")
    shipped = pathlib.Path(pydicom.__file__).parent / "data" / "test_files" / "MR_small.dcm"
    frames = RNG.integers(0, 4096, (3, 30, 20), dtype=np.uint16)
    dataset = pydicom.dcmread(shipped)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.PixelData = frames.tobytes()
    dataset.PixelRepresentation, dataset.WindowCenter, dataset.WindowWidth = 0, 2048, 4096
    dataset.save_as(tmp_path / "window.dcm")
    del dataset.WindowCenter, dataset.WindowWidth, dataset.NumberOfFrames
    dataset.PixelData = frames[0].tobytes()
    dataset.save_as(tmp_path / "scale.dcm")
    images = load_images(tmp_path, image_size=SIZE, channels=1)
    assert images.pixels.shape == (4, ROWS, COLUMNS, 1)
    assert sizes(images) == [[30, 20]] * 4
    assert images.resized_up == 0
    shown = np.clip((frames - 2047.5) / 4095 + 0.5, 0, 1).astype(np.float32)
    expected = np.clip(np.stack([lanczos(frame) for frame in shown]), 0, 1) * 255
    np.testing.assert_allclose(images.pixels[1:, ..., 0], expected, atol=0.51)
    stream = stream_images(tmp_path, image_size=SIZE, channels=1)
    np.testing.assert_array_equal(stream[np.arange(4)], images.pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_arrays(tmp_path: pathlib.Path, dtype: type) -> None:
    values = RNG.integers(0, 256, (3, 20, 10), dtype=np.uint8)
    scale = {np.uint8: 1, np.uint16: 257, np.float32: np.float32(1 / 255)}[dtype]
    np.save(tmp_path / "a.npy", values.astype(dtype) * scale)
    images = load_array(tmp_path / "a.npy", image_size=SIZE, channels=1)
    expected = np.stack([lanczos(image) for image in values])[..., None]
    np.testing.assert_allclose(images.pixels.astype(int), expected, atol=1)
    assert (sizes(images), images.resized_up) == ([[20, 10]] * 3, 3)
    assert load_array(tmp_path / "a.npy", image_size=(20, 10)).resized_up == 0


def test_the_sample() -> None:
    _, assessed = sample_images(image_size=(8, 65), channels=1)
    assert assessed.pixels.shape[1:] == (8, 65, 1)
    assert assessed.resized_up == 494
    assert np.unique(sizes(assessed)).tolist() == [64]


@pytest.mark.parametrize("size", [0, -1, 5000, (0, 5), (5, 5000)])
def test_a_side_is_1_to_4096(tmp_path: pathlib.Path, size: int | tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"give 1 to 4096 pixels, or two such numbers"):
        load_folder(tmp_path, image_size=size)


def test_each_image_has_a_height_and_a_width() -> None:
    with pytest.raises(ValueError, match="a height and a width each"):
        ImageSet(("a",), np.zeros((1, 2, 2, 1), np.uint8), stored_sizes=np.zeros((2, 2), np.int32))
