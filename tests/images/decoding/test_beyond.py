"""Pages and frames that a file holds and that are not read are listed."""

import pathlib
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from examine_jax.images import load_images, stream_images

PAGES = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)


def names_of(folder: pathlib.Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """The images that are read, and what is skipped; streamed images have the same."""
    images = load_images(folder, image_size=8)
    stream = stream_images(folder, image_size=8)
    assert (stream.names, stream.skipped) == (images.names, images.skipped)
    return images.names, {item.name: item.reason for item in images.skipped}


def pages_written(path: pathlib.Path) -> list[int]:
    """A TIFF of four pages. Returns where each page says where the next one is."""
    with tifffile.TiffWriter(path) as writer:
        for page in PAGES:
            writer.write(page, metadata=None)
    with tifffile.TiffFile(path) as file:
        return [page.offset + 2 + 12 * len(page.tags) for page in file.pages]


def test_all_pages_are_read(tmp_path: pathlib.Path) -> None:
    pages_written(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", PAGES, photometric="minisblack")
    tifffile.imwrite(tmp_path / "c.tif", PAGES, imagej=True)
    tifffile.imwrite(tmp_path / "d.tif", np.zeros((5, 6, 3), np.uint8), photometric="rgb")
    names, skipped = names_of(tmp_path)
    assert (len(names), skipped) == (13, {})


@pytest.mark.parametrize("where", [2**20, 2**32 - 1])
def test_pages_after_a_damaged_one_are_listed(tmp_path: pathlib.Path, where: int) -> None:
    places = pages_written(tmp_path / "a.tif")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    struct.pack_into("<I", content, places[1], where)
    (tmp_path / "a.tif").write_bytes(content)
    names, skipped = names_of(tmp_path)
    assert names == ("a.tif[0]", "a.tif[1]")
    assert list(skipped) == ["a.tif[2]"]
    assert "this page and any after it are not read" in skipped["a.tif[2]"]


def test_a_list_of_pages_without_end(tmp_path: pathlib.Path) -> None:
    places = pages_written(tmp_path / "a.tif")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[places[2] : places[2] + 4] = content[4:8]  # the first page again
    (tmp_path / "a.tif").write_bytes(content)
    names, skipped = names_of(tmp_path)
    assert len(names) == 3
    assert skipped == {"a.tif[3]": "damaged: the list of pages leads back to an earlier page"}


@pytest.mark.parametrize("options", [{"imagej": True}, {"photometric": "minisblack"}])
def test_images_without_a_page_are_listed(tmp_path: pathlib.Path, options: dict) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PAGES, truncate=True, **options)
    names, skipped = names_of(tmp_path)
    assert names == ("a.tif",)
    assert list(skipped) == ["a.tif[1]"]
    assert "described as 4 images with pages for 1" in skipped["a.tif[1]"]


@pytest.mark.parametrize("suffix", ["png", "webp", "mpo"])
def test_of_an_animation_the_first_frame_is_read(tmp_path: pathlib.Path, suffix: str) -> None:
    frames = [Image.fromarray(page) for page in PAGES]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    (tmp_path / f"a.{suffix}").rename(tmp_path / "a.jpg")
    Image.fromarray(PAGES[0]).save(tmp_path / "b.webp")
    names, skipped = names_of(tmp_path)
    assert names == ("a.jpg", "b.webp")
    assert list(skipped) == ["a.jpg[1]"]
    assert f"4 frames in one {suffix.upper()}, whose first is read" in skipped["a.jpg[1]"]
