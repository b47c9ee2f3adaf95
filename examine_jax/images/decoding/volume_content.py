"""Whether a file is a NIfTI volume by its first bytes, whatever its name. Imports no package."""

import zlib
from typing import BinaryIO

# The length of a header in either byte order, and its magic bytes with their place.
_HEADERS = (
    (348, 344, b"n+1\0"),
    (540, 4, b"n+2\0"),
)
_BEGINNING = 348
_GZIP = b"\x1f\x8b"


def is_gzipped(stream: BinaryIO) -> bool:
    """Whether a file begins as one that gzip has compressed. The stream is at its beginning."""
    beginning = stream.read(2)
    stream.seek(0)
    return beginning == _GZIP


def is_volume(stream: BinaryIO) -> bool:
    """Whether a file is a NIfTI volume, compressed or not. The stream is at its beginning."""
    beginning = stream.read(_BEGINNING)
    if beginning[:2] == _GZIP:
        inflater = zlib.decompressobj(wbits=31)
        try:
            beginning = inflater.decompress(beginning + stream.read(2**16), _BEGINNING)
        except zlib.error:
            beginning = b""
    stream.seek(0)
    for length, place, magic in _HEADERS:
        lengths = (length.to_bytes(4, "little"), length.to_bytes(4, "big"))
        if beginning[:4] in lengths and beginning[place : place + 4] == magic:
            return True
    return False
