import io
import os
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from examine_jax.images import load_array
from examine_jax.images.decoding.parallel import most_threads
from examine_jax.images.sources import array, stored_array


@pytest.fixture(scope="module")
def colours():
    return np.random.default_rng(0).integers(0, 256, (7, 12, 10, 3), dtype=np.uint8)


def saved(tmp_path, array, name="tiles.npy", **options):
    np.save(tmp_path / name, array, **options)
    return tmp_path / name


def packed(tmp_path, **arrays):
    np.savez_compressed(tmp_path / "pack.npz", **arrays)
    return tmp_path / "pack.npz"


def resized(pixels, size):
    return np.stack(
        [
            np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS))
            for image in pixels
        ]
    )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("archive", [False, True])
def test_colour_images_are_read_as_they_were_saved(tmp_path, colours, order, archive):
    array = np.asarray(colours, order=order)
    path = packed(tmp_path, x=array) if archive else saved(tmp_path, array)
    before = path.read_bytes()
    images = load_array(path, image_size=8)
    np.testing.assert_array_equal(images.pixels, resized(colours, 8))
    assert images.names == tuple(f"{'x' if archive else 'tiles'}[{row}]" for row in range(7))
    assert (images.skipped, images.resized_up, images.labels, images.bits_stored) == (
        (),
        0,
        None,
        None,
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "layout",
    [
        lambda grey: grey,
        lambda grey: grey[..., None],
        lambda grey: grey[:, None],
    ],
)
def test_grey_images_are_read_in_every_layout(tmp_path, colours, layout):
    grey = np.ascontiguousarray(colours[..., 0])
    images = load_array(saved(tmp_path, layout(grey)), image_size=8)
    np.testing.assert_array_equal(images.pixels, np.repeat(resized(grey, 8)[..., None], 3, axis=-1))
    assert load_array(tmp_path / "tiles.npy", image_size=8, channels=1).pixels.shape == (7, 8, 8, 1)


def test_channels_first_is_recognised(tmp_path, colours):
    images = load_array(saved(tmp_path, colours.transpose(0, 3, 1, 2)), image_size=8)
    np.testing.assert_array_equal(images.pixels, resized(colours, 8))


def test_colour_becomes_grey_by_luma(tmp_path, colours):
    images = load_array(saved(tmp_path, colours[:, :10]), image_size=10, channels=1)
    np.testing.assert_allclose(
        images.pixels[..., 0], colours[:, :10] @ [0.299, 0.587, 0.114], atol=0.51
    )


def test_images_resized_up_are_counted(tmp_path, colours):
    assert load_array(saved(tmp_path, colours), image_size=10).resized_up == 0
    assert load_array(tmp_path / "tiles.npy", image_size=11).resized_up == 7


@pytest.mark.parametrize(
    ("values", "white", "bits"),
    [
        (np.arange(256, dtype=np.uint16), 255, 8),
        (np.arange(0, 4096, 16, dtype=np.uint16), 4095, 12),
        (np.arange(0, 65536, 256, dtype=np.uint16), 65535, 16),
        (np.arange(0, 65536, 256, dtype=">u2"), 65535, 16),
        (np.arange(0, 4096, 16, dtype=np.int64), 4095, 12),
        (np.arange(128, dtype=np.int8).repeat(2), 255, 8),
        (np.linspace(0, 1, 256, dtype=np.float32), 1, None),
        (np.linspace(0, 0.3, 256), 1, None),
        (np.linspace(0, np.float16(1 + 2**-10), 256, dtype=np.float16), 1, None),
        (np.append(np.linspace(-1e-8, 1, 255), 1 + 1e-12), 1, None),
        (np.linspace(0, 255, 256, dtype=np.float64), 255, None),
        (np.linspace(0, 1, 256, dtype=np.float16), 1, None),
        (np.arange(256) % 2 == 0, 1, None),
    ],
)
def test_every_dtype_has_its_scale(tmp_path, values, white, bits):
    images = load_array(saved(tmp_path, values.reshape(4, 8, 8)), image_size=8, channels=1)
    expected = values.astype(np.float64).reshape(4, 8, 8, 1) * 255 / white
    np.testing.assert_allclose(images.pixels, expected, atol=0.501)
    assert images.bits_stored == bits
    assert images.notes == (
        ("floats up to 255 are read as 0 (black) to 255 (white)",)
        if bits is None and white == 255
        else ()
    )


@pytest.mark.parametrize("largest", [1.002, 1.5, 1.99])
def test_floats_between_the_scales_are_refused(tmp_path, largest):
    with pytest.raises(ValueError, match=rf"tiles\.npy: floats up to {largest} fit neither"):
        load_array(saved(tmp_path, np.linspace(0, largest, 256).reshape(4, 8, 8)), image_size=8)


def test_bits_stored_can_be_named(tmp_path):
    path = saved(tmp_path, np.full((2, 8, 8), 500, np.uint16))
    assert (load_array(path, image_size=8, bits_stored=12).pixels == round(500 * 255 / 4095)).all()
    with pytest.raises(ValueError, match="does not fit bits_stored=8"):
        load_array(path, image_size=8, bits_stored=8)


@pytest.fixture
def medmnist(tmp_path):
    generator = np.random.default_rng(1)
    arrays = {}
    for split, count in [("train", 6), ("val", 2), ("test", 3)]:
        arrays[f"{split}_images"] = generator.integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = generator.integers(0, 9, (count, 1), dtype=np.uint8)
    return packed(tmp_path, **arrays), arrays


def test_medmnist_keys_are_read_in_order_with_their_labels(medmnist):
    path, arrays = medmnist
    images = load_array(path, image_size=28)
    splits = ("train", "val", "test")
    np.testing.assert_array_equal(
        images.pixels, np.concatenate([arrays[f"{split}_images"] for split in splits])
    )
    np.testing.assert_array_equal(
        images.labels, np.concatenate([arrays[f"{split}_labels"][:, 0] for split in splits])
    )
    assert images.names[:7] == (
        "train[0]",
        "train[1]",
        "train[2]",
        "train[3]",
        "train[4]",
        "train[5]",
        "val[0]",
    )
    assert images.names[-1] == "test[2]"


def test_one_split_can_be_chosen(medmnist):
    path, arrays = medmnist
    images = load_array(path, image_size=28, split="val")
    np.testing.assert_array_equal(images.pixels, arrays["val_images"])
    assert images.names == ("val[0]", "val[1]")
    with pytest.raises(ValueError, match="no split 'valid'; there are train, val, test"):
        load_array(path, image_size=28, split="valid")


def test_labels_of_several_columns_stay_a_matrix(tmp_path):
    path = packed(
        tmp_path,
        train_images=np.zeros((2, 9, 9), np.uint8),
        train_labels=np.eye(2, 14, dtype=np.uint8),
    )
    np.testing.assert_array_equal(load_array(path, image_size=8).labels, np.eye(2, 14))


def test_the_one_array_that_looks_like_images_is_taken(tmp_path, colours):
    path = packed(
        tmp_path, tiles=colours, label=np.arange(7), features=np.zeros((7, 4), np.float32)
    )
    images = load_array(path, image_size=8)
    assert images.names[3] == "tiles[3]"
    np.testing.assert_array_equal(images.pixels, resized(colours, 8))


def test_large_arrays_are_read_in_blocks(tmp_path, monkeypatch, colours):
    monkeypatch.setattr(
        "examine_jax.images.sources.stored_array._BLOCK_BYTES", 2 * colours[0].nbytes + 5
    )
    for path in (saved(tmp_path, colours), packed(tmp_path, x=colours)):
        np.testing.assert_array_equal(load_array(path, image_size=8).pixels, resized(colours, 8))


def test_progress_counts_images(tmp_path, colours):
    seen = []
    load_array(
        saved(tmp_path, colours),
        image_size=8,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 7) for done in range(8)]


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


def test_few_large_images_are_read_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(array, "_AHEAD_BYTES", 1000)
    monkeypatch.setattr(stored_array, "_BLOCK_BYTES", 1)
    path = saved(tmp_path, np.zeros((100, 20, 20), np.uint8))
    given, ahead = [], []
    blocks = stored_array.StoredArray.blocks

    def counted(stored):
        for block in blocks(stored):
            given.append(len(block))
            yield block

    monkeypatch.setattr(stored_array.StoredArray, "blocks", counted)
    load_array(path, image_size=8, on_progress=lambda done, _: ahead.append(len(given) - done))
    assert max(ahead) <= most_threads() + 2
