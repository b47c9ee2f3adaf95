import numpy as np
import pytest
from PIL import Image

from examine_jax.images import load_array, load_folder, load_images, stream_images


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "folder").mkdir()
    Image.new("L", (9, 9), 50).save(tmp_path / "folder/a.png")
    np.save(tmp_path / "tiles.NPY.npy", np.zeros((2, 9, 9), np.uint8))
    np.savez(
        tmp_path / "pack.npz", train_images=np.zeros((2, 9, 9), np.uint8), test_images=np.ones((3, 9, 9), np.uint8)
    )
    (tmp_path / "table.csv").write_text("a,b\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "loader"), [("folder", load_folder), ("tiles.NPY.npy", load_array), ("pack.npz", load_array)]
)
def test_a_path_is_read_by_the_loader_of_its_kind(sources, name, loader):
    for path in (sources / name, str(sources / name)):
        images, expected = load_images(path, image_size=8, channels=1), loader(path, image_size=8, channels=1)
        assert images.names == expected.names
        np.testing.assert_array_equal(images.pixels, expected.pixels)


def test_split_reaches_the_archive_and_is_refused_by_a_folder(sources):
    assert load_images(sources / "pack.npz", image_size=8, split="test").names == ("test[0]", "test[1]", "test[2]")
    with pytest.raises(ValueError, match="a folder has no split 'test'"):
        load_images(sources / "folder", image_size=8, split="test")


def test_what_is_no_source_says_what_would_be(sources):
    with pytest.raises(
        FileNotFoundError, match=r"no images at .*nowhere: there is no such folder or file; check the path"
    ):
        load_images(sources / "nowhere", image_size=8)
    with pytest.raises(ValueError, match=r"a\.png is one image; name the folder that holds the images: .*folder$"):
        load_images(sources / "folder/a.png", image_size=8)
    with pytest.raises(ValueError, match=r"table\.csv is neither a folder of images nor a \.npy or \.npz file"):
        load_images(sources / "table.csv", image_size=8)


def test_a_folder_is_streamed_and_a_file_is_not(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    assert stream_images(tmp_path, image_size=4).shape == (1, 4, 4, 3)
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="only folders are read on demand"):
        stream_images(tmp_path / "a.npy", image_size=4)
    with pytest.raises(ValueError, match="no split 'train'"):
        stream_images(tmp_path, image_size=4, split="train")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        stream_images(tmp_path / "nowhere", image_size=4)
