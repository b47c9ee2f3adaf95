"""Image names without the parts that hold names or identifiers of headers."""

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.header_identities import identity_of_image
from examine_jax.images.identifying import IdentifyingTerms
from examine_jax.images.names import file_and_place
from examine_jax.images.sources.scan import IMAGE_SUFFIXES, SLIDE_SUFFIXES, suffix_of

# What stands for a part of a path.
HIDDEN = "name"

_CHUNK = re.compile(r"([^\s'\"`,;()\[\]{}<>]+)")
_UNIQUE_IDENTIFIER = re.compile(r"(?<![\d.])\d+(?:\.\d+){3,}(?![\d.]*\d)")

# (kind, text) -> what stands for the text.
Token = Callable[[str, str], str]


@dataclasses.dataclass(frozen=True, eq=False)
class HiddenNames:
    """Hides parts of paths: each is replaced by `name-` and a keyed hash of it.

    Other parts stay, and a file's ending does. So folders remain folders, and one part has the same
    replacement everywhere.

    Attributes:
        terms: the names and identifiers that must not be shown.
        token: makes what stands for a part.
        all_parts: all parts are hidden, whatever they hold.
        folders: paths of folders whose last part is hidden for all files in them.
    """

    terms: IdentifyingTerms
    token: Token
    all_parts: bool = False
    folders: frozenset[str] = frozenset()
    _known: dict[tuple[object, ...], str] = dataclasses.field(default_factory=dict, repr=False)

    def name(self, name: str, own: HeaderIdentity | None = None) -> str:
        """An image's or a file's name as it may be shown.

        Args:
            name: as in `ImageSet.names`, or a file's.
            own: the header of its file, if it has one.
        """
        file, place = file_and_place(name)
        folders, slash, last = file.rpartition("/")
        stem, suffix = _split(last)
        shown, path = [], ""
        for part in folders.split("/"):
            path += f"{part}/"
            hidden = path in self.folders
            shown.append(self.token(HIDDEN, part) if hidden else self._part(part, own))
        return "/".join(shown) + slash + self._part(stem, own) + suffix + place

    def path(self, path: str) -> str:
        """A path of the user's as it may be shown."""
        if self.all_parts:
            return self.token("path", path)
        return self.name(path.replace("\\", "/") if os.name == "nt" else path)

    def text(self, text: str, known: Mapping[str, str]) -> str:
        """A message as it may be shown.

        Args:
            text: the message.
            known: what may be shown in place of some names.
        """
        for name in sorted((name for name in known if name in text), key=len, reverse=True):
            text = text.replace(name, known[name])

        if not self.terms:
            return text
        text = _UNIQUE_IDENTIFIER.sub(lambda found: self._part(found[0], None), text)
        pieces = _CHUNK.split(text)
        between, chunks = pieces[::2], pieces[1::2]
        shown = [self.name(one) if _looks_like_a_path(one) else one for one in chunks]
        # Names have spaces: a word is hidden too if one beside it is, and both identify.
        for order, step in ((range(1, len(chunks)), -1), (range(len(chunks) - 2, -1, -1), 1)):
            for here in order:
                beside = here + step
                if shown[beside] != chunks[beside] and between[max(here, beside)].isspace():
                    shown[here] = self.name(chunks[here])
        return "".join(one for pair in zip(between, (*shown, "")) for one in pair)

    def _part(self, part: str, own: HeaderIdentity | None) -> str:
        if part in ("", ".", ".."):
            return part
        # Folders recur. Of a header, no more than this counts.
        key = (part,) if own is None else (part, own.people[:1], own.identifiers[:1])
        shown = self._known.get(key)
        if shown is None:
            hidden = self.all_parts or self.terms.identify(part, own)
            shown = self._known[key] = self.token(HIDDEN, part) if hidden else part
        return shown


def identifying_folders(
    terms: IdentifyingTerms, identities: Mapping[str, HeaderIdentity]
) -> frozenset[str]:
    """The paths of folders whose last part identifies by the header of a file in them.

    It does so for the files without a header beside that file too.

    Args:
        terms: of all headers.
        identities: by the names of the files that have a header.
    """
    found: dict[tuple[object, ...], bool] = {}
    for name, own in identities.items():
        path = ""
        for part in name.split("/")[:-1]:
            path += f"{part}/"
            key = (path, own.people[:1], own.identifiers[:1])
            if key not in found:
                found[key] = part not in ("", ".", "..") and terms.identify(part, own)
    return frozenset(str(key[0]) for key, identifies in found.items() if identifies)


def hidden_names(
    names: Sequence[str], hide: HiddenNames, identities: Mapping[str, HeaderIdentity]
) -> tuple[str, ...]:
    """The names as they may be shown, in order.

    Args:
        names: which all differ.
        hide: what hides.
        identities: by the names of the files that have a header.

    Raises:
        ValueError: two of the results are equal.
    """
    found = tuple(hide.name(name, identity_of_image(identities, name)) for name in names)
    if len(set(found)) < len(set(names)):
        raise ValueError("two names would become the same; name another key by --id_key=FILE")
    return found


def changed(names: Iterable[str], shown: Iterable[str]) -> dict[str, str]:
    """What is shown for each name that is shown otherwise."""
    return {name: other for name, other in zip(names, shown, strict=True) if name != other}


def _looks_like_a_path(chunk: str) -> bool:
    return any(one in "/^_\\" or one.isdecimal() for one in chunk)


def _split(name: str) -> tuple[str, str]:
    """A file's name, and its ending if it is one of an image. UIDs have dots as well."""
    suffix = suffix_of(name)
    if suffix not in IMAGE_SUFFIXES | SLIDE_SUFFIXES:
        return name, ""
    return name[: len(name) - len(suffix)], name[len(name) - len(suffix) :]
