"""What the headers of a source's files say of patients and scanners. No pixels are decoded."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping

from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.dicom_content import BEGINNING, is_dicom
from examine_jax.images.decoding.file_part import FilePart, part_bytes
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.sources.files_reading import MAX_BYTES, MAX_PIXELS
from examine_jax.images.sources.registry import scan_of
from examine_jax.images.sources.scan import Candidate


@dataclasses.dataclass(frozen=True, eq=False)
class SourceHeaders:
    """The headers of one source.

    Attributes:
        identities: of each DICOM file, by the file's name.
        unread: the names of DICOM files whose header cannot be read.
        files: the names of all files that were found, read or not.
    """

    identities: Mapping[str, HeaderIdentity]
    unread: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


NO_HEADERS = SourceHeaders({})


def read_headers(
    source: str | os.PathLike[str] | None,
    on_progress: Callable[[int, int], None] | None = None,
) -> SourceHeaders:
    """Reads the headers of all DICOM files of a folder, a list or an archive.

    Files that hold no image, such as reports, are read too: their paths name patients as well.

    Args:
        source: as in `load_images`; sources that read no files have no headers. None: likewise.
        on_progress: called as on_progress(files done, DICOM files in all), if there are any.

    Raises:
        FileNotFoundError, ValueError, OSError: as `load_images`.
    """
    found = None if source is None else scan_of(source)
    if found is None:
        return NO_HEADERS
    files = (*found.candidates, *found.slides)
    dicom = [candidate for candidate in files if _is_dicom(candidate)]
    names = (*(one.name for one in files), *(one.name for one in found.skipped))
    if not dicom:
        return SourceHeaders({}, files=names)
    decoder = ImageDecoder(1, 1, None, MAX_PIXELS, MAX_BYTES, Budget(MAX_PIXELS))
    places = [candidate.place for candidate in dicom if isinstance(candidate.place, str | FilePart)]
    identities: dict[str, HeaderIdentity] = {}
    unread = []
    with contextlib.closing(ProtectedDecoder.of(decoder).identities(places)) as results:
        for done, (candidate, result) in enumerate(zip(dicom, results), 1):
            if isinstance(result, HeaderIdentity):
                identities[candidate.name] = result
            else:
                unread.append(candidate.name)
            if on_progress is not None:
                on_progress(done, len(dicom))
    return SourceHeaders(identities, tuple(unread), names)


def _is_dicom(candidate: Candidate) -> bool:
    place = candidate.place
    try:
        if isinstance(place, FilePart):
            return is_dicom(part_bytes(place, BEGINNING))
        if isinstance(place, str):
            with open(place, "rb") as stream:
                return is_dicom(stream.read(BEGINNING))
    except (OSError, UnreadableImage):
        pass  # Reading the image gives the reason.
    return False
