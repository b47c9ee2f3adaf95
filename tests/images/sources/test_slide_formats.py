"""What is a whole slide by its content: pyramids of TIFFs, and DICOM files of one series."""

import os
import pathlib
import zipfile

import numpy as np
import pytest
import tifffile

from examine_jax.images import load_images, stream_images
from examine_jax.images.decoding.slide_content import is_slide_file
from examine_jax.images.sources.scan import is_slide, scan_folder
from examine_jax.images.stored_images import StoredImages
from tests.support.dicom_slides import PATIENT, save_dicom_slide
from tests.support.slides import tissue_on_glass

openslide = pytest.importorskip("openslide", reason="slides need examine-jax[slides]")

TILED = {"photometric": "rgb", "tile": (64, 64)}
TILES = ("?x=256&y=0&w=256", "?x=256&y=256&w=256")


def save_pyramid(
    path: pathlib.Path, pixels: np.ndarray, *, levels: int = 2, flag: int = 1, **settings: object
) -> pathlib.Path:
    options = {**TILED, **settings}
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as writer:
        for level in range(levels):
            writer.write(
                pixels[:: 2**level, :: 2**level], subfiletype=flag * (level > 0), **options
            )
    return path


@pytest.mark.parametrize(
    ("settings", "is_slide"),
    [
        ({}, True),
        ({"bigtiff": True, "compression": "jpeg"}, True),
        ({"levels": 1}, False),  # one level: a picture
        ({"flag": 0}, False),  # pages, not levels
        ({"flag": 0, "description": "Aperio Image Library"}, True),
        ({"flag": 0, "software": "Philips DP v1.0"}, True),
        ({"tile": None}, False),  # stored in strips
    ],
)
def test_a_pyramid_is_a_slide(
    settings: dict[str, object], is_slide: bool, tmp_path: pathlib.Path
) -> None:
    path = save_pyramid(tmp_path / "a.tif", tissue_on_glass(), **settings)
    assert is_slide_file(path) is is_slide
    found = scan_folder(tmp_path)
    assert [len(found.slides), len(found.candidates)] == [is_slide, not is_slide]


def test_other_pictures_are_no_slides(tmp_path: pathlib.Path) -> None:
    pixels = tissue_on_glass()
    save_pyramid(tmp_path / "deep.tif", pixels.astype(np.uint16))
    with tifffile.TiffWriter(tmp_path / "mask.tif") as writer:
        writer.write(pixels, **TILED)
        writer.write(pixels[:, ::4], subfiletype=1, **TILED)  # no copy: another aspect
    whole = save_pyramid(tmp_path / "ok.tif", pixels).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[:300])
    (tmp_path / "text.tif").write_bytes(b"no picture")
    (tmp_path / "empty.tif").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "really.png").write_bytes(whole)
    assert not is_slide(str(tmp_path / "really.png"))  # such files are not opened
    for name in ("deep.tif", "mask.tif", "cut.tif", "text.tif", "empty.tif", "pipe.tif", "none"):
        assert not is_slide_file(tmp_path / name), name


def test_levels_of_an_ome_tiff_lie_in_its_first_page(tmp_path: pathlib.Path) -> None:
    pixels = tissue_on_glass()
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(pixels, subifds=1, **TILED)
        writer.write(pixels[::2, ::2], subfiletype=1, **TILED)
    assert is_slide_file(path)


def test_pyramids_and_pictures_share_a_folder(tmp_path: pathlib.Path) -> None:
    pixels = tissue_on_glass()
    save_pyramid(tmp_path / "b.tif", pixels)
    tifffile.imwrite(tmp_path / "a.tif", pixels, **TILED)
    for read in (load_images, stream_images):
        images = read(tmp_path, image_size=32)
        assert images.names == ("a.tif", *(f"b.tif{mark}" for mark in TILES))
        assert images.skipped == ()


def test_a_series_of_dicom_files_is_one_slide(tmp_path: pathlib.Path) -> None:
    pixels = tissue_on_glass()
    save_dicom_slide(tmp_path / "b.dcm", pixels)
    save_dicom_slide(tmp_path / "c", pixels[::2, ::2], mpp=1.0, number=2)  # a level without suffix
    save_dicom_slide(tmp_path / "a.dcm", pixels[:64, :64], kind="LABEL", number=3)
    save_dicom_slide(tmp_path / "d.dcm", pixels[:64, :64], kind="OVERVIEW", number=4)
    save_dicom_slide(tmp_path / "e.dcm", pixels[:64, :64], "1.2.8", kind="LABEL")
    images = load_images(tmp_path, image_size=256)
    names = tuple(f"b.dcm{mark}" for mark in TILES)
    assert images.names == names
    assert [item.name for item in images.skipped] == ["e.dcm"]
    assert "of a slide that is not here" in images.skipped[0].reason
    assert images.notes == (
        "4 DICOM files are 1 whole slides; those with a label, overview or thumbnail are not read",
    )
    with openslide.OpenSlide(tmp_path / "b.dcm") as opened:
        region = np.asarray(opened.read_region((256, 256), 0, (256, 256)))[..., :3]
    np.testing.assert_array_equal(images.pixels[1], region)
    np.testing.assert_array_equal(StoredImages.of(tmp_path, names).read(names[1]), region)
    assert load_images(tmp_path / "c", image_size=32).names == tuple(f"c{mark}" for mark in TILES)
    (tmp_path / "list.txt").write_text("b.dcm\nc\n")
    assert load_images(tmp_path / "list.txt", image_size=32).names == names


def test_a_slide_in_an_archive_is_not_read_as_pictures(tmp_path: pathlib.Path) -> None:
    label = save_dicom_slide(tmp_path / "a.dcm", tissue_on_glass()[:64, :64], kind="LABEL")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(label, "a.dcm")
    with pytest.raises(ValueError, match="its slide is read as tiles") as raised:
        load_images(tmp_path / "a.zip", image_size=32)
    assert PATIENT not in str(raised.value)


@pytest.mark.parametrize(
    ("descriptions", "software", "shown"),
    [
        (["main", "Macro", "Label", "other"], "Philips DP v1.0", [0, 3]),
        (["Aperio Image Library", "Aperio \nlabel 5x5", "\nmacro 5x5"], "", [0]),
        (["Label_Image", "Thumbnail", "level=0"], "", [1, 2]),
        (["Label Image"], "", []),
        (["a stack", "label 1", "macro"], "ours", [0, 1, 2]),  # of no scanner
    ],
)
def test_labels_of_slides_that_are_read_as_pictures_are_left_out(
    descriptions: list[str], software: str, shown: list[int], tmp_path: pathlib.Path
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for value, description in enumerate(descriptions):
            pixels = np.full((8, 8), 10 * value, np.uint8)
            writer.write(pixels, description=description, software=software, metadata=None)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.tif", "a.tif")
    for place in (tmp_path, tmp_path / "a.zip"):
        if not shown:
            with pytest.raises(ValueError, match="the label of a slide"):
                load_images(place, image_size=8, channels=1)
            continue
        images = load_images(place, image_size=8, channels=1)
        assert images.pixels[:, 0, 0, 0].tolist() == [10 * value for value in shown]


def test_damaged_dicom_slides_are_skipped(tmp_path: pathlib.Path) -> None:
    whole = save_dicom_slide(tmp_path / "a.dcm", tissue_on_glass()).read_bytes()
    tifffile.imwrite(tmp_path / "picture.tif", tissue_on_glass())
    (tmp_path / "a.dcm").write_bytes(whole[: len(whole) // 2])
    images = load_images(tmp_path, image_size=32)
    assert images.names == ("picture.tif",)
    assert [item.name for item in images.skipped] == ["a.dcm"]
