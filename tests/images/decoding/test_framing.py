"""An encoder's own resize: the shorter side, then the centre, as torchvision does it by Pillow."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from examine_jax.images import load_images
from examine_jax.images.decoding import resize
from examine_jax.images.decoding.framing import Framing

# (rows, columns), shorter side, size, (rows, columns) between, (row, column) of the crop: of
# torchvision 0.29.1's Resize and CenterCrop.
TORCHVISION = [
    ((480, 640), 256, 224, (256, 341), (16, 58)),
    ((457, 211), 224, 224, (485, 224), (130, 0)),
    ((133, 601), 248, 224, (248, 1120), (12, 448)),
    ((225, 224), 224, 224, (225, 224), (0, 0)),
    ((7, 5), 6, 5, (8, 6), (2, 0)),
    ((9, 4), 8, 5, (18, 8), (6, 2)),
    ((1, 3), 5, 4, (5, 15), (0, 6)),
    ((300, 300), 256, 224, (256, 256), (16, 16)),
]


@pytest.mark.parametrize(("stored", "side", "size", "between", "corner"), TORCHVISION)
def test_sizes_and_corners_are_torchvisions(stored, side, size, between, corner):
    framing = Framing(size, "shorter_side", "bicubic", side)
    assert framing.between(*stored) == between
    assert framing.corner(*between) == corner


def _picture(rows: int, columns: int, channels: int) -> np.ndarray:
    picture = np.random.default_rng(rows).integers(0, 256, (rows, columns, channels), np.uint8)
    picture[: rows // 2, : columns // 3] //= 3
    return picture


def _by_pillow(picture: np.ndarray, framing: Framing) -> np.ndarray:
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    rows, columns = framing.between(*picture.shape[:2])
    whole = np.asarray(image.resize((columns, rows), framing.kernel)).reshape(rows, columns, -1)
    top, left = framing.corner(rows, columns)
    return whole[top : top + framing.size, left : left + framing.size]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(40, 61), (57, 20), (1, 9), (16, 16)])
@pytest.mark.parametrize(
    "framing",
    [
        Framing(16, "shorter_side", "bicubic", 20),
        Framing(16, "shorter_side", "bilinear"),
        Framing(16, interpolation="bicubic"),
    ],
)
def test_bytes_values_and_bands_are_pillows_resize_and_a_crop(framing, shape, channels):
    picture = _picture(*shape, channels)
    expected = _by_pillow(picture, framing)
    np.testing.assert_array_equal(resize.resize_bytes(picture, framing), expected)
    bands = (picture[row : row + 7] for row in range(0, len(picture), 7))
    found = resize.resize_bands(bands, *shape, framing)
    # Of a tall image, Pillow reduces the rows first, and rounds bytes between the two.
    allowed = 3 if shape[0] > shape[1] else 0
    assert np.abs(found.astype(int) - expected).max() <= allowed
    values = picture.astype(np.float32)
    planes = [_by_pillow(plane[..., None], framing) for plane in np.moveaxis(values, -1, 0)]
    expected = np.concatenate(planes, axis=-1)
    np.testing.assert_array_equal(resize.resize_values(values, framing), expected)


def test_files_of_all_kinds_are_framed(tmp_path):
    framing = Framing(8, "shorter_side", "bicubic", 10)
    picture = _picture(20, 33, 3)
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(picture).save(tmp_path / "b.jpg", quality=95)
    Image.fromarray(picture).save(tmp_path / "c.tif")
    found = load_images(tmp_path, image_size=framing)
    decoded = [np.asarray(Image.open(tmp_path / name)) for name in found.names]
    assert found.names == ("a.png", "b.jpg", "c.tif")
    for pixels, stored in zip(found.pixels, decoded):
        np.testing.assert_array_equal(pixels, _by_pillow(stored, framing))
    np.save(tmp_path / "stack.npy", picture[None])
    stack = load_images(tmp_path / "stack.npy", image_size=framing)
    np.testing.assert_array_equal(stack.pixels[0], _by_pillow(picture, framing))


def test_an_image_of_the_size_is_framed_nevertheless():
    picture = _picture(16, 16, 3)
    framing = Framing(16, "shorter_side", "bicubic", 20)
    assert not np.array_equal(resize.resize_bytes(picture, framing), picture)
    exact = Framing(16, "shorter_side", "bicubic")
    np.testing.assert_array_equal(resize.resize_bytes(picture, exact), picture)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"side": 20}, "is for the rule shorter_side"),
        ({"rule": "shorter_side", "side": 15}, r"must be 16 \(the size\) to 8192"),
    ],
)
def test_a_framing_that_cannot_be_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Framing(16, **fields)


def test_a_very_long_image_is_skipped_with_its_reason(tmp_path: pathlib.Path):
    Image.fromarray(np.zeros((1, 3000, 3), np.uint8)).save(tmp_path / "long.png")
    Image.fromarray(_picture(20, 20, 3)).save(tmp_path / "square.png")
    found = load_images(tmp_path, image_size=Framing(224, "shorter_side", "bicubic", 256))
    assert found.names == ("square.png",)
    assert "too long for an encoder that crops" in found.skipped[0].reason


def test_images_below_the_side_before_the_crop_count_as_enlarged(tmp_path: pathlib.Path):
    for rows in (9, 10):
        Image.fromarray(_picture(rows, 12, 3)).save(tmp_path / f"{rows}.png")
    framing = Framing(8, "shorter_side", "bicubic", 10)
    assert load_images(tmp_path, image_size=framing).resized_up == 1
    assert load_images(tmp_path, image_size=Framing(8, interpolation="bicubic")).resized_up == 0
    np.save(tmp_path / "stack.npy", np.stack([_picture(9, 12, 3)]))
    assert load_images(tmp_path / "stack.npy", image_size=framing).resized_up == 1
