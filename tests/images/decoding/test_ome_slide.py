"""OME-TIFF slides: every region against tifffile's pixels, and files that are none."""

import concurrent.futures
import pathlib

import numpy as np
import pytest
import tifffile

from examine_jax.images import load_images
from examine_jax.images.decoding.tiling import Tiling
from examine_jax.images.decoding.unreadable import UnreadableImage
from tests.support.slides import tissue_on_glass

pytest.importorskip("openslide", reason="slides need examine-jax[slides]")
ome_slide = pytest.importorskip("examine_jax.images.decoding.ome_slide")


def save_ome(path: pathlib.Path, pixels: np.ndarray, levels: int = 3, **settings: object) -> None:
    options = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib", **settings}
    metadata = options.pop("metadata", {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25})
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(pixels, subifds=levels - 1, metadata=metadata, **options)
        for level in range(1, levels):
            shrunk = np.ascontiguousarray(pixels[:: 2**level, :: 2**level])
            writer.write(shrunk, subfiletype=1, **options)


def test_regions_are_tifffiles_pixels(tmp_path: pathlib.Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    save_ome(tmp_path / "a.ome.tif", pixels)
    slide = ome_slide.OmeSlide(str(tmp_path / "a.ome.tif"))
    assert slide.level_dimensions == ((200, 300), (100, 150), (50, 75))
    assert slide.level_downsamples == (1.0, 2.0, 4.0)
    assert [slide.get_best_level_for_downsample(down) for down in (0.5, 1.0, 3.9, 4.0, 9.0)] == [
        *(0, 0, 1, 2, 2)
    ]
    for level, (x, y), (width, height) in (
        (0, (0, 0), (200, 300)),
        (0, (37, 61), (90, 70)),
        (1, (40, 80), (64, 64)),
        (2, (100, 200), (40, 40)),  # past the edges
        (0, (-10, -20), (50, 50)),
        (0, (500, 500), (10, 10)),
    ):
        found = np.asarray(slide.read_region((x, y), level, (width, height)))
        whole = tifffile.imread(tmp_path / "a.ome.tif", series=0, level=level)
        padded = np.zeros((height, width, 4), np.uint8)
        for row in range(height):
            for column in range(width):
                at = y // 2**level + row, x // 2**level + column
                if 0 <= at[0] < whole.shape[0] and 0 <= at[1] < whole.shape[1]:
                    padded[row, column] = (*whole[at], 255)
        np.testing.assert_array_equal(found, padded)


@pytest.mark.parametrize("separate", [False, True])
def test_tiles_of_an_ome_tiff(separate: bool, tmp_path: pathlib.Path) -> None:
    pixels = tissue_on_glass()
    stored = pixels.transpose(2, 0, 1) if separate else pixels
    small = stored[:, ::2, ::2] if separate else stored[::2, ::2]
    options = {
        "photometric": "rgb",
        "tile": (64, 64),
        "planarconfig": "separate" if separate else "contig",
    }
    metadata = {"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25}
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(np.ascontiguousarray(stored), subifds=1, metadata=metadata, **options)
        writer.write(np.ascontiguousarray(small), subfiletype=1, **options)
    images = load_images(tmp_path, image_size=128, tiling=Tiling(tile=128))
    # 128 pixels of half a micrometre are 256 of a quarter.
    assert images.names == ("a.ome.tif?x=256&y=0&w=256", "a.ome.tif?x=256&y=256&w=256")
    assert images.notes == ()
    np.testing.assert_array_equal(images.pixels[1], pixels[::2, ::2][128:256, 128:256])


def test_grey_is_repeated_and_deep_pixels_are_refused(tmp_path: pathlib.Path) -> None:
    grey = np.arange(100 * 80, dtype=np.uint16).reshape(100, 80)
    path = str(tmp_path / "g.ome.tif")
    save_ome(tmp_path / "g.ome.tif", grey.astype(np.uint8), 2, photometric="miniswhite")
    region = np.asarray(ome_slide.OmeSlide(path).read_region((0, 0), 0, (80, 100)))
    np.testing.assert_array_equal(region[..., :3], 255 - np.stack([grey.astype(np.uint8)] * 3, -1))
    save_ome(tmp_path / "g.ome.tif", grey, 2, photometric="minisblack")
    with pytest.raises(UnreadableImage, match="no 8-bit grey or colours"):
        ome_slide.OmeSlide(path)


def test_damaged_files_are_skipped(tmp_path: pathlib.Path) -> None:
    save_ome(tmp_path / "a.ome.tif", tissue_on_glass(), 2)
    whole = (tmp_path / "a.ome.tif").read_bytes()
    tifffile.imwrite(tmp_path / "p.tif", tissue_on_glass())
    for kept in (0.1, 0.5):
        (tmp_path / "a.ome.tif").write_bytes(whole[: int(kept * len(whole))])
        images = load_images(tmp_path, image_size=32, tiling=Tiling(tile=64))
        assert "p.tif" in images.names
        assert images.skipped


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ('PhysicalSizeX="0.5" PhysicalSizeY="0.6"', ["0.5", "0.6"]),
        ('PhysicalSizeX="1" PhysicalSizeXUnit="mm"', ["1000.0"]),
        ('PhysicalSizeX="0.5" PhysicalSizeXUnit="furlong"', []),
        ('PhysicalSizeX="half"', ["half"]),
        ('SizeX="3"', []),
    ],
)
def test_the_resolution_is_that_of_the_first_image(pixels: str, expected: list[str]) -> None:
    found = ome_slide._resolution(f'<OME><Image><Pixels ID="a" {pixels}><Channel/></Pixels></OME>')
    assert list(found.values()) == expected


def test_threads_share_a_slide(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    save_ome(tmp_path / "a.ome.tif", pixels, 1)
    slide = ome_slide.OmeSlide(str(tmp_path / "a.ome.tif"))
    monkeypatch.setattr(ome_slide, "_KEPT_BYTES", 5 * 64 * 64 * 3)

    def is_right(corner: tuple[int, int]) -> bool:
        x, y = corner
        found = np.asarray(slide.read_region(corner, 0, (96, 64)))[..., :3]
        columns = min(96, 1024 - x)
        return np.array_equal(found[:, :columns], pixels[y : y + 64, x : x + 96])

    corners = [(x, y) for y in range(0, 1024, 64) for x in range(0, 1024, 64)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(is_right, corners))
    assert len(slide._tiles) <= 5
    assert slide._kept_bytes == sum(tile.nbytes for tile in slide._tiles.values())
