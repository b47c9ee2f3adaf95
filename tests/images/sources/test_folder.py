import os
import socket
import tempfile
import threading
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from examine_jax.images import exact_duplicates, load_folder, stream_folder
from examine_jax.images.stored_images import StoredImages


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path, **options)


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (6, 20, 20, 3), dtype=np.uint8)


def test_rows_names_and_pixels_belong_together(tmp_path, colours):
    names = ["z.png", "a/b.png", "a/a.bmp", "c d.tif", "b.webp", "ä.png"]
    for name, pixels in zip(names, colours):
        save(tmp_path / name, pixels, **({"lossless": True} if name.endswith("webp") else {}))
    images = load_folder(tmp_path, image_size=20)
    assert images.names == tuple(sorted(names))
    for name, pixels in zip(images.names, images.pixels):
        np.testing.assert_array_equal(pixels, colours[names.index(name)])
    assert (images.skipped, images.resized_up, images.bits_stored, images.labels) == (
        (),
        0,
        None,
        None,
    )
    again = load_folder(str(tmp_path), image_size=20)
    assert again.names == images.names
    np.testing.assert_array_equal(again.pixels, images.pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_mix_in_one_folder(tmp_path, channels):
    save(tmp_path / "colour.png", np.full((30, 30, 3), [255, 0, 0], np.uint8))
    save(tmp_path / "grey.png", np.full((30, 30), 90, np.uint8))
    tifffile.imwrite(tmp_path / "deep.tif", np.full((30, 30), 2048, np.uint16))
    tifffile.imwrite(
        tmp_path / "deep_colour.tif",
        np.full((30, 30, 3), [4095, 0, 0], np.uint16),
        photometric="rgb",
    )
    images = load_folder(tmp_path, image_size=16, channels=channels)
    assert images.pixels.shape == (4, 16, 16, channels)
    expected = (
        [[76], [128], [76], [90]]
        if channels == 1
        else [[255, 0, 0], [128] * 3, [255, 0, 0], [90] * 3]
    )
    np.testing.assert_array_equal(images.pixels[:, 8, 8], expected)


def test_small_images_are_counted(tmp_path):
    for side in (8, 15, 16, 40):
        save(tmp_path / f"{side}.png", np.zeros((side, 30), np.uint8))
    assert load_folder(tmp_path, image_size=16).resized_up == 2


@pytest.mark.parametrize(("largest", "bits"), [(200, 8), (1023, 10), (4095, 12), (40000, 16)])
def test_sixteen_bit_images_share_one_scale_by_the_largest_value_of_the_folder(
    tmp_path, largest, bits
):
    values = np.linspace(0, largest, 256).astype(np.uint16).reshape(16, 16)
    save(tmp_path / "a.png", values)
    save(tmp_path / "dark.tif", values // 8)
    save(tmp_path / "eight.png", np.full((16, 16), 200, np.uint8))
    images = load_folder(tmp_path, image_size=16, channels=1)
    assert images.bits_stored == bits
    scale = 255 / (2**bits - 1)
    np.testing.assert_array_equal(images.pixels[0, ..., 0], np.rint(values * scale))
    np.testing.assert_array_equal(images.pixels[1, ..., 0], np.rint(values // 8 * scale))
    assert (images.pixels[2] == 200).all()


def test_the_bits_of_another_folder_can_be_asked_for(tmp_path):
    save(tmp_path / "a.png", np.full((16, 16), 1000, np.uint16))
    save(tmp_path / "b.png", np.full((16, 16), 5000, np.uint16))
    images = load_folder(tmp_path, image_size=16, bits_stored=12)
    assert images.names == ("a.png",)
    assert (images.pixels == round(1000 * 255 / 4095)).all()
    assert [(item.name, item.reason) for item in images.skipped] == [
        ("b.png", "largest value 5000 does not fit bits_stored=12")
    ]
    assert images.bits_stored == 12


@pytest.mark.parametrize(
    ("largest", "white"), [(1.0, 1.0), (0.5, 1.0), (255.0, 255.0), (2.0, 255.0), (1 + 2**-10, 1.0)]
)
def test_float_images_share_one_scale(tmp_path, largest, white):
    values = np.linspace(0, largest, 256, dtype=np.float32).reshape(16, 16)
    tifffile.imwrite(tmp_path / "a.tif", values)
    tifffile.imwrite(tmp_path / "b.tif", values / 2)
    images = load_folder(tmp_path, image_size=16, channels=1)
    np.testing.assert_allclose(images.pixels[0, ..., 0], values * 255 / white, atol=0.501)
    np.testing.assert_allclose(images.pixels[1, ..., 0], values / 2 * 255 / white, atol=0.501)
    assert images.bits_stored is None
    assert images.notes == (
        () if white == 1 else (f"floats up to {largest:g} are read as 0 (black) to 255 (white)",)
    )


def test_one_value_a_rounding_above_1_does_not_turn_the_set_black(tmp_path):
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    tifffile.imwrite(tmp_path / "a.tif", values)
    values = values.copy()
    values[-1, -1], values[0, 0] = np.nextafter(np.float32(1), np.float32(2)), -1e-7
    tifffile.imwrite(tmp_path / "b.tif", values)
    images = load_folder(tmp_path, image_size=16, channels=1)
    np.testing.assert_array_equal(images.pixels[0], images.pixels[1])
    assert images.pixels[0].max() == 255
    np.testing.assert_array_equal(
        stream_folder(tmp_path, image_size=16, channels=1)[np.arange(2)], images.pixels
    )


def test_floats_between_the_scales_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.linspace(0, 1.2, 256, dtype=np.float32).reshape(16, 16))
    with pytest.raises(ValueError, match=r"floats up to 1\.2 fit neither \[0, 1\] nor \[0, 255\]"):
        load_folder(tmp_path, image_size=16)


def hostile(folder):
    """One file of each kind that must not stop a run: name -> a word of its reason."""
    content = {}
    save(
        folder / "good.png", np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    )
    for suffix in ("png", "jpg", "tif", "bmp", "webp"):
        save(
            folder / f"whole.{suffix}",
            np.random.default_rng(2).integers(0, 256, (40, 40, 3), dtype=np.uint8),
        )
        whole = (folder / f"whole.{suffix}").read_bytes()
        (folder / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
        (folder / f"whole.{suffix}").unlink()
        content[f"cut.{suffix}"] = ""
    (folder / "zero.png").write_bytes(b"")
    (folder / "text.png").write_text("no image\n")
    (folder / "page.jpg").write_text("<html><body>404</body></html>")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    Image.new("1", (11_000, 11_000)).save(folder / "large.tif", compression="group4")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "ring1.png").symlink_to(folder / "ring2.png")
    (folder / "ring2.png").symlink_to(folder / "ring1.png")
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    (folder / "null.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.png")
    (folder / "scan.dcm").write_bytes(bytes(128) + b"DICM")
    with open(folder / "huge.tif", "wb") as stream:
        stream.truncate(2**31)  # Sparse: it takes no room.
    return {
        **content,
        "zero.png": "empty",
        "text.png": "its content is no PNG",
        "page.jpg": "its content is no PNG",
        "bomb.png": "pixels",
        "large.tif": "11000 x 11000 pixels in its header",
        "loop/": "read already",
        "ring1.png": "symbolic links",
        "ring2.png": "symbolic links",
        "dangling.png": "No such file",
        "null.png": "not a plain file",
        "pipe.png": "not a plain file",
        "scan.dcm": "DICOM",
        "huge.tif": "more than max_bytes",
    }


def test_hostile_files_are_listed_with_their_reasons_and_the_rest_is_read(tmp_path, capfd):
    expected = hostile(tmp_path)
    before = {name: os.lstat(tmp_path / name) for name in os.listdir(tmp_path)}
    listener = socket.socket(socket.AF_UNIX)
    with tempfile.TemporaryDirectory() as short:  # A socket's path has at most 107 bytes.
        listener.bind(f"{short}/s")
        (tmp_path / "socket.png").symlink_to(f"{short}/s")
        images = load_folder(tmp_path, image_size=20)
    listener.close()
    expected["socket.png"] = "not a plain file"
    assert images.names == ("good.png",)
    assert [item.name for item in images.skipped] == sorted(expected)
    for item in images.skipped:
        assert item.reason
        assert expected[item.name] in item.reason
        assert item.reason.isprintable()
        assert len(item.reason) <= 300
        assert str(tmp_path) not in item.reason
    assert capfd.readouterr() == ("", "")
    for name, status in before.items():
        after = os.lstat(tmp_path / name)
        assert (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def test_a_file_without_rights_is_listed():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name in ("closed.png", "open.png"):
            Image.new("L", (9, 9)).save(f"{folder}/{name}")
        os.chmod(f"{folder}/closed.png", 0)
        Image.init()
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            images = load_folder(folder, image_size=8)
        finally:
            os.seteuid(user)
        assert images.names == ("open.png",)
        assert [(item.name, item.reason) for item in images.skipped] == [
            ("closed.png", "Permission denied")
        ]


def test_strange_names_survive(tmp_path):
    names = [
        b"q'u\"o,te.png",
        b"line\nbreak.png",
        b"<img src=x onerror=alert(1)>.png",
        "größe 日本.png".encode(),
        b"caf\xe9.png",
        b" .png",
        b"-rf.png",
    ]
    for value, name in enumerate(names):
        Image.new("L", (9, 9), value).save(
            os.path.join(os.fsencode(tmp_path), name).decode("utf-8", "surrogateescape")
        )
    images = load_folder(tmp_path, image_size=8, channels=1)
    assert images.skipped == ()
    for name, pixels in zip(images.names, images.pixels):
        original = names[pixels[0, 0, 0]]
        assert name == original.decode("utf-8", "backslashreplace")


def test_no_image_names_the_folder_and_what_was_found(tmp_path):
    with pytest.raises(ValueError, match=r"no readable image in .*: it holds no files") as empty:
        load_folder(tmp_path, image_size=8)
    assert str(tmp_path) in str(empty.value)
    for name in ("a.txt", "b.txt", "images.npz"):
        (tmp_path / name).write_text("x")
    (tmp_path / "bad\nname.png").write_text("x")
    with pytest.raises(ValueError, match="no readable image in") as caught:
        load_folder(tmp_path, image_size=8)
    message = str(caught.value)
    assert "looked at 4 files" in message
    assert "not images by name: 2 .txt" in message
    assert "images.npz: an array beside images" in message
    assert "'bad\\nname.png': its content is no PNG" in message
    assert "name the .npy or .npz file itself" in message
    assert "\n" not in message


def test_a_missing_folder_a_file_and_bad_arguments_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot read the folder .*missing: No such file"):
        load_folder(tmp_path / "missing", image_size=8)
    save(tmp_path / "a.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(NotADirectoryError, match=r"a\.png"):
        load_folder(tmp_path / "a.png", image_size=8)
    for arguments, message in [
        ({"image_size": 0}, "image_size=0"),
        ({"image_size": 8, "channels": 4}, "channels=4"),
        ({"image_size": 8, "bits_stored": 4}, "bits_stored=4"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_folder(tmp_path, **arguments)


def test_progress_counts_every_file_in_the_calling_thread(tmp_path):
    for index in range(5):
        save(tmp_path / f"{index}.png", np.zeros((9, 9), np.uint8))
    (tmp_path / "5.png").write_bytes(b"")
    seen = []
    load_folder(
        tmp_path,
        image_size=8,
        on_progress=lambda done, total: seen.append((done, total, threading.current_thread())),
    )
    assert seen == [(done, 6, threading.main_thread()) for done in range(7)]


def test_images_larger_than_the_budget_of_all_threads_are_still_read(tmp_path):
    for index in range(8):
        save(tmp_path / f"{index}.png", np.full((30, 30), index, np.uint8))
    images = load_folder(tmp_path, image_size=8, max_pixels=900)
    np.testing.assert_array_equal(images.pixels[:, 0, 0, 0], range(8))


def test_warnings_of_the_decoder_do_not_leak(tmp_path):
    Image.new("1", (9_500, 9_500)).save(
        tmp_path / "large.png"
    )  # Pillow warns of a bomb from 89 million pixels.
    Image.new("RGB", (9, 9)).save(
        tmp_path / "exif.jpg", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = load_folder(tmp_path, image_size=8)
    assert images.names == ("exif.jpg", "large.png")
    assert caught == []


def test_real_tiles_are_read_whole_with_their_known_duplicates(real_data):
    images = load_folder(real_data / "cxr_kermany_test300", image_size=300, channels=3)
    assert len(images) == 624
    assert images.skipped == ()
    duplicates = exact_duplicates(images)
    assert len(duplicates) == 6
    assert all(len(group) == 2 for group in duplicates)
    for index in (0, 100, 623):
        with Image.open(real_data / "cxr_kermany_test300" / images.names[index]) as image:
            np.testing.assert_array_equal(images.pixels[index], np.asarray(image.convert("RGB")))


def test_every_page_of_a_tiff_is_an_image(tmp_path):
    generator = np.random.default_rng(0)
    pages = generator.integers(0, 256, (4, 12, 12), dtype=np.uint8)
    deep = generator.integers(0, 2**16, (3, 12, 12, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    tifffile.imwrite(tmp_path / "b.tif", deep, photometric="rgb", byteorder=">")
    with tifffile.TiffWriter(tmp_path / "c.tif") as writer:
        writer.write(pages[0], photometric="minisblack")
        writer.write(pages[0][::2, ::2], photometric="minisblack", subfiletype=1)  # a smaller copy
        writer.write(pages[1], photometric="minisblack")
    images = load_folder(tmp_path, image_size=12, channels=3, bits_stored=16)
    names = [*(f"a.tif[{page}]" for page in range(4)), *(f"b.tif[{page}]" for page in range(3))]
    assert images.names == (*names, "c.tif[0]", "c.tif[1]")
    assert images.skipped == ()
    np.testing.assert_array_equal(images.pixels[:4, ..., 0], pages)
    np.testing.assert_array_equal(images.pixels[4:7], np.rint(deep / 257))
    np.testing.assert_array_equal(images.pixels[7:, ..., 0], pages[:2])
    streamed = stream_folder(tmp_path, image_size=12, channels=3, bits_stored=16)
    assert streamed.names == images.names
    np.testing.assert_array_equal(streamed[np.arange(9)], images.pixels)


def test_a_page_is_never_named_as_a_file(tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")
    pages = np.random.default_rng(0).integers(0, 256, (3, 12, 12), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    for name in ("a.tif[1]", "a.tif[1]~2"):  # DICOM files have any name
        single = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm"))
        single.save_as(tmp_path / name)
    (tmp_path / "a.tif[2]").write_bytes(b"is listed as skipped")
    images = load_folder(tmp_path, image_size=12, channels=1)
    assert images.names == (
        *("a.tif[0]", "a.tif[1]~3", "a.tif[2]~2"),
        *("a.tif[1]", "a.tif[1]~2"),
    )
    assert [item.name for item in images.skipped] == ["a.tif[2]"]
    np.testing.assert_array_equal(images.pixels[:3, ..., 0], pages)
    streamed = stream_folder(tmp_path, image_size=12, channels=1)
    assert (streamed.names, streamed.skipped) == (images.names, images.skipped)
    np.testing.assert_array_equal(streamed[np.arange(5)], images.pixels)
    stored = StoredImages.of(tmp_path, images.names)
    for name, page in zip(images.names, pages):
        np.testing.assert_array_equal(stored.read(name)[..., 0], page)
        assert stored.own_file(name) is None
    assert stored.own_file("a.tif[1]") == tmp_path / "a.tif[1]"


def test_a_torn_page_costs_no_other(tmp_path):
    pages = np.random.default_rng(0).integers(0, 256, (3, 40, 40), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pages:
            writer.write(page, photometric="minisblack", compression="zlib", contiguous=False)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        start, size = file.pages[1].dataoffsets[0], file.pages[1].databytecounts[0]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[start : start + size] = b"\xff" * size
    (tmp_path / "a.tif").write_bytes(content)
    images = load_folder(tmp_path, image_size=40, channels=1)
    assert images.names == ("a.tif[0]", "a.tif[2]")
    np.testing.assert_array_equal(images.pixels[..., 0], pages[::2])
    assert [item.name for item in images.skipped] == ["a.tif[1]"]
