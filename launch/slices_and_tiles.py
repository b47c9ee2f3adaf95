"""The flags that say which slices of volumes and tiles of slides are read, and from where."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from examine_jax.common.settings import setting

if TYPE_CHECKING:
    from examine_jax.images.decoding.slicing import Slicing
    from examine_jax.images.decoding.tiling import Tiling


@dataclasses.dataclass(frozen=True)
class SliceAndTileFlags:
    """Which slices and tiles are images, and what is kept of files at URLs; None: the default."""

    slice_axis: Literal["axial", "coronal", "sagittal"] | None = setting(
        None,
        "The plane of the slices of volumes that are read. If not given: axial; of DICOM series, "
        "as they were taken.",
    )
    slice_step: int | None = setting(
        None,
        "Every how many slices of a volume or DICOM series one is read. If not given: each.",
        minimum=1,
    )
    mpp: float | None = setting(
        None, "Micrometres a pixel of whole slides. If not given: 0.5.", minimum=0.01
    )
    tile_size: int | None = setting(
        None, "The side of a slide's tiles in such pixels. If not given: 256.", minimum=16
    )
    tissue: float | None = setting(
        None,
        "Read tiles of which this share is tissue. If not given: 0.25.",
        minimum=0.0,
        maximum=1.0,
    )
    overlap: int | None = setting(
        None, "How many such pixels neighbouring tiles share. If not given: 0.", minimum=0
    )
    level: int | None = setting(
        None, "The level of a slide's pixels, 0 the finest, in place of --mpp.", minimum=0
    )
    cache: str | None = setting(
        None,
        "Keep copies of the files at URLs here. If not given: none are kept.",
        metavar="FOLDER",
    )

    def __post_init__(self) -> None:
        if self.mpp is not None and self.level is not None:
            raise ValueError("--mpp and --level both say how fine a slide's pixels are; give one")

    @property
    def slicing(self) -> "Slicing":
        """Which slices of volumes are images."""
        from examine_jax.images.decoding.slicing import slicing_of

        return slicing_of(self.slice_axis, self.slice_step)

    @property
    def tiling(self) -> "Tiling":
        """Which tiles of slides are images."""
        from examine_jax.images.decoding.tiling import tiling_of

        return tiling_of(self.mpp, self.tile_size, self.tissue, self.overlap, self.level)


NAMES = tuple(field.name for field in dataclasses.fields(SliceAndTileFlags))
