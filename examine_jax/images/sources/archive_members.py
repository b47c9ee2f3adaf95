"""Which members of an archive are image files, and which are refused and why."""

import collections
import dataclasses
import os
import re
from collections.abc import Callable, Iterable

from examine_jax.images.decoding.dicom_content import BEGINNING, is_dicom
from examine_jax.images.decoding.file_part import FilePart
from examine_jax.images.names import shown
from examine_jax.images.sources.scan import (
    CONFIGURATIONS,
    IMAGE_SUFFIXES,
    LARGEST_CONFIGURATION,
    SLIDE_SUFFIXES,
    Scan,
    is_configuration,
    problem_of,
    sorted_scan,
    suffix_of,
)

# Images compress 100 to 1 at most, empty ones aside. What inflates to more than its size times the
# ratio is a bomb, if it is also large.
BOMB_RATIO = 250
BOMB_MEMBER_BYTES, BOMB_BYTES = 2**26, 2**30

_MOST_MEMBERS = 10_000_000

_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclasses.dataclass(frozen=True)
class Member:
    """A member of an archive other than a folder. Its functions work until the next one comes.

    Attributes:
        name: its path in the archive, with forward slashes.
        stored: the bytes that it takes in the archive; None: not known.
        size: the bytes that it has as a file.
        problem: why it is not read; None: nothing speaks against it.
        read: the first bytes of it, of this number.
        keep: says where its bytes are, for as long as the scan is held.
    """

    name: str
    stored: int | None
    size: int
    problem: str | None
    read: Callable[[int], bytes]
    keep: Callable[[], FilePart]


def nothing_of(count: int) -> bytes:
    """Takes the place of `Member.read` for a member that is not read."""
    return b""


def scan_members(path: str, size: int, members: Iterable[Member], held: object) -> Scan:
    """The image files among an archive's members.

    Args:
        path: of the archive, or its URL.
        size: its bytes.
        members: in the order in which they lie in it.
        held: keeps open what the places lead to.

    Raises:
        ValueError: they inflate to more than an archive of this size may, or are too many.
        OSError: as `Member.keep`.
    """
    found: dict[str, FilePart | str] = {}  # Name -> where it is, or why it is not read.
    results: set[str] = set()  # Folders of this library's results.
    other: collections.Counter[str] = collections.Counter()
    replaced = 0
    for count, member in enumerate(members):
        if count >= _MOST_MEMBERS:
            raise ValueError(
                f"{shown(path)}: more than the {_MOST_MEMBERS} files that an archive may have; "
                "split it"
            )
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if not parts:
            continue
        outside = member.name.startswith("/") or ".." in parts or _DRIVE.match(member.name)
        if not outside and any(part.startswith(".") or part == "__MACOSX" for part in parts):
            continue
        name = member.name if outside else "/".join(parts)
        place = "its path leads out of the archive" if outside else _place(member)
        if place is None:
            if parts[-1] in CONFIGURATIONS and is_configuration(
                member.read(LARGEST_CONFIGURATION + 1)
            ):
                results.add(name.rpartition("/")[0])
            other[suffix_of(name) or "no suffix"] += 1
            continue
        replaced += name in found
        found[name] = place
    places, problems, total = dict[str, FilePart](), dict[str, str](), 0
    for name, place in found.items():
        folder = _folder_of_results(name, results)
        if folder is not None:
            problems[f"{folder}/"] = "a folder of results; its charts are no images to read"
        elif isinstance(place, str):
            problems[name] = place
        else:
            places[name] = place
            total += place.size
    if total > max(BOMB_BYTES, BOMB_RATIO * size):
        raise ValueError(bomb(path, total))
    notes: tuple[str, ...] = ()
    if replaced:
        notes = (f"{replaced} members of the archive have the path of a later one, which is read",)
    return sorted_scan(places, problems, other, notes, held)


def bomb(path: str | os.PathLike[str], size: int) -> str:
    """Why an archive is not read that inflates to this size or more."""
    return (
        f"{shown(path)}: its files take {size} bytes or more, over {BOMB_RATIO} times the "
        "archive's size, as in an archive made to exhaust a machine; unpack it yourself if you "
        "trust it"
    )


def _place(member: Member) -> FilePart | str | None:
    """Where an image file is, or why it is not read; None: it is no image."""
    if member.problem is not None:
        return member.problem
    suffix = suffix_of(member.name)
    if suffix not in IMAGE_SUFFIXES and not is_dicom(member.read(BEGINNING)):
        if suffix in SLIDE_SUFFIXES:
            return "a whole slide in an archive; take it out to have its tiles read"
        if suffix in _ARCHIVES:
            return "an archive within the archive; take it out to have its images read"
        return problem_of(suffix)
    if member.stored is not None and member.size > max(
        BOMB_MEMBER_BYTES, BOMB_RATIO * member.stored
    ):
        return (
            f"{member.size} bytes, over {BOMB_RATIO} times what it takes in the archive, as in one "
            "made to exhaust a machine"
        )
    return member.keep()


def _folder_of_results(name: str, results: set[str]) -> str | None:
    """The outermost folder of results that a member lies in."""
    if not results:
        return None
    parts = name.split("/")
    for depth in range(1, len(parts)):
        folder = "/".join(parts[:depth])
        if folder in results:
            return folder
    return None
