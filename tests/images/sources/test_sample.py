import re
import sys

import numpy as np
import pytest
import skimage
from PIL import Image

from examine_jax.images import sample_images


def corners(image_set):
    return [
        tuple(map(int, re.fullmatch(r"sample/\w+/row(\d+)_col(\d+)\.png", name).groups()))
        for name in image_set.names
    ]


def test_tiles_are_the_picture_where_their_names_say():
    picture = skimage.data.immunohistochemistry()
    for images in sample_images(image_size=64):
        for (row, column), pixels in zip(corners(images), images.pixels):
            np.testing.assert_array_equal(pixels, picture[row : row + 64, column : column + 64])


def test_training_and_assessed_tiles_share_no_pixel():
    training, assessed = sample_images(image_size=8)
    seen = np.zeros((2, 512, 512), bool)
    for region, images in enumerate((training, assessed)):
        for row, column in corners(images):
            seen[region, row : row + 64, column : column + 64] = True
    assert not (seen[0] & seen[1]).any()
    assert (len(training), len(assessed)) == (1350, 494)
    assert len({*training.names, *assessed.names}) == 1350 + 494


def test_the_sample_takes_any_size_and_channel_count():
    picture = skimage.data.immunohistochemistry()
    _, assessed = sample_images(image_size=72, channels=1)
    assert assessed.pixels.shape == (494, 72, 72, 1)
    assert assessed.resized_up == 494
    row, column = corners(assessed)[100]
    tile = Image.fromarray(picture).convert("L").crop((column, row, column + 64, row + 64))
    np.testing.assert_array_equal(
        assessed.pixels[100, ..., 0], np.asarray(tile.resize((72, 72), Image.Resampling.LANCZOS))
    )
    with pytest.raises(ValueError, match="channels=2"):
        sample_images(image_size=8, channels=2)


def test_a_scikit_image_without_its_pictures_is_a_clear_error(monkeypatch, tmp_path):
    package = tmp_path / "skimage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "skimage")
    with pytest.raises(
        FileNotFoundError, match=r"data/ihc\.png is not there; install scikit-image"
    ):
        sample_images(image_size=8)
