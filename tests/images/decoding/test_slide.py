"""Tiles of whole slides against openslide, and slides that are none."""

import concurrent.futures
import functools
import pathlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from examine_jax.images import load_images, stream_images
from examine_jax.images.decoding import slide_overview
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.tiling import (
    SlideTile,
    Tiling,
    mark,
    place_in_slide,
    tiling_of,
)
from examine_jax.images.decoding.tissue import otsu_threshold, tissue_mask, tissue_shares
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.stored_images import StoredImages
from tests.support.slides import PINK, save_slide, tissue_on_glass

openslide = pytest.importorskip("openslide", reason="slides need examine-jax[slides]")
slide = pytest.importorskip("examine_jax.images.decoding.slide")


def test_tiles_are_openslides_regions(tmp_path: pathlib.Path) -> None:
    path = save_slide(tmp_path / "s.svs", tissue_on_glass(), mpp=0.5)
    images = load_images(path, image_size=256)
    assert images.names == ("s.svs?x=256&y=0&w=256", "s.svs?x=256&y=256&w=256")
    assert (images.skipped, images.notes) == ((), ())
    assert images.stored_sizes is not None
    assert images.stored_sizes.tolist() == [[256, 256]] * 2
    with openslide.OpenSlide(path) as opened:
        for y, pixels in zip((0, 256), images.pixels):
            region = np.asarray(opened.read_region((256, y), 0, (256, 256)))
            np.testing.assert_array_equal(pixels, region[..., :3])
    streamed = stream_images(path, image_size=256)
    assert (streamed.names, streamed.files) == (images.names, ())
    np.testing.assert_array_equal(streamed[np.arange(2)], images.pixels)
    stored = StoredImages.of(path, images.names)
    np.testing.assert_array_equal(stored.read(images.names[1]), images.pixels[1])
    assert stored.own_file(images.names[1]) is None


def test_coarser_tiles_come_from_a_coarser_level(tmp_path: pathlib.Path) -> None:
    path = save_slide(tmp_path / "s.svs", tissue_on_glass(), mpp=0.25)
    tiling = Tiling(mpp=0.5, tile=128)
    images = load_images(path, image_size=128, tiling=tiling)
    assert images.names == ("s.svs?x=256&y=0&w=256", "s.svs?x=256&y=256&w=256")
    with openslide.OpenSlide(path) as opened:
        region = np.asarray(opened.read_region((256, 256), 1, (128, 128)))
    np.testing.assert_array_equal(images.pixels[1], region[..., :3])


@pytest.mark.parametrize(("mpp", "enlarged"), [(0.1, True), (0.39, True), (0.45, False)])
def test_tiles_that_are_enlarged_are_named(
    mpp: float, enlarged: bool, tmp_path: pathlib.Path
) -> None:
    path = save_slide(tmp_path / "s.svs", tissue_on_glass(), mpp=0.5)
    _, problem = slide.slide_tiles(str(path), Tiling(mpp=mpp, tile=64), Budget(10**7))
    assert problem.startswith(f"has no pixels as fine as {mpp} micrometres") is enlarged


def test_the_real_slide(real_data: pathlib.Path) -> None:
    path = real_data / "slides/cmu_small_region.svs"
    images = load_images(path, image_size=64, channels=1)
    assert 30 < len(images) < 60  # of 8 x 11: 2220 x 2967 pixels of 0.499 micrometres
    assert all(name.endswith("&w=257") for name in images.names)
    x, y = (int(part.split("=")[1]) for part in images.names[7].split("?")[1].split("&")[:2])
    tile = slide.read_tile(SlideTile(str(path), "", x, y, 257, 256))
    with openslide.OpenSlide(path) as opened:
        region = np.asarray(opened.read_region((x, y), 0, (257, 257)))
    np.testing.assert_array_equal(tile, region[..., :3])


def test_slides_and_pictures_share_a_folder(tmp_path: pathlib.Path) -> None:
    pixels = tissue_on_glass()
    save_slide(tmp_path / "b.svs", pixels)
    tifffile.imwrite(tmp_path / "a.tif", pixels[:64, 256:320], photometric="rgb")
    tifffile.imwrite(tmp_path / "c.tif", pixels[:64, 256:320], photometric="rgb")
    (tmp_path / "broken.svs").write_bytes((tmp_path / "b.svs").read_bytes()[:2000])
    (tmp_path / "text.ndpi").write_bytes(b"no slide")
    save_slide(tmp_path / "glass.svs", np.full((512, 512, 3), 240, np.uint8))
    save_slide(tmp_path / "small.svs", pixels[:100, :100])
    tiles = ("b.svs?x=256&y=0&w=256", "b.svs?x=256&y=256&w=256")
    for read in (load_images, stream_images):
        images = read(tmp_path, image_size=32)
        assert images.names == ("a.tif", *tiles, "c.tif")
        reasons = {item.name: item.reason for item in images.skipped}
        assert sorted(reasons) == ["broken.svs", "glass.svs", "small.svs", "text.ndpi"]
        assert "none of its 4 tiles holds tissue" in reasons["glass.svs"]
        assert "smaller than a tile of 256 x 256" in reasons["small.svs"]
        assert "no slide that openslide reads" in reasons["text.ndpi"]
        assert any(note.startswith("b.svs does not state how many") for note in images.notes)
    (tmp_path / "list.txt").write_text("b.svs\na.tif\n")
    assert load_images(tmp_path / "list.txt", image_size=32).names == ("a.tif", *tiles)


def test_pixels_that_were_not_scanned_are_white(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slide:
        def read_region(self, corner: object, level: int, size: object) -> Image.Image:
            pixels = [[[0, 0, 0, 0], [10, 20, 30, 255], [100, 0, 0, 128]]]
            return Image.fromarray(np.array(pixels, np.uint8))

    found = slide.read_region(Slide(), (0, 0), 0, (3, 1))
    assert found.tolist() == [[[255, 255, 255], [10, 20, 30], [177, 127, 127]]]


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e9", "about one", "0.1", None])
def test_a_resolution_that_no_slide_has_is_none(value: str | None) -> None:
    class Slide:
        properties = {} if value is None else {"openslide.mpp-x": value, "openslide.mpp-y": "0.5"}

    mpp, problem = slide._resolution(Slide())
    assert mpp is None
    expected = "does not state" if value is None else f"states {value} x 0.5 micrometres a pixel"
    assert problem.startswith(expected)


def test_the_overview_is_read_in_strips(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    opened = slide.open_slide(str(save_slide(tmp_path / "s.svs", pixels, levels=1)))
    overview = functools.partial(slide_overview.overview_of, opened, slide.read_region)
    monkeypatch.setattr(slide_overview, "LONGEST_SIDE", 60)
    expected = pixels.reshape(60, 5, 40, 5, 3).mean(axis=(1, 3)).round()
    for strip in (2**24, 4000, 1):
        monkeypatch.setattr(slide_overview, "_STRIP_PIXELS", strip)
        np.testing.assert_array_equal(overview(Budget(10**6)), expected)
    monkeypatch.setattr(slide_overview, "_MOST_PIXELS", 1000)
    with pytest.raises(UnreadableImage, match="too many to find tissue in"):
        overview(Budget(10**6))


def test_the_threshold_is_scikit_images() -> None:
    filters = pytest.importorskip("skimage.filters")
    generator = np.random.default_rng(0)
    for spread in (0.02, 0.1, 0.3):
        values = np.clip(
            np.concatenate([generator.normal(0.2, spread, 500), generator.normal(0.7, 0.1, 900)]),
            0,
            1,
        )
        values[:2] = 0, 1  # so that its bins are ours
        assert otsu_threshold(values) == pytest.approx(filters.threshold_otsu(values), abs=1e-9)


def test_glass_alone_and_tissue_alone_are_not_parted() -> None:
    generator = np.random.default_rng(0)
    glass = generator.integers(236, 244, (50, 50, 3), dtype=np.uint8)
    assert not tissue_mask(glass).any()
    tissue = (np.array(PINK) + generator.integers(-20, 20, (50, 50, 3))).astype(np.uint8)
    assert tissue_mask(tissue).all()
    assert not tissue_mask(np.zeros((5, 5, 3), np.uint8)).any()


def test_shares_are_those_of_a_loop() -> None:
    mask = np.random.default_rng(0).random((20, 30)) > 0.5
    corners = np.array([[0, 0], [5, 10], [15, 25], [19.5, 29.5], [3.2, 4.7]])
    shares = tissue_shares(mask, corners, 5.0)
    for (top, left), share in zip(corners, shares):
        bottom, right = int(np.ceil(top + 5)), int(np.ceil(left + 5))
        assert share == pytest.approx(mask[int(top) : bottom, int(left) : right].mean())


def test_tilings_have_bounds() -> None:
    for settings, message in (
        ({"mpp": 0.0}, "mpp=0.0"),
        ({"tile": 8}, "tile_size=8"),
        ({"tissue": 1.5}, "tissue=1.5"),
        ({"overlap": -1}, "overlap=-1"),
        ({"overlap": 256}, "overlap=256"),
        ({"level": -1, "mpp": None}, "level=-1"),
        ({"level": 1}, "level=1 and mpp=0.5"),
    ):
        with pytest.raises(ValueError, match=message):
            Tiling(**settings)
    assert tiling_of(None, None, None, level=1) == Tiling(mpp=None, level=1)
    assert tiling_of(None, None, None, overlap=8) == Tiling(overlap=8)
    with pytest.raises(ValueError, match="both say how fine"):
        tiling_of(0.5, None, None, level=1)


def test_tiles_of_a_level(tmp_path: pathlib.Path) -> None:
    path = save_slide(tmp_path / "s.svs", tissue_on_glass(), mpp=0.0001)
    tiling = tiling_of(None, 128, None, level=1)
    images = load_images(path, image_size=128, tiling=tiling)
    assert images.names == ("s.svs?x=256&y=0&w=256", "s.svs?x=256&y=256&w=256")
    assert images.notes == ()  # the resolution is not asked for
    with openslide.OpenSlide(path) as opened:
        region = np.asarray(opened.read_region((256, 256), 1, (128, 128)))
    np.testing.assert_array_equal(images.pixels[1], region[..., :3])
    with pytest.raises(ValueError, match="it has no level 2; its coarsest is level 1"):
        load_images(path, image_size=32, tiling=tiling_of(None, None, None, level=2))


def test_tiles_overlap_as_asked_in_bands_of_rows(tmp_path: pathlib.Path) -> None:
    path = save_slide(tmp_path / "s.svs", tissue_on_glass())
    tiling = Tiling(mpp=None, tile=64, overlap=16, tissue=0.0)
    tiles, problem = slide.slide_tiles(str(path), tiling, Budget(10**7))
    assert problem == ""
    columns, rows = range(0, 640 - 63, 48), range(0, 512 - 63, 48)
    bands = [rows[first : first + 8] for first in range(0, len(rows), 8)]
    assert tiles == [[x, y, 64] for band in bands for x in columns for y in band]
    whole = slide.slide_tiles(str(path), Tiling(mpp=None, tile=512, tissue=0.0), Budget(10**7))
    assert whole == ([[0, 0, 512]], "")  # one tile


def test_names_of_tiles_lead_back() -> None:
    assert place_in_slide("a/b?.svs" + mark(3, 4, 257)) == ("a/b?.svs", 3, 4, 257)
    for name in ("a.svs", "v.nii.gz?x=3", "a?x=1&y=2", "a?x=1&y=2&w=", "a?x=1&y=2&w=3~2"):
        assert place_in_slide(name) is None


def test_tiles_of_too_many_stored_pixels_are_refused_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(save_slide(tmp_path / "s.svs", tissue_on_glass(), mpp=0.05))
    tiling = Tiling(tile=32)  # 320 pixels of the finest level, 160 of the other
    assert slide.slide_tiles(path, tiling, Budget(10**7))[0]
    monkeypatch.setattr(slide, "_MOST_TILE_PIXELS", 159**2)
    with pytest.raises(UnreadableImage, match="a tile takes 160 x 160 pixels"):
        slide.slide_tiles(path, tiling, Budget(10**7))


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_slide_that_is_cut_off_has_one_line(part: float, tmp_path: pathlib.Path) -> None:
    whole = save_slide(tmp_path / "s.svs", tissue_on_glass()).read_bytes()
    (tmp_path / "s.svs").write_bytes(whole[: int(part * len(whole))])
    tifffile.imwrite(tmp_path / "a.tif", tissue_on_glass())
    images = load_images(tmp_path, image_size=8)
    assert images.names == ("a.tif",)
    assert [item.name for item in images.skipped] == ["s.svs"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Short read of file /a/Some One/b.svs: 2377 < 2441", "Short read of file …: 2377 < 2441"),
        ("Couldn't open “C:\\Some One\\b.svs” now", "Couldn't open “…” now"),
        ("Couldn't open '/Some One/c/Data.dat'", "Couldn't open '…'"),
        ("Not a JPEG file: starts with 0x00/0x00", "Not a JPEG file: starts with 0x00/0x00"),
    ],
)
def test_messages_name_no_path(text: str, shown: str) -> None:
    assert slide._damage(openslide.OpenSlideError(text)) == f"a damaged slide ({shown})"


def test_threads_find_damaged_tiles_alone(tmp_path: pathlib.Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    path = save_slide(tmp_path / "s.svs", pixels, levels=1)
    with tifffile.TiffFile(path) as file:
        offsets = file.pages.first.dataoffsets
    content = bytearray(path.read_bytes())
    for offset in offsets[::9]:
        content[offset : offset + 100] = bytes(100)
    path.write_bytes(content)

    def is_read(index: int) -> bool:
        x, y = 64 * (index % 8), 64 * (index // 8)
        try:
            found = slide.read_tile(SlideTile(str(path), "", x, y, 64, 64))
        except UnreadableImage:
            return False
        np.testing.assert_array_equal(found, pixels[y : y + 64, x : x + 64])
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(is_read, range(64))) == [bool(index % 9) for index in range(64)]
