import sys

import numpy as np
import pytest
from PIL import Image

from examine_jax.images import (
    can_stream,
    load_array,
    load_folder,
    load_images,
    sample_images,
    stream_images,
)


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "folder").mkdir()
    Image.new("L", (9, 9), 50).save(tmp_path / "folder/a.png")
    np.save(tmp_path / "tiles.NPY.npy", np.zeros((2, 9, 9), np.uint8))
    np.savez(
        tmp_path / "pack.npz",
        train_images=np.zeros((2, 9, 9), np.uint8),
        test_images=np.ones((3, 9, 9), np.uint8),
    )
    (tmp_path / "table.dat").write_text("a,b\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "loader"),
    [("folder", load_folder), ("tiles.NPY.npy", load_array), ("pack.npz", load_array)],
)
def test_a_path_is_read_by_the_loader_of_its_kind(sources, name, loader):
    for path in (sources / name, str(sources / name)):
        images, expected = (
            load_images(path, image_size=8, channels=1),
            loader(path, image_size=8, channels=1),
        )
        assert images.names == expected.names
        np.testing.assert_array_equal(images.pixels, expected.pixels)


def test_split_reaches_the_archive_and_is_refused_by_a_folder(sources):
    assert load_images(sources / "pack.npz", image_size=8, split="test").names == (
        "test[0]",
        "test[1]",
        "test[2]",
    )
    with pytest.raises(ValueError, match="a folder has no split 'test'"):
        load_images(sources / "folder", image_size=8, split="test")


def test_a_path_that_is_no_source_gives_a_remedy(sources):
    with pytest.raises(
        FileNotFoundError,
        match=r"no images at .*nowhere: there is no such folder or file; check the path",
    ):
        load_images(sources / "nowhere", image_size=8)
    with pytest.raises(
        ValueError, match=r"a\.png is one image; name the folder that holds the images: .*folder$"
    ):
        load_images(sources / "folder/a.png", image_size=8)
    with pytest.raises(
        ValueError, match=r"table\.dat is neither a folder of images nor a \.npy or \.npz file"
    ):
        load_images(sources / "table.dat", image_size=8)


def test_a_folder_is_streamed_and_a_file_is_not(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    assert stream_images(tmp_path, image_size=4).shape == (1, 4, 4, 3)
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="only folders, lists, archives"):
        stream_images(tmp_path / "a.npy", image_size=4)
    with pytest.raises(ValueError, match="no split 'train'"):
        stream_images(tmp_path, image_size=4, split="train")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        stream_images(tmp_path / "nowhere", image_size=4)


@pytest.mark.parametrize(("name", "row"), [("sample:training", 0), ("sample:assessed", 1)])
def test_the_sample_has_a_name_for_each_set(name, row):
    images, expected = load_images(name, image_size=8), sample_images(image_size=8)[row]
    assert images.names == expected.names
    np.testing.assert_array_equal(images.pixels, expected.pixels)
    with pytest.raises(ValueError, match=r"sample:.* has no split 'test'"):
        load_images(name, image_size=8, split="test")
    assert not can_stream(name)


TOY_SOURCE = """
import sys

import numpy as np
from examine_jax.images import ImageSet, StreamedImages

class Stripes:
    on_demand = True

    def recognises(self, name):
        return False

    def load(self, name, options):
        pixels = self.stream(name, options)[np.arange(int(name))]
        return ImageSet(tuple(f"stripe {row}" for row in range(int(name))), pixels)

    def stream(self, name, options):
        shape = (options.image_size, options.image_size, options.channels)
        names = tuple(f"stripe {row}" for row in range(int(name)))
        return StreamedImages(names, shape, lambda row: np.full(shape, 10 * row, np.uint8))

stripes = Stripes()
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A module outside the package, importable under a name of its own."""
    (tmp_path / "toy_image_source.py").write_text(TOY_SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "toy_image_source"
    sys.modules.pop("toy_image_source", None)


def test_a_source_of_another_package_is_named_by_module_and_attribute(elsewhere):
    name = f"{elsewhere}:stripes:4"
    images = load_images(name, image_size=8, channels=1)
    assert images.names == ("stripe 0", "stripe 1", "stripe 2", "stripe 3")
    assert images.pixels[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    streamed = stream_images(name, image_size=8, channels=1)
    np.testing.assert_array_equal(streamed[np.array([3, 1])], images.pixels[[3, 1]])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_at_all:stripes:4", "module no_such_module_at_all cannot be imported"),
        ("toy_image_source:dots:4", "module toy_image_source has no dots"),
        (
            "toy_image_source:Stripes:4",
            "has no recognises, load, stream and on_demand; name an instance",
        ),
        (
            "toy_image_source:np:4",
            "has no recognises, load, stream and on_demand; name an instance",
        ),
    ],
)
def test_a_name_that_leads_to_no_source_says_why(elsewhere, name, message):
    with pytest.raises(ValueError, match=message):
        load_images(name, image_size=8)


def test_a_path_with_colons_is_a_path(elsewhere, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / f"{elsewhere}:stripes"
    folder.mkdir()
    Image.new("L", (9, 9), 50).save(folder / "a.png")
    assert load_images(folder.name, image_size=8).names == ("a.png",)
