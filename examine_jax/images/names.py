"""File names that can be written anywhere, whatever bytes the file system holds."""

import os
from collections.abc import Iterable


def encodable(name: str) -> str:
    """The name with every byte that is not UTF-8 spelled `\\xNN`; any other name as it is."""
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")


def unique_encodable(names: Iterable[str]) -> tuple[str, ...]:
    """`encodable` of each of these different names, still different from one another.

    A file may really be called `\\xff.png`, backslash and all, beside one whose first byte is 255:
    that one gets a `~2`.
    """
    originals = tuple(names)
    # Names that need no escape keep theirs, whatever comes before them.
    taken = {name for name in originals if encodable(name) == name}
    results = []
    for name in originals:
        result = encodable(name)
        if result != name:
            candidate, count = result, 1
            while candidate in taken:
                count += 1
                candidate = f"{result}~{count}"
            result = candidate
            taken.add(result)
        results.append(result)
    return tuple(results)


def shown(path: str | os.PathLike[str]) -> str:
    """A path as one printable line, for messages."""
    text = encodable(os.fspath(path))
    return text if text.isprintable() else repr(text)
