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
