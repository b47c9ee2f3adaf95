"""Finds parts of paths that hold names or identifiers of headers.

A part of a path, and each name and identifier, is taken as its runs of letters and of digits,
without case, accents and what separates them. A part is identifying if some of its neighbouring
runs, put together, are a name, an identifier, a date of birth or an institution of any header.

Accidents are avoided: words that many headers and folders have (`anonymous`, `series`) are no
names, names have three letters at least, and identifiers of few digits count in the paths of their
own files alone, where they are all of a part.
"""

import dataclasses
import functools
import re
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator

from examine_jax.images.decoding.header_identity import HeaderIdentity

_RUN = re.compile(r"[^\W\d_]+|\d+")
_BYTE = re.compile("\\\\x([0-9a-f]{2})|[\udc80-\udcff]")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SPELT_OUT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae", "œ": "oe"}
)
_FEWEST_LETTERS = 3  # of a name
_FEWEST_JOINED = 4  # of a name put together, and of an identifier
_FEWEST_DIGITS = 5  # of an identifier of digits alone, without zeros before them
_LONG_NAME = 5  # letters of a name that is found at the beginning or end of a run too
_MOST_RUNS = 12  # that are put together

# Words of headers and paths that are neither names nor identifiers.
_HARMLESS = """
    abdomen adult anon anonym anonymised anonymized anonymous axial baseline body brain breast case
    chest child contrast control coronal data dcm dicom dicomdir doctor dose enhanced exam export
    female first firstname follow followup head hospital image images img knee last lastname left
    lung male medical name nifti nii none null operator patient patients pelvis person phantom
    physician pid radiology right sagittal sample scan scans scout series serie session slice spine
    studies study subject test tests thorax train training unknown unnamed unspecified validation
    view volume
"""
_WORDS = frozenset(_HARMLESS.split())
# Words that stand before an identifier or a name.
_BEFORE = (
    *("patient", "patients", "pat", "pid", "pt", "subject", "subj", "sub", "case", "mrn", "id"),
    *("name", "mrs", "mr", "ms", "dr", "herr", "frau", "p", "s", "no", "nr", "acc", "accession"),
)


@dataclasses.dataclass(frozen=True)
class IdentifyingTerms:
    """The names and identifiers of some headers, as runs put together.

    Attributes:
        joined: all of them.
        names: the parts of people's names.
        longest: characters of the longest.
    """

    joined: frozenset[str]
    names: frozenset[str]
    longest: int

    @classmethod
    def of(cls, identities: Iterable[HeaderIdentity]) -> "IdentifyingTerms":
        """The terms of these headers."""
        joined: set[str] = set()
        names: set[str] = set()
        for name in _distinct(identities, "people"):
            for parts in _names(name):
                if any(part.isdecimal() for part in parts):  # A pseudonym, as TRIAL-0001.
                    joined.update(_identifier(parts) if _is_long("".join(parts)) else ())
                else:
                    names.update(part for part in parts if _is_name(part))
                    joined.update(_joined_name(parts))
        for text in (
            *_distinct(identities, "identifiers"),
            *_distinct(identities, "unique_identifiers"),
            *_distinct(identities, "places"),
        ):
            joined.update(
                term
                for runs in _spellings(text)
                if _is_long("".join(runs))
                for term in _identifier(runs)
            )
        for text in _distinct(identities, "birth_dates"):
            joined.update(_date(text))
        joined |= names
        return cls(frozenset(joined), frozenset(names), max(map(len, joined), default=0))

    def __bool__(self) -> bool:
        return bool(self.joined)

    def identify(self, part: str, own: HeaderIdentity | None = None) -> bool:
        """Whether a part of a path holds a name or an identifier.

        Args:
            part: without slashes.
            own: the header of the file whose path it is, if it has one.
        """
        return any(self._in_runs(runs, own) for text in _decoded(part) for runs in _spellings(text))

    def _in_runs(self, runs: tuple[str, ...], own: HeaderIdentity | None) -> bool:
        joined = "".join(runs)
        if joined in self.joined or joined.lstrip("0") in self.joined:
            return True
        for start in range(len(runs)):
            term = ""
            for run in runs[start : start + _MOST_RUNS]:
                term += run
                if len(term) > self.longest + _MOST_RUNS:
                    break
                if term in self.joined or (term.isdecimal() and term.lstrip("0") in self.joined):
                    return True
        if any(self._in_long_run(run) for run in runs):
            return True
        return own is not None and _is_own(runs, own)

    def _in_long_run(self, run: str) -> bool:
        if run in _WORDS:
            return False
        for word in _BEFORE:
            if run.startswith(word) and run[len(word) :] in self.names:
                return True
        lengths = range(_LONG_NAME, len(run))
        return any(run[:size] in self.names or run[-size:] in self.names for size in lengths)


def _is_own(runs: tuple[str, ...], own: HeaderIdentity) -> bool:
    """Whether a part is a short identifier of its own file, or has all of a short name."""
    left = list(runs)
    while len(left) > 1 and left[0] in _BEFORE:
        del left[0]
    plain = "".join(left).lstrip("0")
    short, names = _own_terms(own.people[:1], own.identifiers[:1])
    if plain in short or any(len(plain) > 1 and plain in name for name in names):
        return True
    return any(len(name) > 1 and set(name) <= set(runs) for name in names)


@functools.lru_cache(maxsize=4096)
def _own_terms(
    people: tuple[str, ...], identifiers: tuple[str, ...]
) -> tuple[frozenset[str], tuple[tuple[str, ...], ...]]:
    short = {"".join(runs).lstrip("0") for text in identifiers for runs in _spellings(text)}
    names = [parts for name in people for parts in _names(name) if not _WORDS.intersection(parts)]
    return frozenset(short - {""} - _WORDS), tuple(names)


def _distinct(identities: Iterable[HeaderIdentity], field: str) -> Iterator[str]:
    seen: set[tuple[str, ...]] = set()
    found: dict[str, None] = {}
    for identity in identities:
        texts = getattr(identity, field)
        if texts not in seen:
            seen.add(texts)
            found.update(dict.fromkeys(texts))
    return iter(found)


def _decoded(part: str) -> Iterator[str]:
    """A part of a path, and what it says where letters are `%C3%BC` (URLs) or `\\xfc` (bytes)."""
    yield part
    if "%" in part:
        yield urllib.parse.unquote(part)
    # Bytes that are no UTF-8, as Python has them and as `encodable` writes them: mostly Latin-1.
    if _BYTE.search(part):
        yield _BYTE.sub(lambda found: chr(int(found[1] or f"{ord(found[0]):x}"[-2:], 16)), part)


def _spellings(text: str) -> Iterator[tuple[str, ...]]:
    """The runs of a text: with accents left out, and with letters spelt out where that differs."""
    if text.isascii():
        yield _runs(_CAMEL.sub(" ", text))
        return
    apart = _CAMEL.sub(" ", unicodedata.normalize("NFC", text))
    plain = _runs(apart.translate({ord("ß"): "ss", ord("ø"): "o", ord("Ø"): "o"}))
    yield plain
    spelt = _runs(apart.casefold().translate(_SPELT_OUT))
    if spelt != plain:
        yield spelt


def _runs(text: str) -> tuple[str, ...]:
    if text.isascii():
        return tuple(_RUN.findall(text.lower()))
    apart = unicodedata.normalize("NFKD", text.casefold())
    return tuple(_RUN.findall("".join(one for one in apart if not unicodedata.combining(one))))


def _names(name: str) -> Iterator[tuple[str, ...]]:
    """The parts of a name in each of the scripts in which the header has it."""
    for group in name.split("="):
        yield from (runs for runs in _spellings(group) if runs)


def _is_name(part: str) -> bool:
    fewest = _FEWEST_LETTERS if part.isascii() else 2
    return len(part) >= fewest and not part.isdecimal() and part not in _WORDS


def _joined_name(parts: tuple[str, ...]) -> Iterator[str]:
    """A name put together in the ways in which paths have it."""
    if not any(map(_is_name, parts)) and any(part in _WORDS for part in parts):
        return
    first, last = parts[0], parts[1] if len(parts) > 1 else ""
    for text in ("".join(parts), first + last, last + first, last[:1] + first, first + last[:1]):
        if len(text) >= _FEWEST_JOINED and _is_long(text):
            yield text


def _is_long(text: str) -> bool:
    """Whether a text is long enough not to be met by accident."""
    if text in _WORDS:
        return False
    if text.isdecimal():
        return len(text.lstrip("0")) >= _FEWEST_DIGITS
    return len(text) >= _FEWEST_JOINED


def _identifier(runs: tuple[str, ...]) -> Iterator[str]:
    text = "".join(runs)
    yield text
    if text.isdecimal():
        yield text.lstrip("0")


def _date(text: str) -> Iterator[str]:
    digits = "".join(_RUN.findall(text))
    if len(digits) == 8 and digits.isdecimal():
        year, month, day = digits[:4], digits[4:6], digits[6:]
        yield from (digits, day + month + year, month + day + year)
