"""Single images of a folder as they are stored: at their full size, upright, in 8 bits."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.intensity import GreyScale
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.names import encodable
from examine_jax.images.sources.scan import scan_folder

# As sources/folder_reading.py names them.
_FRAME = re.compile(r"(.*)\[(\d+)\](?:~\d+)?", re.DOTALL)
_MAX_PIXELS, _MAX_BYTES = 100_000_000, 2**30  # as `load_folder`
_SHOWN_BY_BROWSERS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp")


@dataclasses.dataclass(frozen=True)
class StoredImages:
    """The images of a folder by name, each decoded when it is asked for, in a worker process.

    Grey values of more than 8 bits without a window are shown by the image's own range, as
    decoding/describing.py states.

    Attributes:
        folder: that holds them.
        places: the path and the frame of each image, by name.
        bits_stored, intensity_range, dicom_window: as in `load_folder`.
    """

    folder: pathlib.Path
    places: dict[str, tuple[str, int]]
    bits_stored: int | None = None
    intensity_range: tuple[float, float] | None = None
    dicom_window: int = 1

    @classmethod
    def of(
        cls,
        folder: str | os.PathLike[str],
        names: Sequence[str],
        *,
        bits_stored: int | None = None,
        intensity_range: tuple[float, float] | None = None,
        dicom_window: int = 1,
    ) -> "StoredImages":
        """Finds some images of a folder. Decodes nothing.

        Args:
            folder: as in `load_folder`.
            names: of the images, as `load_folder` gives them. Names that are not there any more
                are left out.
            bits_stored, intensity_range, dicom_window: as in `load_folder`.

        Raises:
            OSError: the folder cannot be listed.
        """
        paths = {candidate.name: candidate.path for candidate in scan_folder(folder).candidates}
        places = {}
        for name in names:
            frame = _FRAME.fullmatch(name)
            if name in paths:
                places[name] = (paths[name], 0)
            elif frame is not None and frame[1] in paths:
                places[name] = (paths[frame[1]], int(frame[2]))
        return cls(pathlib.Path(folder), places, bits_stored, intensity_range, dicom_window)

    def read(self, name: str) -> UInt8[np.ndarray, "height width channels"]:
        """The pixels [H, W, 1 or 3] of one image.

        Raises:
            KeyError: there is no such image.
            UnreadableImage: a ValueError: the file cannot be read.
        """
        path, frame = self.places[name]
        decoder = ImageDecoder(
            image_size=1,
            channels=1,
            bits_stored=self.bits_stored,
            max_pixels=_MAX_PIXELS,
            max_bytes=_MAX_BYTES,
            budget=Budget(_MAX_PIXELS),
            grey_scale=GreyScale(self.intensity_range, self.dicom_window),
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
        """The file that holds this image alone; None: there is none."""
        if name not in self.places:
            return None
        path = self.places[name][0]
        # A file's own name may look like a frame's.
        own = encodable(os.path.basename(path)) == name.rpartition("/")[2]
        return None if _FRAME.fullmatch(name) and not own else pathlib.Path(path)
