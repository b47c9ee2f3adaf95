"""A .zip, .tar or .tar.gz file of image files, read in place."""

import dataclasses
import os

from examine_jax.images.decoding.file_part import OpenArchive, open_here
from examine_jax.images.image_set import ImageSet
from examine_jax.images.sources.archive_members import scan_members
from examine_jax.images.sources.files import load_files
from examine_jax.images.sources.files_reading import check_no_split
from examine_jax.images.sources.files_stream import stream_files
from examine_jax.images.sources.scan import Scan
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.sources.tar_members import TarFile, tar_members
from examine_jax.images.sources.zip_members import zip_members
from examine_jax.images.streamed_images import StreamedImages

_ZIP, _TAR = ".zip", (".tar", ".tar.gz", ".tgz")
ARCHIVE_SUFFIXES = (_ZIP, *_TAR)


@dataclasses.dataclass(frozen=True)
class ArchiveSource:
    """A .zip, .tar, .tar.gz or .tgz file."""

    on_demand: bool = True
    dicom: bool = True

    def recognises(self, name: str) -> bool:
        return name.lower().endswith(ARCHIVE_SUFFIXES) and os.path.isfile(name)

    def scan(self, name: str) -> Scan:
        return scan_archive(name)

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        check_no_split(name, "archive", options.split)
        return load_files(scan_archive, name, options)

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        check_no_split(name, "archive", options.split)
        return stream_files(scan_archive, name, options)


def scan_archive(path: str | os.PathLike[str]) -> Scan:
    """Finds the image files in an archive, as `scan_folder` finds those below a folder.

    An image's name is its path in the archive. Members that are not read are in `skipped`: those
    with an absolute path or a `..` in it, links, devices, encrypted ones, those of a compression
    other than deflate, those that overlap others, archives within the archive, and those that
    inflate to more than 64 MiB and 250 times their size. Of several members with one path, the last
    counts.

    A .zip or .tar file is read where it lies: each member when it is decoded, in memory. The image
    files in a .tar.gz file are written once to a temporary file without a name (in TMPDIR), whose
    room the system takes back when the process ends, however it ends.

    Raises:
        ValueError: a damaged archive, or one whose files inflate to more than 1 GiB and 250 times
            its size.
        OSError: the archive cannot be read, or there is no room for the temporary file.
    """
    name = os.fspath(path)
    return scan_archive_at(name, os.path.getsize(name), open_here)


def scan_archive_at(name: str, size: int, opened: OpenArchive) -> Scan:
    """As `scan_archive`, of an archive that may lie elsewhere.

    Args:
        name: its path or URL.
        size: its bytes.
        opened: opens it for reading, by this name.
    """
    if name.partition("?")[0].lower().endswith(_ZIP):
        return scan_members(name, size, zip_members(name, opened), None)
    file = TarFile.of(name, size, opened)
    return scan_members(name, size, tar_members(file), file.unpacked)
