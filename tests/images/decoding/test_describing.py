"""The function that describes images gets them as they were stored."""

import dataclasses
import io
import pathlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from examine_jax.images import ImageSet, load_images
from examine_jax.images.decoding.describing import upright

RNG = np.random.default_rng(0)


def extent(pixels: np.ndarray) -> np.ndarray:
    """Shape, smallest, largest and mean: what the tests below look at."""
    assert pixels.dtype == np.uint8
    return np.array([*pixels.shape, pixels.min(), pixels.max(), pixels.mean()])


def corner(pixels: np.ndarray) -> np.ndarray:
    return pixels[:2, :3].astype(np.int64).ravel()


@dataclasses.dataclass(frozen=True)
class Row:
    """A setting travels with the function."""

    index: int

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        return pixels[self.index].mean(keepdims=True).ravel()


def failing(pixels: np.ndarray) -> np.ndarray:
    raise ZeroDivisionError("no such thing")


def ragged(pixels: np.ndarray) -> np.ndarray:
    return np.zeros(len(pixels))


def table(pixels: np.ndarray) -> np.ndarray:
    return np.zeros((2, 2))


def test_a_folder_describes_each_file_before_it_is_resized(tmp_path: pathlib.Path) -> None:
    grey = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
    colour = RNG.integers(0, 256, (40, 10, 3), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(colour).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_text("no image")
    images = load_images(tmp_path, image_size=8, channels=1, describe=extent)
    assert images.names == ("a.png", "b.png")
    assert len(images.skipped) == 1
    assert images.descriptions is not None
    assert images.descriptions.dtype == np.float64
    expected = [extent(grey[..., None]), extent(colour)]
    np.testing.assert_array_equal(images.descriptions, expected)
    taken = images.take([1])
    assert taken.descriptions is not None
    np.testing.assert_array_equal(taken.descriptions, expected[1:])
    assert load_images(tmp_path, image_size=8).descriptions is None
    rows = load_images(tmp_path, image_size=8, describe=Row(3)).take([1]).descriptions
    assert rows is not None
    np.testing.assert_array_equal(rows[0], [colour[3].mean()])


def test_a_jpeg_is_described_whole_and_its_pixels_do_not_change(tmp_path: pathlib.Path) -> None:
    pixels = RNG.integers(0, 256, (200, 160, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    plain = load_images(tmp_path, image_size=8)
    images = load_images(tmp_path, image_size=8, describe=extent)
    np.testing.assert_array_equal(images.pixels, plain.pixels)
    with Image.open(tmp_path / "a.jpg") as stored:
        expected = extent(np.asarray(stored))
    assert images.descriptions is not None
    np.testing.assert_array_equal(images.descriptions[0], expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_described_upright(tmp_path: pathlib.Path, orientation: int) -> None:
    pixels = np.kron(RNG.integers(0, 256, (2, 3), dtype=np.uint8), np.ones((8, 8), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    images = load_images(tmp_path, image_size=8, channels=1, describe=extent)
    with Image.open(tmp_path / "a.png") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(upright(pixels[..., None], orientation)[..., 0], expected)
    assert images.descriptions is not None
    np.testing.assert_array_equal(images.descriptions[0][:2], expected.shape)


def test_transparent_pixels_are_white_and_palettes_are_colour(tmp_path: pathlib.Path) -> None:
    pixels = np.full((9, 9, 4), 60, np.uint8)
    pixels[..., 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[..., :3]).convert("P").save(tmp_path / "b.png")
    images = load_images(tmp_path, image_size=8, describe=extent)
    assert images.descriptions is not None
    assert images.descriptions[0].tolist() == [9, 9, 3, 255, 255, 255]
    assert images.descriptions[1][2] == 3


def test_deep_images_are_described_as_if_alone(tmp_path: pathlib.Path) -> None:
    twelve = np.array([[0, 4095], [2048, 100]], np.uint16)
    values = twelve.ravel().astype(np.float64)
    Image.fromarray(twelve).save(tmp_path / "a.png")
    Image.fromarray(twelve * 16).save(tmp_path / "b.png")
    Image.fromarray(np.array([[0, 0.5], [1, 0.25]], np.float32)).save(tmp_path / "c.tif")
    images = load_images(tmp_path, image_size=2, channels=1, describe=corner)
    expected = np.rint(values * 255 / 4095)
    assert images.descriptions is not None
    np.testing.assert_array_equal(images.descriptions[0], expected)
    np.testing.assert_array_equal(images.descriptions[1], np.rint(values * 16 * 255 / 65535))
    np.testing.assert_array_equal(images.descriptions[2], [0, 128, 255, 64])
    named = load_images(tmp_path, image_size=2, channels=1, bits_stored=16, describe=corner)
    assert named.descriptions is not None
    np.testing.assert_array_equal(named.descriptions[0], np.rint(values * 255 / 65535))


def test_dicom_values_that_share_a_scale_are_described_on_their_own(
    tmp_path: pathlib.Path,
) -> None:
    pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")
    from tests.images.decoding.test_dicom import grey

    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    grey(16, values).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    alone = load_images(tmp_path, image_size=64, channels=1, describe=extent)
    grey(16, values * 8).save_as(tmp_path / "b.dcm", enforce_file_format=True)
    images = load_images(tmp_path, image_size=64, channels=1, describe=extent)
    assert alone.descriptions is not None
    assert images.descriptions is not None
    np.testing.assert_array_equal(images.descriptions[0], alone.descriptions[0])
    np.testing.assert_array_equal(alone.descriptions[0], extent(alone.pixels[0]))


@pytest.mark.parametrize("dtype", ["uint8", "bool", "uint16", "float32"])
def test_arrays_are_described_before_they_are_resized(tmp_path: pathlib.Path, dtype: str) -> None:
    largest = {"uint8": 255, "bool": 1, "uint16": 4095, "float32": 1}[dtype]
    stack = (RNG.random((3, 5, 12, 10)) * (largest + 0.9)).clip(0, largest).astype(dtype)
    stack[0, 0] = largest
    stack = np.moveaxis(stack[:, :3], 1, -1)
    np.save(tmp_path / "a.npy", stack)
    images = load_images(tmp_path / "a.npy", image_size=4, describe=extent)
    expected = [
        extent(np.rint(image * np.float64(255 / largest)).astype(np.uint8)) for image in stack
    ]
    assert images.descriptions is not None
    np.testing.assert_allclose(images.descriptions, expected, rtol=0, atol=1)
    np.testing.assert_array_equal(images.descriptions[:, :3], [[12, 10, 3]] * 3)


def test_the_sample_is_described() -> None:
    pytest.importorskip("skimage", reason="the sample comes with scikit-image")
    images = load_images("sample:assessed", image_size=16, channels=1, describe=extent)
    assert images.descriptions is not None
    assert images.descriptions.shape == (len(images), 6)
    assert images.descriptions[:, :3].tolist() == [[64, 64, 3]] * len(images)


@dataclasses.dataclass(frozen=True)
class Blank:
    """A source of somebody else's that does not know of descriptions."""

    on_demand: bool = False

    def recognises(self, name):
        return False

    def load(self, name, options):
        size = options.image_size
        return ImageSet(("a", "b"), np.full((2, size, size, options.channels), 7, np.uint8))

    def stream(self, name, options):
        raise ValueError("read whole")


BLANK = Blank()


def test_a_source_that_does_not_describe_is_described_resized() -> None:
    images = load_images(f"{__name__}:BLANK:", image_size=4, describe=extent)
    assert images.descriptions is not None
    assert images.descriptions.tolist() == [[4, 4, 3, 7, 7, 7]] * 2
    assert "described resized" in images.notes[-1]


@pytest.mark.parametrize("kind", ["folder", "array", "elsewhere"])
def test_what_describe_does_wrong_is_no_fault_of_a_file(tmp_path: pathlib.Path, kind: str) -> None:
    for height in (6, 9):
        Image.new("L", (8, height)).save(tmp_path / f"{height}.png")
    stack = io.BytesIO()
    np.save(stack, np.zeros((2, 8, 8), np.uint8))
    (tmp_path / "a.npy").write_bytes(stack.getvalue())
    source = {"folder": tmp_path, "array": tmp_path / "a.npy", "elsewhere": f"{__name__}:BLANK:"}
    with pytest.raises(ZeroDivisionError, match="no such thing"):
        load_images(source[kind], image_size=4, describe=failing)
    with pytest.raises(ValueError, match=r"shape \(2, 2\); return one row"):
        load_images(source[kind], image_size=4, describe=table)
    if kind == "folder":
        with pytest.raises(ValueError, match="6 numbers for one image and 9 for another"):
            load_images(source[kind], image_size=4, describe=ragged)
