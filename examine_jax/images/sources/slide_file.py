"""A whole slide: its tiles are images."""

import dataclasses
import os

from examine_jax.images.image_set import ImageSet
from examine_jax.images.names import encodable
from examine_jax.images.sources.files import load_files
from examine_jax.images.sources.files_reading import check_no_split
from examine_jax.images.sources.files_stream import stream_files
from examine_jax.images.sources.scan import (
    TIFF_SUFFIXES,
    Candidate,
    Scan,
    is_slide,
    suffix_of,
)
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.streamed_images import StreamedImages


@dataclasses.dataclass(frozen=True)
class SlideSource:
    """A file of a slide's format, or a TIFF, which is then read as a slide.

    In a folder, a TIFF without smaller levels is a picture. Of a slide in several DICOM files, any
    one names it.
    """

    on_demand: bool = True
    dicom: bool = True

    def recognises(self, name: str) -> bool:
        if not os.path.isfile(name):
            return False
        return suffix_of(name) in TIFF_SUFFIXES or is_slide(name)

    def scan(self, name: str) -> Scan:
        return scan_slide(name)

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        check_no_split(name, "slide", options.split)
        return load_files(scan_slide, name, options)

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        check_no_split(name, "slide", options.split)
        return stream_files(scan_slide, name, options)


def scan_slide(path: str | os.PathLike[str]) -> Scan:
    """The slide alone. Reads nothing."""
    slide = Candidate(encodable(os.path.basename(path)), os.fspath(path))
    return Scan((), (), {}, slides=(slide,))
