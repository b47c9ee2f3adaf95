"""The sample that ships with scikit-image: tiles of its immunohistochemistry picture (colonic glands, 512 x 512 pixels)."""

import importlib.util
import pathlib

import numpy as np
from PIL import Image

from examine_jax.images.decoding.resize import resize_bytes
from examine_jax.images.image_set import ImageSet
from examine_jax.images.sources.folder import check_size

# Tiles to train on come from the columns left of 304, those to assess from the rest: no pixel is in both. Tiles overlap their
# neighbours, as one picture has few of its own. 64 pixels hold a few cells; 12 gives 494 tiles to assess, near the paper's 500.
_TILE = 64
_BOUNDARY = 304
_TRAINING_STRIDE = 9
_ASSESSED_STRIDE = 12


def sample_images(*, image_size: int, channels: int = 3) -> tuple[ImageSet, ImageSet]:
    """(1350 training images, 494 images to assess): tiles of 64 x 64 pixels from disjoint regions, resized to `image_size`.

    Names tell the region and the tile's upper left corner in the picture: `sample/assessed/row060_col316.png`. The picture is
    read from scikit-image's own folder; nothing is downloaded.

    Raises:
        FileNotFoundError: scikit-image is not installed, or without its pictures.
        ValueError: an argument out of range.
    """
    check_size(image_size, channels)
    with Image.open(_picture()) as image:
        picture = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(
            image.height, image.width, channels
        )
    return (
        _tiles(picture, "training", range(0, _BOUNDARY), _TRAINING_STRIDE, image_size),
        _tiles(picture, "assessed", range(_BOUNDARY, picture.shape[1]), _ASSESSED_STRIDE, image_size),
    )


def _picture() -> pathlib.Path:
    # The file itself, not skimage.data.immunohistochemistry(), which would download it where it is missing.
    package = importlib.util.find_spec("skimage")
    for folder in (package.submodule_search_locations if package else None) or ():
        picture = pathlib.Path(folder) / "data" / "ihc.png"
        if picture.is_file():
            return picture
    raise FileNotFoundError(
        "the sample images come with scikit-image, and its data/ihc.png is not there; install scikit-image, or name a folder of your own"
    )


def _tiles(picture: np.ndarray, region: str, columns: range, stride: int, image_size: int) -> ImageSet:
    corners = [
        (row, column)
        for row in range(0, picture.shape[0] - _TILE + 1, stride)
        for column in range(columns.start, columns.stop - _TILE + 1, stride)
    ]
    return ImageSet(
        names=tuple(f"sample/{region}/row{row:03}_col{column:03}.png" for row, column in corners),
        pixels=np.stack(
            [resize_bytes(picture[row : row + _TILE, column : column + _TILE], image_size) for row, column in corners]
        ),
        resized_up=len(corners) if image_size > _TILE else 0,
    )
