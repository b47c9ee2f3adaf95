"""Lists of image files: which file each line means, under which name, and what is no image."""

import os
import pathlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from examine_jax.images import load_folder, load_images, stream_images
from examine_jax.images.sources import file_list
from examine_jax.images.sources.file_list import scan_list
from examine_jax.images.sources.scan import check_workdir
from examine_jax.images.stored_images import StoredImages


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Some images in `data/`, and one beside it."""
    generator = np.random.default_rng(0)
    (tmp_path / "data/sub").mkdir(parents=True)
    for name in ("data/a.png", "data/sub/b.bmp", "data/c d.png", "other.png"):
        pixels = generator.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    pages = generator.integers(0, 256, (2, 12, 12), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "data/pages.tif", pages, photometric="minisblack")
    return tmp_path / "data"


def listed(folder: pathlib.Path, text: str | bytes, name: str = "list.txt") -> pathlib.Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def places(path: pathlib.Path) -> dict[str, object]:
    return {candidate.name: candidate.place for candidate in scan_list(path).candidates}


def test_a_list_is_read_as_its_folder_is(folder: pathlib.Path) -> None:
    path = listed(folder, "\n".join(["sub/b.bmp", "pages.tif", "a.png", "c d.png"]))
    images, expected = load_images(path, image_size=12), load_folder(folder, image_size=12)
    assert images.names == expected.names
    np.testing.assert_array_equal(images.pixels, expected.pixels)
    assert images.stored_sizes is not None
    assert images.stored_sizes.tolist() == [[12, 12]] * 5
    assert (images.skipped, images.notes) == ((), ())
    streamed = stream_images(path, image_size=12)
    assert streamed.names == images.names
    np.testing.assert_array_equal(streamed[np.arange(5)], images.pixels)
    assert len(streamed.files) == 5


def test_a_column_of_a_table_lists_the_files(folder: pathlib.Path) -> None:
    for header in ("image", "Path", " FILENAME "):
        text = f"\ufeffnumber,{header}\n1,a.png\n2,\n3,sub/b.bmp\n"
        assert list(places(listed(folder, text, "T.CSV"))) == ["a.png", "sub/b.bmp"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", r"no list of images: it has 0 columns named image, path or filename"),
        ("image,path\na.png,b\n", "it has 2 columns named"),
        ("n,image\n1\n", "line 2 is cut short"),
        ('image\n"a.png\n', "give a CSV file in UTF-8"),
        (b"image\n\xff.png\n", "give a CSV file in UTF-8"),
        ("image\n", "the list is empty"),
        ("", "its columns are none"),
    ],
)
def test_a_table_that_is_no_list_says_why(
    folder: pathlib.Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_images(listed(folder, text, "list.csv"), image_size=8)


def test_names_are_the_paths_as_they_are_listed(folder: pathlib.Path) -> None:
    other = folder.parent / "other.png"
    lines = ["./sub//b.bmp", f"{folder}/a.png", "../other.png", "  c d.png\r"]
    path = listed(folder, "\n\n".join(lines))
    assert places(path) == {
        "../other.png": f"{folder}/../other.png",
        "a.png": f"{folder}/a.png",
        "c d.png": f"{folder}/c d.png",
        "sub/b.bmp": f"{folder}/./sub//b.bmp",
    }
    assert list(places(listed(folder, str(other)))) == [str(other)]
    assert list(places(listed(folder, "sub\\b.bmp"))) == ["sub/b.bmp"]
    assert load_images(path, image_size=8).names == tuple(places(path))


def test_a_file_is_read_once_however_it_is_listed(folder: pathlib.Path) -> None:
    (folder / "link").symlink_to("sub", target_is_directory=True)
    lines = ["a.png", "./a.png", "sub/../a.png", str(folder / "a.png"), "sub/b.bmp", "link/b.bmp"]
    images = load_images(listed(folder, "\n".join(lines)), image_size=8)
    assert images.names == ("a.png", "sub/b.bmp")
    assert images.notes == ("4 lines of the list repeat a file, which is read once",)


def test_what_cannot_be_read_is_skipped_with_its_reason(folder: pathlib.Path) -> None:
    (folder / "damaged.png").write_bytes(b"damaged")
    (folder / "no_suffix").write_bytes((folder / "a.png").read_bytes())
    (folder / "v.mha").write_bytes(b"x")
    (folder / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    expected = {
        "dangling.png": "No such file",
        "damaged.png": "its content is no PNG",
        "gone.png": "no such file; paths in a list are relative to the list's folder",
        "pipe.png": "not a plain file",
        "memory://bucket/x.png": "there is no such bucket, folder or file",
        "sub": "a folder; list its files",
        "v.mha": "a volume",
        "x" * 5000: "no path of a file",
        "a\\x00.png": "no path of a file",
    }
    lines = [name.replace("\\x00", "\0") for name in expected]
    path = listed(folder, "\n".join(["a.png", "no_suffix", *lines]))
    images = load_images(path, image_size=8)
    assert images.names == ("a.png", "no_suffix")
    found = {item.name: item.reason for item in images.skipped}
    reasons = {name[:4096]: reason for name, reason in expected.items()}
    assert sorted(found) == sorted(reasons)
    assert all(reasons[name] in reason for name, reason in found.items())
    with pytest.raises(ValueError, match=r"no readable image in .*list\.txt: looked at 1 file"):
        load_images(listed(folder, "gone.png"), image_size=8)


def test_a_text_of_any_bytes_lists_files(folder: pathlib.Path) -> None:
    strange = os.fsencode(folder) + b"/caf\xe9.png"
    with open(strange, "wb") as stream:
        stream.write((folder / "a.png").read_bytes())
    path = listed(folder, b"\xef\xbb\xbfa.png\ncaf\xe9.png\n")
    assert load_images(path, image_size=8).names == ("a.png", "caf\\xe9.png")
    with pytest.raises(ValueError, match="UTF-16; save it as UTF-8"):
        load_images(listed(folder, "a.png".encode("utf-16")), image_size=8)


def test_lists_have_a_largest_size(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = listed(folder, "a.png\nsub/b.bmp\n")
    monkeypatch.setattr(file_list, "_MOST_FILES", 1)
    with pytest.raises(ValueError, match="more than the 1 images that a list may have"):
        scan_list(path)
    monkeypatch.setattr(file_list, "_MOST_BYTES", 3)
    with pytest.raises(ValueError, match="more than the 3 that a list"):
        scan_list(path)


def test_listed_images_are_there_at_their_full_size(folder: pathlib.Path) -> None:
    path = listed(folder, "a.png\npages.tif\n../other.png\n")
    stored = StoredImages.of(path, load_images(path, image_size=8).names)
    assert set(stored.places) == {"a.png", "pages.tif[0]", "pages.tif[1]", "../other.png"}
    with Image.open(folder / "a.png") as opened:
        np.testing.assert_array_equal(stored.read("a.png"), np.asarray(opened))
    assert stored.own_file("a.png") == folder / "a.png"
    assert stored.own_file("pages.tif[0]") is None


def test_a_run_does_not_replace_its_list(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = listed(folder, "a.png\n", "to_label.csv")
    with pytest.raises(ValueError, match=r"to_label\.csv lies in the workdir"):
        check_workdir(folder, path)
    check_workdir(tmp_path, path)


def test_a_list_has_no_splits(folder: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="a list has no split 'test'"):
        load_images(listed(folder, "a.png"), image_size=8, split="test")
