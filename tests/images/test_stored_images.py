"""Images of a folder at their full size."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from examine_jax.images import load_images
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.stored_images import StoredImages


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    generator = np.random.default_rng(0)
    colour = generator.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colour).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(colour[:, :, 0]).save(tmp_path / "grey.bmp")
    pages = [Image.fromarray(colour[:, :, channel]) for channel in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    return tmp_path


def test_pixels_are_those_of_the_file_upright(folder: pathlib.Path) -> None:
    names = load_images(folder, image_size=8).names
    stored = StoredImages.of(folder, names)
    assert set(stored.places) == set(names)
    with Image.open(folder / "colour.png") as opened:
        colour = np.asarray(opened)
    np.testing.assert_array_equal(stored.read("colour.png"), colour)
    np.testing.assert_array_equal(stored.read("turned.png"), np.rot90(colour, -1))
    np.testing.assert_array_equal(stored.read("grey.bmp")[:, :, 0], colour[:, :, 0])
    np.testing.assert_array_equal(stored.read("pages.tif[2]")[:, :, 0], colour[:, :, 2])


def test_files_are_decoded_in_workers(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = StoredImages.of(folder, ["colour.png"])
    pixels = stored.read("colour.png")

    def here(*arguments: object) -> None:
        raise AssertionError("a file is decoded in this process")

    monkeypatch.setattr(ImageDecoder, "__call__", here)
    np.testing.assert_array_equal(stored.read("colour.png"), pixels)
    (folder / "colour.png").write_bytes(b"damaged")
    with pytest.raises(UnreadableImage, match="its content is no PNG"):
        stored.read("colour.png")


def test_what_is_gone_or_damaged_is_replaced(folder: pathlib.Path) -> None:
    other = np.zeros((2, 2, 3), np.uint8)
    stored = StoredImages.of(folder, ["colour.png", "gone.png"])
    assert stored.read_or("gone.png", other) is other
    (folder / "colour.png").write_bytes(b"damaged")
    assert stored.read_or("colour.png", other) is other


def test_browsers_show_single_images_of_their_formats(folder: pathlib.Path) -> None:
    stored = StoredImages.of(folder, load_images(folder, image_size=8).names)
    shown = {name for name in stored.places if stored.shown_by_browsers(name)}
    assert shown == {"colour.png", "turned.png", "grey.bmp"}
