"""Whether a file is DICOM by its first bytes, whatever its name."""

# Bytes that `is_dicom` looks at: a preamble and "DICM", or the first element of a bare data set.
BEGINNING = 132

# Value representations of elements that a data set may begin with.
_REPRESENTATIONS = frozenset({b"CS", b"DA", b"IS", b"LO", b"SH", b"TM", b"UI", b"UL"})


def is_dicom(beginning: bytes) -> bool:
    """Whether these are the first `BEGINNING` bytes of a DICOM file, with a preamble or without.

    Files without one begin with an element of group 2 (of the file) or 8 (of the image), in any of
    the encodings without compression.
    """
    if beginning[128:132] == b"DICM":
        return True
    little = beginning[:2] in (b"\x02\0", b"\x08\0")
    big = beginning[:2] in (b"\0\x02", b"\0\x08")
    if len(beginning) < BEGINNING or not (little or big):
        return False
    element = int.from_bytes(beginning[2:4], "little" if little else "big")
    if element > 0x70:
        return False
    if beginning[4:6] in _REPRESENTATIONS:
        return True
    length = int.from_bytes(beginning[4:8], "little")
    following = int.from_bytes(beginning[8 + length : 10 + length], "little")
    return little and 2 <= length <= 64 and length % 2 == 0 and following in (2, 8)
