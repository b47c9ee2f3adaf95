"""File names that can be written anywhere, whatever bytes they hold."""

import os
import re
from collections.abc import Iterable

from examine_jax.images.remote_access import without_secrets

# What follows a file's name: a volume's slice, a slide's tile, or a frame or page.
_PLACE = re.compile(r"(\?[xyz]=\d+|\?x=\d+&y=\d+&w=\d+|\[\d+\])(~\d+)?\Z")


def encodable(name: str) -> str:
    """The name with each byte that is not UTF-8 written as `\\xNN`."""
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")


def unique_encodable(names: Iterable[str]) -> tuple[str, ...]:
    """`encodable` of each of these different names; the results differ too.

    Where a file is named `\\xff.png`, with a backslash, beside one whose first byte is 255, the
    second gets a `~2`.
    """
    originals = tuple(names)
    # Names that need no escape stay as they are.
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
    """A path as one printable line, for messages; a URL without its secrets."""
    text = encodable(without_secrets(os.fspath(path)))
    return text if text.isprintable() else repr(text)


def file_and_place(name: str) -> tuple[str, str]:
    """An image's name as its file's, and what says which image of the file it is."""
    found = _PLACE.search(name)
    return (name, "") if found is None else (name[: found.start()], found[0])
