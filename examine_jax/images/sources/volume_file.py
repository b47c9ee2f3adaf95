"""A NIfTI file: its slices are images."""

import dataclasses
import os

from examine_jax.images.image_set import ImageSet
from examine_jax.images.sources.files import load_files
from examine_jax.images.sources.files_reading import check_no_split
from examine_jax.images.sources.files_stream import stream_files
from examine_jax.images.sources.scan import Scan, sorted_scan
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.streamed_images import StreamedImages


@dataclasses.dataclass(frozen=True)
class VolumeSource:
    """A .nii or .nii.gz file. Its slices are named as in a folder that holds it alone."""

    on_demand: bool = True
    dicom: bool = True

    def recognises(self, name: str) -> bool:
        return name.lower().endswith((".nii", ".nii.gz")) and os.path.isfile(name)

    def scan(self, name: str) -> Scan:
        return scan_volume(name)

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        check_no_split(name, "volume", options.split)
        return load_files(scan_volume, name, options)

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        check_no_split(name, "volume", options.split)
        return stream_files(scan_volume, name, options)


def scan_volume(path: str | os.PathLike[str]) -> Scan:
    """The file alone. Reads nothing."""
    return sorted_scan({os.path.basename(path): os.fspath(path)}, {}, {})
