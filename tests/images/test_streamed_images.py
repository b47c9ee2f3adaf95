"""Images read on demand, and batches of them read ahead."""

import io
import itertools
import os
import pathlib
import threading

import numpy as np
import pytest
from PIL import Image

from examine_jax.images import StreamedImages, load_folder, prefetch, stream_folder
from examine_jax.images.decoding.unreadable import UnreadableImage

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    for index in range(30):
        pixels = RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        image = Image.fromarray(pixels if index % 3 else pixels[..., 0])
        image.save(tmp_path / f"{index:02}.{'png' if index % 2 else 'jpg'}")
    (tmp_path / "text.png").write_text("no image")
    return tmp_path


def in_batches(count: int, size: int) -> list[np.ndarray]:
    order = np.random.default_rng(1).permutation(count).astype(np.int32)
    return [order[start : start + size] for start in range(0, count - size + 1, size)]


@pytest.mark.parametrize("channels", [1, 3])
def test_streamed_images_are_the_loaded_ones(folder: pathlib.Path, channels: int) -> None:
    loaded = load_folder(folder, image_size=16, channels=channels)
    streamed = stream_folder(folder, image_size=16, channels=channels)
    assert streamed.names == loaded.names
    assert streamed.shape == loaded.pixels.shape
    assert len(streamed) == len(loaded)
    assert streamed.skipped == loaded.skipped
    order = np.random.default_rng(1).permutation(len(loaded)).astype(np.int32)
    assert np.array_equal(streamed[order], loaded.pixels[order])


def test_deep_images_keep_the_scale_named_for_them(tmp_path: pathlib.Path) -> None:
    Image.fromarray(RNG.integers(0, 4096, (16, 16), dtype=np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(RNG.random((16, 16), np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(ValueError, match=r"a\.png has more than 8 bits.*name bits_stored"):
        stream_folder(tmp_path, image_size=16)
    streamed = stream_folder(tmp_path, image_size=16, bits_stored=12)
    loaded = load_folder(tmp_path, image_size=16, bits_stored=12)
    assert np.array_equal(streamed[np.arange(2)], loaded.pixels)


def test_floats_above_one_cannot_be_known_beforehand(tmp_path: pathlib.Path) -> None:
    Image.fromarray(200 * RNG.random((16, 16), np.float32)).save(tmp_path / "a.tif")
    streamed = stream_folder(tmp_path, image_size=16)
    with pytest.raises(UnreadableImage, match=r"a\.tif: floats up to"):
        streamed[np.array([0])]


@pytest.mark.parametrize(
    ("workers", "depth", "size"), [(1, 1, 4), (2, 3, 7), (4, 20, 32), (3, 2, 1)]
)
def test_batches_come_in_order_whatever_the_workers(
    folder: pathlib.Path, workers: int, depth: int, size: int
) -> None:
    loaded = load_folder(folder, image_size=16)
    batches = in_batches(len(loaded), size)
    result = list(prefetch(stream_folder(folder, image_size=16), iter(batches), workers, depth))
    assert len(result) == len(batches)
    for expected, (indices, pixels) in zip(batches, result):
        assert np.array_equal(indices, expected)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, loaded.pixels[expected])


def test_arrays_are_read_ahead_as_well() -> None:
    pixels = RNG.integers(0, 256, (10, 4, 4, 2), dtype=np.uint8)
    batches = [np.array([9, 0, 3], np.int32), np.array([1, 1, 2], np.int32)]
    for (indices, batch), expected in zip(
        prefetch(pixels, iter(batches), 2, 1), batches, strict=True
    ):
        assert np.array_equal(batch, pixels[expected])
        assert np.array_equal(indices, expected)


def test_no_more_than_depth_batches_are_asked_for_ahead() -> None:
    asked = []

    def endless():
        for step in itertools.count():
            asked.append(step)
            yield np.array([step % 10], np.int32)

    pixels = np.zeros((10, 2, 2, 1), np.uint8)
    batches = prefetch(pixels, endless(), 2, 3)
    next(batches)
    assert len(asked) == 4
    next(batches)
    assert len(asked) == 5
    batches.close()
    assert len(asked) == 5


def test_closing_ends_the_threads() -> None:
    before = threading.active_count()
    batches = prefetch(np.zeros((10, 2, 2, 1), np.uint8), iter([np.arange(4)] * 50), 3, 4)
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


def test_a_file_that_breaks_is_named_when_its_batch_is_due_and_not_before(
    folder: pathlib.Path,
) -> None:
    streamed = stream_folder(folder, image_size=16)
    content = (folder / "05.png").read_bytes()
    (folder / "05.png").write_bytes(content[: len(content) // 2])
    (folder / "07.png").unlink()
    batches = prefetch(streamed, iter(np.arange(30, dtype=np.int32).reshape(10, 3)), 2, 8)
    assert len(next(batches)[1]) == 3
    with pytest.raises(
        UnreadableImage, match=r"05\.png: .*truncated.*remove the file or repair it"
    ):
        next(batches)
    with pytest.raises(UnreadableImage, match=r"07\.png: No such file"):
        streamed[np.array([7])]


def test_other_kinds_of_images_need_one_read_function() -> None:
    streamed = StreamedImages(("a", "b"), (2, 2, 3), lambda row: np.full((2, 2, 1), row, np.uint8))
    assert streamed.shape == (2, 2, 2, 3)
    assert streamed[np.array([1, 0, 1])][:, 1, 1, 2].tolist() == [1, 0, 1]


def test_an_empty_folder_and_a_missing_one_say_so(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="no readable image"):
        stream_folder(tmp_path, image_size=8)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        stream_folder(tmp_path / "nowhere", image_size=8)


@pytest.mark.parametrize("arguments", [(0, 1), (1, 0)])
def test_prefetch_checks_its_arguments_when_it_is_called(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        prefetch(np.zeros((1, 2, 2, 1), np.uint8), iter([]), *arguments)


def test_files_are_only_opened_and_never_changed(folder: pathlib.Path) -> None:
    before = {path: os.stat(path) for path in folder.rglob("*")}
    stream_folder(folder, image_size=16)[np.arange(5)]
    after = {path: os.stat(path) for path in folder.rglob("*")}
    assert {path: (status.st_mtime_ns, status.st_size) for path, status in before.items()} == {
        path: (status.st_mtime_ns, status.st_size) for path, status in after.items()
    }


def turned(kind: str, orientation: int) -> bytes:
    """An image of 12 rows and 20 columns that EXIF turns."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (12, 20), dtype=np.uint8)).save(stream, kind, exif=exif)
    return stream.getvalue()


def with_exif_last(png: bytes) -> bytes:
    """The same PNG with its EXIF chunk after its pixels."""
    start = png.index(b"eXIf") - 4
    stop = start + int.from_bytes(png[start : start + 4], "big") + 12
    end = png.index(b"IEND") - 4
    return png[:start] + png[stop:end] + png[start:stop] + png[end:]


def test_stored_sizes_are_known_without_decoding(tmp_path: pathlib.Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="volumes need examine-jax[volumes]")
    for orientation in (1, 3, 6):
        for kind in ("PNG", "JPEG", "WEBP"):
            (tmp_path / f"{kind}{orientation}.{kind.lower()}").write_bytes(
                turned(kind, orientation)
            )
    (tmp_path / "last.png").write_bytes(with_exif_last(turned("PNG", 8)))
    (tmp_path / "damaged.png").write_bytes(turned("PNG", 8)[:-40])
    deep = RNG.integers(0, 4096, (9, 16), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "turned.tif", tiffinfo={274: 6})
    pages = [Image.fromarray(deep[:rows]) for rows in (3, 5)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    values = RNG.random((5, 6, 7), np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "v.nii.gz")
    loaded = load_folder(tmp_path, image_size=8, bits_stored=12)
    streamed = stream_folder(tmp_path, image_size=8, bits_stored=12)
    known = dict(zip(streamed.names, streamed.stored_sizes.tolist()))
    assert known.pop("damaged.png", None) in (None, [12, 20], [20, 12])
    assert known == dict(zip(loaded.names, loaded.stored_sizes.tolist()))
    assert known["last.png"] == known["PNG6.png"] == known["JPEG6.jpeg"] == [20, 12]
    assert known["turned.tif"] == [16, 9]
    assert (known["pages.tif[0]"], known["pages.tif[1]"]) == ([3, 16], [5, 16])
