"""Single images of files as they are stored: at their full size, upright, in 8 bits."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.file_part import Place, StackedFiles
from examine_jax.images.decoding.intensity import GreyScale
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import (
    HALF_MICROMETRE,
    SlideTile,
    Tiling,
    place_in_slide,
)
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.names import encodable
from examine_jax.images.sources.registry import scan_of
from examine_jax.images.sources.scan import Scan
from examine_jax.images.sources.series_slices import with_series

# As sources/files_reading.py names them.
_FRAME = re.compile(r"(.*)(?:\[(\d+)\]|\?[xyz]=(\d+))(?:~\d+)?", re.DOTALL)
_MAX_PIXELS, _MAX_BYTES = 100_000_000, 2**30  # as `load_folder`
_VOLUMES = (".nii", ".nii.gz")
_SHOWN_BY_BROWSERS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp")


@dataclasses.dataclass(frozen=True)
class StoredImages:
    """The images of a folder, list or archive by name, each decoded when it is asked for.

    Worker processes decode them.

    Grey values of more than 8 bits without a window are shown by the image's own range, as
    decoding/describing.py states.

    Attributes:
        folder: that holds them, their list or their archive.
        places: the file and the frame of each image, by name.
        bits_stored, intensity_range, dicom_window: as in `load_folder`.
        slicing, tiling: as in `load_images`.
        held: keeps open what the places lead to.
    """

    folder: pathlib.Path
    places: dict[str, tuple[Place, int]]
    bits_stored: int | None = None
    intensity_range: tuple[float, float] | None = None
    dicom_window: int = 1
    slicing: Slicing = EVERY_SLICE
    tiling: Tiling = HALF_MICROMETRE
    held: object = None

    @classmethod
    def of(
        cls,
        source: str | os.PathLike[str],
        names: Sequence[str],
        *,
        bits_stored: int | None = None,
        intensity_range: tuple[float, float] | None = None,
        dicom_window: int = 1,
        slicing: Slicing = EVERY_SLICE,
        tiling: Tiling = HALF_MICROMETRE,
    ) -> "StoredImages":
        """Finds some images of a folder, a list or an archive. Decodes nothing.

        Args:
            source: as in `load_images`.
            names: of the images, as `load_images` gives them. Names that are not there any more
                are left out.
            bits_stored, intensity_range, dicom_window: as in `load_folder`.
            slicing, tiling: as in `load_images`.

        Raises:
            OSError, ValueError: the source cannot be listed.
        """
        path = pathlib.Path(source)
        found = scan_of(source)
        if found is None:
            return cls(path.parent, {})
        files = {candidate.name: candidate.place for candidate in found.candidates}
        slides = {candidate.name: str(candidate.place) for candidate in found.slides}
        places: dict[str, tuple[Place, int]] = {}
        cuts = _cuts(found, names, files, slicing)
        for name in names:
            frame, tile = _FRAME.fullmatch(name), place_in_slide(name)
            if name in files:
                places[name] = (files[name], 0)
            elif tile is not None and tile[0] in slides:
                place = SlideTile(slides[tile[0]], name, *tile[1:], tiling.tile)
                places[name] = (place, 0)
            elif frame is not None and frame[3] and frame[1] in cuts:
                places[name] = (cuts[frame[1]], int(frame[3]))
            elif frame is not None and frame[1] in files:
                places[name] = (files[frame[1]], int(frame[2] or frame[3]))
        folder = path if path.is_dir() else path.parent
        return cls(
            folder,
            places,
            bits_stored,
            intensity_range,
            dicom_window,
            slicing,
            tiling,
            found.held,
        )

    def read(self, name: str) -> UInt8[np.ndarray, "height width channels"]:
        """The pixels [H, W, 1 or 3] of one image.

        Raises:
            KeyError: there is no such image.
            UnreadableImage: a ValueError: the file cannot be read.
        """
        path, frame = self.places[name]
        decoder = _decoder(
            GreyScale(self.intensity_range, self.dicom_window),
            bits_stored=self.bits_stored,
            slicing=self.slicing,
            tiling=self.tiling,
        )
        return ProtectedDecoder.of(decoder).stored(path, frame)

    def read_or(
        self, name: str, other: UInt8[np.ndarray, "h w c"]
    ) -> UInt8[np.ndarray, "height width channels"]:
        """The pixels of one image, or `other` if it is not there or cannot be read any more."""
        try:
            return self.read(name)
        except (KeyError, UnreadableImage):
            return other

    def shown_by_browsers(self, name: str) -> bool:
        """Whether the image is a file of its own that a browser shows as it is."""
        own = self.own_file(name)
        return own is not None and own.name.lower().endswith(_SHOWN_BY_BROWSERS)

    def own_file(self, name: str) -> pathlib.Path | None:
        """The file below the folder that holds this image alone; None: there is none."""
        if name not in self.places:
            return None
        path = self.places[name][0]
        if not isinstance(path, str):
            return None
        file = pathlib.Path(path)
        if ".." in file.parts or not file.is_relative_to(self.folder):
            return None
        # A file's own name may look like a frame's.
        own = encodable(os.path.basename(path)) == name.rpartition("/")[2]
        return None if _FRAME.fullmatch(name) and not own else file


def _cuts(
    found: Scan, names: Sequence[str], files: Mapping[str, Place], slicing: Slicing
) -> dict[str, Place]:
    """The DICOM volumes that are cut in another plane, by the names of their first files.

    They are looked for where an image has such a name; that reads the header of each slice.
    """
    asked = (_FRAME.fullmatch(name) for name in names)
    if slicing.plane is None or not any(
        one and one[3] and one[1] in files and not one[1].lower().endswith(_VOLUMES)
        for one in asked
    ):
        return {}
    decoder = _decoder(GreyScale(), slicing=slicing)
    series = with_series(found, ProtectedDecoder.of(decoder))
    return {one.name: one.place for one in series.candidates if isinstance(one.place, StackedFiles)}


def _decoder(grey_scale: GreyScale, **settings: Any) -> ImageDecoder:
    return ImageDecoder(
        image_size=1,
        channels=1,
        bits_stored=settings.pop("bits_stored", None),
        max_pixels=_MAX_PIXELS,
        max_bytes=_MAX_BYTES,
        budget=Budget(_MAX_PIXELS),
        grey_scale=grey_scale,
        **settings,
    )
