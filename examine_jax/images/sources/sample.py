"""The sample: tiles of scikit-image's picture of colonic glands (512 x 512 pixels)."""

import dataclasses
import importlib.util
import pathlib

import numpy as np
from PIL import Image

from examine_jax.images.decoding.describing import Describe, described_here, stacked
from examine_jax.images.decoding.resize import ImageSize, checked, is_smaller, resize_bytes
from examine_jax.images.image_set import ImageSet
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.streamed_images import StreamedImages

# Training tiles come from the columns left of 304, assessed tiles from the rest: they share no
# pixel. Tiles overlap their neighbours, because one picture holds few. 64 pixels show a few cells;
# a stride of 12 gives 494 assessed tiles, near the paper's 500.
_TILE = 64
_BOUNDARY, _WIDTH = 304, 512
# The columns of each region, and the stride.
_REGIONS = {"training": (range(_BOUNDARY), 9), "assessed": (range(_BOUNDARY, _WIDTH), 12)}


@dataclasses.dataclass(frozen=True)
class SampleSource:
    """ "sample:training" and "sample:assessed"."""

    on_demand: bool = False

    def recognises(self, name: str) -> bool:
        return name in {f"sample:{region}" for region in _REGIONS}

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        if options.split is not None:
            raise ValueError(f"{name} has no split {options.split!r}; leave it out")
        return sample_region(
            name.partition(":")[2],
            image_size=options.image_size,
            channels=options.channels,
            describe=options.describe,
        )

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        raise ValueError(f"{name} is read whole; load it with load_images")


def sample_images(
    *, image_size: ImageSize, channels: int = 3, describe: Describe | None = None
) -> tuple[ImageSet, ImageSet]:
    """Two sets of tiles of 64 x 64 pixels from disjoint regions of the picture, resized.

    Names give the region and the tile's upper left corner: `sample/assessed/row060_col316.png`. The
    picture is read from scikit-image's folder; nothing is downloaded.

    Args:
        image_size: (rows, columns) of the result; one number: a square.
        channels: 1 (grey) or 3 (colour).
        describe: as in `load_images`.

    Returns:
        1350 training images, and 494 images to assess.

    Raises:
        FileNotFoundError: scikit-image is not installed, or without its pictures.
        ValueError: an argument is out of range.
    """
    training, assessed = (
        sample_region(region, image_size=image_size, channels=channels, describe=describe)
        for region in _REGIONS
    )
    return training, assessed


def sample_region(
    region: str, *, image_size: ImageSize, channels: int = 3, describe: Describe | None = None
) -> ImageSet:
    """One of the two sets of `sample_images`: "training" or "assessed"."""
    size = checked(image_size, channels)
    with Image.open(_picture()) as image:
        stored = np.asarray(image.convert("RGB"))
        picture = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(
            image.height, image.width, channels
        )
    columns, stride = _REGIONS[region]
    describing = None if describe is None else (describe, stored)
    return _tiles(picture, region, columns, stride, size, describing)


def _picture() -> pathlib.Path:
    # Not skimage.data.immunohistochemistry(): that downloads a missing picture.
    package = importlib.util.find_spec("skimage")
    for folder in (package.submodule_search_locations if package else None) or ():
        picture = pathlib.Path(folder) / "data" / "ihc.png"
        if picture.is_file():
            return picture
    raise FileNotFoundError(
        "the sample images come with scikit-image, and its data/ihc.png is not there; install "
        "scikit-image, or name a "
        "folder of your own"
    )


def _tiles(
    picture: np.ndarray,
    region: str,
    columns: range,
    stride: int,
    size: ImageSize,
    describing: tuple[Describe, np.ndarray] | None,
) -> ImageSet:
    corners = [
        (row, column)
        for row in range(0, picture.shape[0] - _TILE + 1, stride)
        for column in range(columns.start, columns.stop - _TILE + 1, stride)
    ]
    descriptions = None
    if describing is not None:
        describe, stored = describing
        descriptions = stacked(
            [
                described_here(describe, stored[row : row + _TILE, column : column + _TILE])
                for row, column in corners
            ]
        )
    return ImageSet(
        names=tuple(f"sample/{region}/row{row:03}_col{column:03}.png" for row, column in corners),
        pixels=np.stack(
            [
                resize_bytes(picture[row : row + _TILE, column : column + _TILE], size)
                for row, column in corners
            ]
        ),
        resized_up=len(corners) if is_smaller((_TILE, _TILE), size) else 0,
        descriptions=descriptions,
        stored_sizes=np.full((len(corners), 2), _TILE, np.int32),
    )
