"""What the headers of a source's files say of patients and scanners. No pixels are decoded."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping

from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.dicom_content import BEGINNING, is_dicom
from examine_jax.images.decoding.file_part import FilePart, RemoteFile, part_bytes
from examine_jax.images.decoding.header_identity import HEADER_BYTES, HeaderIdentity
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.names import file_and_place
from examine_jax.images.sources.files_reading import MAX_BYTES, MAX_PIXELS
from examine_jax.images.sources.registry import scan_of
from examine_jax.images.sources.scan import (
    IMAGE_SUFFIXES,
    SLIDE_SUFFIXES,
    Candidate,
    suffix_of,
)
from examine_jax.images.sources.series_slices import DICOM_SUFFIXES


@dataclasses.dataclass(frozen=True, eq=False)
class SourceHeaders:
    """The headers of one source.

    Attributes:
        identities: of each DICOM file, by the file's name.
        unread: the names of DICOM files whose header cannot be read, or names no patient and no
            study: cut files end before.
        files: the names of all files that were found, read or not.
    """

    identities: Mapping[str, HeaderIdentity]
    unread: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


NO_HEADERS = SourceHeaders({})


def identity_of_image(identities: Mapping[str, HeaderIdentity], name: str) -> HeaderIdentity | None:
    """What the header of an image's file says; None: it has none.

    Args:
        identities: by the files' names.
        name: the image's. A file's own name may look like a frame's: `IM[1]`.
    """
    own = identities.get(name)
    return identities.get(file_and_place(name)[0]) if own is None else own


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
    places = {one.name: place for one in files if (place := _dicom_place(one)) is not None}
    names = (*(one.name for one in files), *(one.name for one in found.skipped))
    if not places:
        return SourceHeaders({}, files=names)
    decoder = ImageDecoder(1, 1, None, MAX_PIXELS, MAX_BYTES, Budget(MAX_PIXELS))
    identities: dict[str, HeaderIdentity] = {}
    unread = []
    protected = ProtectedDecoder.of(decoder)
    with contextlib.closing(protected.identities(list(places.values()))) as results:
        for done, (name, result) in enumerate(zip(places, results), 1):
            if isinstance(result, HeaderIdentity):
                identities[name] = result
            says_nothing = isinstance(result, HeaderIdentity) and not (
                result.patient or result.study or result.people
            )
            # Whether a file at a URL is DICOM is known only now: None says that it is not.
            if says_nothing or isinstance(result, UnreadableImage):
                unread.append(name)
            if on_progress is not None:
                on_progress(done, len(places))
    return SourceHeaders(identities, tuple(unread), names)


def _dicom_place(candidate: Candidate) -> str | FilePart | RemoteFile | None:
    """Where the beginning of a DICOM file is; None: it is none."""
    place = candidate.place
    try:
        if isinstance(place, RemoteFile):
            return _beginning(place) if _may_be_dicom(candidate.name) else None
        if isinstance(place, FilePart):
            return place if is_dicom(part_bytes(place, BEGINNING)) else None
        if isinstance(place, str):
            with open(place, "rb") as stream:
                return place if is_dicom(stream.read(BEGINNING)) else None
    except (OSError, UnreadableImage):
        pass  # Reading the image gives the reason.
    return None


def _may_be_dicom(name: str) -> bool:
    suffix = suffix_of(name)
    return suffix in DICOM_SUFFIXES or suffix not in IMAGE_SUFFIXES | SLIDE_SUFFIXES


def _beginning(place: RemoteFile) -> RemoteFile:
    """The part of a file at a URL that holds its header; all of it where a copy is kept."""
    if place.part is not None or place.cache is not None:
        return place
    return dataclasses.replace(place, size=min(place.size, HEADER_BYTES), version="")
