"""The members of a .zip file."""

import functools
import stat
import struct
import zipfile
from collections.abc import Iterator

from examine_jax.images.decoding.file_part import FilePart, OpenArchive, part_bytes
from examine_jax.images.names import shown
from examine_jax.images.sources.archive_members import Member

# What a damaged directory of an archive raises.
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, EOFError)

# Bits of a member's flags: encrypted, strongly encrypted, with an encrypted directory.
_ENCRYPTED = 0x1 | 0x40 | 0x2000

_UNIX = 3

_LEAST_HEADER = 30  # bytes


def zip_members(path: str, opened: OpenArchive) -> Iterator[Member]:
    """The files in a .zip file, in the order of its directory. Inflates nothing.

    Args:
        path: of the archive, or its URL.
        opened: opens it for reading.

    Raises:
        ValueError: it is damaged or no .zip file.
        OSError: it cannot be read.
    """
    try:
        with opened(path) as stream, zipfile.ZipFile(stream) as archive:
            infos = archive.infolist()
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{shown(path)}: damaged, or no .zip file ({reason}); write it anew"
        ) from error
    overlapping = _overlapping(infos)
    for index, info in enumerate(infos):
        name = info.filename.replace("\\", "/")
        if name.endswith("/"):
            continue
        part = FilePart(
            path,
            f"{path}/{name}",
            info.header_offset,
            info.compress_size,
            info.file_size,
            deflated=info.compress_type == zipfile.ZIP_DEFLATED,
            zip_header=True,
            checksum=info.CRC,
        )
        problem = _problem(info)
        if index in overlapping:
            problem = "it overlaps another member, as in an archive made to exhaust a machine"
        yield Member(
            name,
            info.compress_size,
            info.file_size,
            problem,
            functools.partial(_beginning, part, opened),
            functools.partial(_same, part),
        )


def _problem(info: zipfile.ZipInfo) -> str | None:
    mode = info.external_attr >> 16
    if info.create_system == _UNIX and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "a link, device or pipe; only files are read"
    if info.flag_bits & _ENCRYPTED:
        return "encrypted; write the archive without a password"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return (
            f"compressed by method {info.compress_type}; only deflate is read, so write the "
            "archive anew"
        )
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        return "damaged: the archive states two sizes for it"
    return None


def _overlapping(infos: list[zipfile.ZipInfo]) -> set[int]:
    """The indices of members whose bytes belong to others too."""
    found: set[int] = set()
    order = sorted(range(len(infos)), key=lambda index: infos[index].header_offset)
    last, end = 0, 0
    for place, index in enumerate(order):
        info = infos[index]
        if place and info.header_offset < end:
            found |= {last, index}
        own_end = info.header_offset + _LEAST_HEADER + info.compress_size
        if own_end > end:
            last, end = index, own_end
    return found


def _beginning(part: FilePart, opened: OpenArchive, count: int) -> bytes:
    try:
        return part_bytes(part, min(count, part.size), opened)
    except (ValueError, OSError, OverflowError):
        return b""  # Decoding it gives the reason.


def _same(part: FilePart) -> FilePart:
    return part
