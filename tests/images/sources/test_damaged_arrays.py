"""Arrays that are no images, damaged or hostile: one-line errors."""

import io
import os
import re
import zipfile

import numpy as np
import pytest

from examine_jax.images import load_array
from examine_jax.images.sources import stored_array
from tests.images.sources.test_array import packed, saved


@pytest.fixture(scope="module")
def colours():
    return np.random.default_rng(0).integers(0, 256, (7, 12, 10, 3), dtype=np.uint8)


NAN_ROWS = np.zeros((20, 4, 5), np.float32)
NAN_ROWS[[3, 11], 1, 1] = np.nan
NAN_ROWS[5, 0, 0] = np.inf


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 8), np.float32), "shape (5, 8); images are [N, H, W]"),
        (np.zeros(5), "shape (5,)"),
        (np.zeros((1, 2, 3, 4, 5), np.uint8), "shape (1, 2, 3, 4, 5)"),
        (np.zeros((64, 64, 3), np.uint8), "looks like one image [H, W, C]"),
        (np.zeros((9, 3, 16, 3), np.uint8), "could be [N, H, W, C] or [N, C, H, W]"),
        (np.zeros((9, 1, 16, 1), np.uint8), "could be [N, H, W, C] or [N, C, H, W]"),
        (np.zeros((9, 16, 16, 4), np.uint8), "neither 1 nor 3 channels; drop the others"),
        (np.zeros((0, 16, 16), np.uint8), "holds no pixels"),
        (np.zeros((4, 0, 16), np.uint8), "holds no pixels"),
        (np.zeros((2, 8, 8), np.complex64), "dtype complex64"),
        (np.zeros((2, 8, 8), "U3"), "dtype <U3"),
        (np.zeros((2, 8, 8), [("a", "u1")]), "images are integers, floats or Booleans"),
        (np.full((2, 8, 8), -1, np.int16), "values from -1 to -1: only 0 to 65535"),
        (np.full((2, 8, 8), 2**40, np.int64), "only 0 to 65535"),
        (np.full((2, 8, 8), -0.5), "only [0, 1] or [0, 255]"),
        (np.full((2, 8, 8), 1000.0), "values from 1000 to 1000"),
        (NAN_ROWS, "NaN or infinity in rows 3, 5, 11; drop or repair"),
        (np.full((30, 4, 5), np.nan), "in rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 20 more"),
    ],
)
def test_arrays_that_are_no_images_are_one_line_errors(tmp_path, array, message):
    for path in (saved(tmp_path, array), packed(tmp_path, tiles=array)):
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            load_array(path, image_size=8)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


class Trap:
    def __reduce__(self):
        return (exec, ("raise RuntimeError('unpickled')",))


def test_pickled_objects_are_refused_without_running_them(tmp_path):
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros((8, 8)), Trap()]
    plain = saved(tmp_path, ragged, allow_pickle=True)
    for path in (
        plain,
        packed(tmp_path, tiles=ragged),
        packed(tmp_path, tiles=ragged, label=np.arange(2)),
    ):
        with pytest.raises(
            ValueError,
            match=r"pickled Python objects \(images of mixed shapes, perhaps\)"
            r".*unpickling runs code; save one",
        ):
            load_array(path, image_size=8)


def test_splits_of_different_shapes_are_named(tmp_path):
    path = packed(
        tmp_path,
        train_images=np.zeros((2, 28, 28), np.uint8),
        test_images=np.zeros((2, 32, 28), np.uint8),
    )
    with pytest.raises(ValueError, match=r"train_images \(2, 28, 28\), test_images \(2, 32, 28\)"):
        load_array(path, image_size=8)
    assert len(load_array(path, image_size=8, split="test")) == 2


def test_splits_of_different_dtypes_are_refused(tmp_path):
    path = packed(
        tmp_path,
        train_images=np.zeros((2, 28, 28), np.uint8),
        test_images=np.zeros((2, 28, 28), np.float32),
    )
    with pytest.raises(ValueError, match="differ in dtype"):
        load_array(path, image_size=8)


def test_labels_that_do_not_fit_are_refused(tmp_path):
    path = packed(tmp_path, train_images=np.zeros((2, 28, 28), np.uint8), train_labels=np.zeros(3))
    with pytest.raises(ValueError, match=r"labels do not fit its images: train_labels \(3,\)"):
        load_array(path, image_size=8)


def test_an_archive_with_no_or_several_candidates_lists_its_keys(tmp_path):
    several = packed(tmp_path, a=np.zeros((2, 8, 8), np.uint8), b=np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(
        ValueError,
        match=r"2 arrays that could be images, among a \(2, 8, 8\) uint8, b \(2, 8, 8\) uint8",
    ):
        load_array(several, image_size=8)
    none = packed(tmp_path, a=np.zeros((2, 8)), b=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"no array that could be images, among a \(2, 8\) float64"
    ):
        load_array(none, image_size=8)
    with pytest.raises(ValueError, match=r"no split 'train'; it has none"):
        load_array(none, image_size=8, split="train")


@pytest.mark.parametrize("kept", [0, 3, 8, 60, 200, 1000, -1])
def test_truncated_files_are_errors(tmp_path, colours, kept):
    for path in (saved(tmp_path, colours), packed(tmp_path, x=colours)):
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ValueError, match="write it anew") as caught:
            load_array(path, image_size=8)
        assert path.name in str(caught.value)


@pytest.mark.parametrize("repeats", [1, 60])  # Met with the header, or behind it.
def test_a_damaged_archive_is_an_error(tmp_path, colours, repeats):
    path = tmp_path / "pack.npz"
    np.savez(path, x=np.tile(colours, (repeats, 1, 1, 1)))
    content = bytearray(path.read_bytes())
    content[-1000] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Bad CRC-32 for file 'x\.npy'\); write it anew"):
        load_array(path, image_size=8)


def header_only(shape, dtype="|u1", fortran=False):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": dtype, "fortran_order": fortran, "shape": shape}
    )
    return buffer.getvalue()


@pytest.mark.parametrize("fortran", [False, True])
def test_what_a_header_declares_is_checked_before_it_is_allocated(tmp_path, fortran):
    enormous = header_only((10**9, 10**4, 10**4), fortran=fortran)
    (tmp_path / "bomb.npy").write_bytes(enormous + bytes(100))
    with pytest.raises(ValueError, match="truncated, its header declares 100000000000000000 bytes"):
        load_array(tmp_path / "bomb.npy", image_size=8)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", enormous + bytes(10**6))
    with pytest.raises(ValueError, match="truncated, its header declares 100000000000000000 bytes"):
        load_array(tmp_path / "bomb.npz", image_size=8)
    with zipfile.ZipFile(tmp_path / "short.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header_only((1000, 100, 100), fortran=fortran) + bytes(10**6))
    with pytest.raises(ValueError, match="truncated, its header declares 10000000 bytes"):
        load_array(tmp_path / "short.npz", image_size=8)


def test_small_images_that_would_grow_beyond_the_limit_are_refused(tmp_path):
    path = saved(tmp_path, np.zeros((1000, 2, 2), np.uint8))
    with pytest.raises(ValueError, match="take 192000 bytes, more than max_bytes=100000"):
        load_array(path, image_size=8, max_bytes=100_000)


def test_more_data_than_declared_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "pack.npz", "w") as archive:
        archive.writestr("x.npy", header_only((2, 5, 5)) + bytes(51))
    with pytest.raises(ValueError, match="holds more than its header declares"):
        load_array(tmp_path / "pack.npz", image_size=8)


@pytest.mark.parametrize(
    "content",
    [
        b"\x93NUMPY\x01\x00\x10\x00{'descr': broken",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        b"\x93NUMPY\x09\x00\x10\x00",
        header_only((-1, 5, 5)),
        b"PK\x03\x04 and then nothing",
        b"a,b,c\n1,2,3\n",
        b"",
    ],
)
def test_damaged_headers_are_one_line_errors(tmp_path, content):
    (tmp_path / "bad.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.npy: .*write it anew") as caught:
        load_array(tmp_path / "bad.npy", image_size=8)
    assert "\n" not in str(caught.value)


def test_an_archive_without_arrays_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "pack.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"an archive without \.npy arrays"):
        load_array(tmp_path / "pack.npz", image_size=8)


def test_a_pipe_is_never_opened_and_a_missing_file_is_missing(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(ValueError, match=r"pipe\.npy: not a plain file"):
        load_array(tmp_path / "pipe.npy", image_size=8)
    with pytest.raises(FileNotFoundError):
        load_array(tmp_path / "missing.npy", image_size=8)


def test_an_archive_whose_directory_points_before_the_file_is_damaged(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4), np.uint8))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    del content[40:80]  # The directory now lies before where the end of the archive says.
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: neither a \.npy file nor a readable"):
        load_array(tmp_path / "a.npz", image_size=4)


def test_labels_count_towards_the_limit(tmp_path):
    images, labels = np.zeros((5, 9, 9), np.uint8), np.zeros((5, 1000), np.uint8)
    np.savez(tmp_path / "a.npz", train_images=images, train_labels=labels)
    assert load_array(tmp_path / "a.npz", image_size=8).labels.shape == (5, 1000)
    with pytest.raises(ValueError, match="its images take 5960 bytes, more than max_bytes=5000"):
        load_array(tmp_path / "a.npz", image_size=8, max_bytes=5000)


def test_large_images_are_refused_by_their_header(tmp_path):
    path = saved(tmp_path, np.zeros((2, 50, 40), np.uint8))
    assert len(load_array(path, image_size=8, max_pixels=2000)) == 2
    with pytest.raises(ValueError, match="40 x 50 pixels, more than max_pixels=1999"):
        load_array(path, image_size=8, max_pixels=1999)


def test_an_archive_of_many_arrays_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_array, "_MOST_ARRAYS", 20)
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(21):
            archive.writestr(f"{index}.npy", b"")
    with pytest.raises(ValueError, match=r"21 arrays, more than 20; stack the images"):
        load_array(path, image_size=8)


@pytest.mark.parametrize("sides", ["9" * 4000, "2**62", "9223372036854775807, 0, 3"])
def test_numbers_that_no_array_has(tmp_path, sides):
    header = header_only((0, 0)).replace(b"(0, 0)", f"({sides},)".encode())
    header = header[:8] + (len(header) - 10).to_bytes(2, "little") + header[10:]
    (tmp_path / "a.npy").write_bytes(header)
    with pytest.raises(ValueError, match=r"a\.npy: ") as raised:
        load_array(tmp_path / "a.npy", image_size=8)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_members_are_value_errors(tmp_path, method):
    values = np.random.default_rng(0).integers(0, 256, (5, 9, 9), dtype=np.uint8)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("x.npy", header_only(values.shape) + values.tobytes())
    whole = (tmp_path / "a.npz").read_bytes()
    for place in range(40, 200, 20):
        damaged = bytearray(whole)
        damaged[place : place + 8] = b"\xff" * 8
        (tmp_path / "a.npz").write_bytes(damaged)
        with pytest.raises(ValueError, match="write it anew"):
            load_array(tmp_path / "a.npz", image_size=8)
