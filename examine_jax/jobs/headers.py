"""What jobs do with headers: groups and modalities of images, and names that may be shown."""

import contextlib
import csv
import dataclasses
import functools
import io
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from examine_jax.common.csv_lines import csv_lines
from examine_jax.common.keyed_names import NameKey, read_or_make_key
from examine_jax.common.mentions import Mentions
from examine_jax.common.private_files import replace_private
from examine_jax.common.processes import is_first
from examine_jax.common.progress import progress_bar
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Shaped
from examine_jax.images import ImageSet, SkippedImage
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.header_identities import (
    NO_HEADERS,
    SourceHeaders,
    identity_of_image,
    read_headers,
)
from examine_jax.images.hidden_names import HIDDEN, HiddenNames, hidden_names, identifying_folders
from examine_jax.images.identifying import IdentifyingTerms
from examine_jax.images.streamed_images import StreamedImages
from examine_jax.labelled.header_groups import (
    HEADER_GROUPS,
    GroupBy,
    groups_of_images,
    header_column,
)

Images = TypeVar("Images", bound=ImageSet | StreamedImages)

# Characters of a unique identifier, which no other text has by accident.
_FEWEST_OF_UNIQUE = 10


@dataclasses.dataclass(frozen=True)
class PrivacySettings:
    """Whether names and identifiers of patients may be in the results."""

    id_key: str | os.PathLike[str] | None = setting(
        None,
        "The file of the key by which names and identifiers are hidden; made if it is not there. "
        "If not given: one in your data folder.",
        metavar="FILE",
    )
    keep_ids: bool = setting(
        False, "Leave names and identifiers of patients in the results as they are."
    )
    anonymous_names: bool = setting(
        False, "Hide all image names, not only those that hold names or identifiers of headers."
    )

    def __post_init__(self) -> None:
        if self.keep_ids and (self.id_key is not None or self.anonymous_names):
            raise ValueError(
                "--keep_ids hides nothing: leave out --id_key and --anonymous_names, or --keep_ids"
            )


HIDE_IDS = PrivacySettings()


@dataclasses.dataclass(frozen=True, eq=False)
class JobHeaders:
    """The headers of a job's images, and what may be shown of them.

    Attributes:
        sources: the headers of each source, by its name.
        privacy: what is hidden.
        outside: folders of results, in which the key must not lie.
        not_beside: files of results, beside which it must not lie.
    """

    sources: Mapping[str, SourceHeaders]
    privacy: PrivacySettings
    outside: tuple[str | os.PathLike[str], ...] = ()
    not_beside: tuple[str | os.PathLike[str], ...] = ()

    @classmethod
    def read(
        cls,
        sources: Iterable[str | os.PathLike[str] | None],
        privacy: PrivacySettings,
        *,
        outside: Iterable[str | os.PathLike[str]] = (),
        not_beside: Iterable[str | os.PathLike[str]] = (),
        hashed: bool = False,
        progress: bool = True,
    ) -> "JobHeaders":
        """Reads the headers of some sources of images.

        Args:
            sources: as in `load_images`; None: there is none.
            privacy: what is hidden.
            outside: folders of results.
            not_beside: files of results.
            hashed: hashes of identifiers are needed, whatever the names hold.
            progress: show a bar on stderr, if there are DICOM files.

        Raises:
            FileNotFoundError, ValueError, OSError: as `load_images`, or as `read_or_make_key` for a
                key that is named.
        """
        given = dict.fromkeys(os.fspath(one) for one in sources if one is not None)
        found = {source: _read_with_bar(source, progress) for source in given}
        headers = cls(found, privacy, tuple(outside), tuple(not_beside))
        needed = hashed and not privacy.keep_ids and any(one.identities for one in found.values())
        if needed or privacy.id_key is not None:
            headers.key  # noqa: B018 - a wrong key is refused before anything is computed
        return headers

    @functools.cached_property
    def key(self) -> NameKey:
        """The key by which names are hidden. It is made when it is first needed."""
        return read_or_make_key(
            self.privacy.id_key, outside=self.outside, not_beside=self.not_beside
        )

    def token(self, kind: str, text: str) -> str:
        """What results show for an identifier."""
        return text if self.privacy.keep_ids else self.key.token(kind, text)

    @functools.cached_property
    def hide(self) -> HiddenNames | None:
        """What hides names; None: nothing needs to be hidden."""
        if self.privacy.keep_ids:
            return None
        identities = tuple(
            one for each in self.sources.values() for one in each.identities.values()
        )
        if not identities and not self.privacy.anonymous_names:
            return None
        terms = IdentifyingTerms.of(identities)
        folders = (
            folder
            for each in self.sources.values()
            for folder in identifying_folders(terms, each.identities)
        )
        return HiddenNames(terms, self.token, self.privacy.anonymous_names, frozenset(folders))

    def of(self, source: str | os.PathLike[str] | None) -> SourceHeaders:
        """The headers of one source."""
        return NO_HEADERS if source is None else self.sources.get(os.fspath(source), NO_HEADERS)

    def identities(
        self, source: str | os.PathLike[str] | None, names: Iterable[str]
    ) -> list[HeaderIdentity | None]:
        """What the header of each image says, by the images' names in the source."""
        found = self.of(source).identities
        return [identity_of_image(found, name) for name in names]

    def names(self, source: str | os.PathLike[str] | None, names: Sequence[str]) -> tuple[str, ...]:
        """The names of a source's images as they may be shown."""
        if self.hide is None:
            return tuple(names)
        return hidden_names(names, self.hide, self.of(source).identities)

    def images(self, source: str | os.PathLike[str] | None, images: Images) -> Images:
        """Images, read or to be read on demand, with names that may be shown."""
        if self.hide is None:
            return images
        return dataclasses.replace(
            images,
            names=self.names(source, images.names),
            skipped=self.skipped(source, images.skipped),
            notes=tuple(map(self.text, images.notes)),
        )

    def skipped(
        self, source: str | os.PathLike[str] | None, skipped: Sequence[SkippedImage]
    ) -> tuple[SkippedImage, ...]:
        """Files that could not be read, with names and reasons that may be shown."""
        if self.hide is None:
            return tuple(skipped)
        names = self.names(source, [item.name for item in skipped])
        return tuple(
            SkippedImage(name, self.text(item.reason)) for name, item in zip(names, skipped)
        )

    def path(self, path: str) -> str:
        """A path of the user's as it may be shown."""
        return path if self.hide is None else self.hide.path(path)

    def plain(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings as plain values, with paths and URLs that may be shown."""

        def is_path(value: Any) -> bool:
            return isinstance(value, str) and (value in self.sources or os.path.exists(value))

        return {
            name: self.path(value) if is_path(value) else value for name, value in settings.items()
        }

    def text(self, text: str) -> str:
        """A message as it may be shown."""
        if self.hide is None:
            return text
        known = {}
        for found in self._mentions.found_in(text):
            for source in self.sources:
                if found in self._files[source]:
                    (shown,) = self.names(source, [found])
                    if shown != found:
                        known[found] = shown
            if found in self._unique_identifiers:
                known[found] = self.token(self._unique_identifiers[found], found)
        return self.hide.text(text, known)

    @functools.cached_property
    def _files(self) -> Mapping[str, frozenset[str]]:
        return {source: frozenset(one.files) for source, one in self.sources.items()}

    @functools.cached_property
    def _mentions(self) -> Mentions:
        """Files, and identifiers of studies and series, which messages name."""
        files = (file for each in self.sources.values() for file in each.files)
        return Mentions.of((*files, *self._unique_identifiers))

    @functools.cached_property
    def _unique_identifiers(self) -> Mapping[str, str]:
        """What each is the identifier of, "study" or "series"."""
        return {
            getattr(one, by): by
            for by in ("series", "study")
            for each in self.sources.values()
            for one in each.identities.values()
            if len(getattr(one, by)) >= _FEWEST_OF_UNIQUE
        }

    @contextlib.contextmanager
    def hiding(self) -> Iterator[None]:
        """Inside, errors are raised with messages that may be shown."""
        try:
            yield
        except (ValueError, OSError, ImportError) as error:
            message = str(error)
            shown = self.text(message)
            if shown == message:
                raise
            raise _like(error, shown) from None

    def column(
        self, source: str | os.PathLike[str] | None, names: Sequence[str], by: str
    ) -> list[str]:
        """The patient, study or series of each image, by its name in the source; "": unknown."""
        return header_column(self.identities(source, names), by, self.token)

    def modalities(
        self, source: str | os.PathLike[str] | None, names: Sequence[str]
    ) -> tuple[str, ...]:
        """The modality of each image, by its name in the source; "": unknown."""
        found = self.identities(source, names)
        return tuple("" if one is None else one.modality for one in found)

    def groups(
        self, source: str | os.PathLike[str] | None, names: Sequence[str], by: GroupBy
    ) -> tuple[Shaped[np.ndarray, " images"], tuple[str, ...]]:
        """The group of each image, by its name in the source, and notes for the user.

        Raises:
            ValueError: as `groups_of_images`.
        """
        shown = self.names(source, names)
        return groups_of_images(by, shown, lambda one: self.column(source, names, one))

    def unread_note(self) -> str:
        """What the user should know of headers that cannot be read; "": nothing."""
        unread = sum(len(one.unread) for one in self.sources.values())
        if not unread or self.privacy.keep_ids or self.privacy.anonymous_names:
            return ""
        return (
            f"DICOM headers that cannot be read, or name no patient and no study: {unread:,}; "
            "names in the paths of their files that no other header has are shown "
            "(--anonymous_names hides all names)"
        )

    def keep_table(self, progress: bool = True) -> tuple[str, ...]:
        """Writes which name and which identifier each token stands for, beside the key.

        A table a source, which its owner alone may read. Nothing is written where nothing is
        hidden; of several processes the first one writes.

        Returns:
            What the user should know, one line each. With `progress` it is printed on stderr too.

        Raises:
            OSError: a table cannot be written.
        """
        if not is_first():
            return ()
        notes = [note] if (note := self.unread_note()) else []
        hashed = "key" in vars(self)
        if hashed and self.key.made:
            notes.append(f"a new key was made in {self.key.file}: keep it")
        for source, headers in self.sources.items() if hashed else ():
            shown = self.names(source, headers.files)
            rows = [pair for pair in zip(shown, headers.files) if pair[0] != pair[1]]
            hidden = len(rows)
            for by in HEADER_GROUPS:
                values = {getattr(one, by) for one in headers.identities.values()} - {""}
                rows += [(self.token(by, value), value) for value in sorted(values)]
            if not rows:
                continue
            where = os.path.abspath(source) if os.path.exists(source) else source
            file = self.key.folder_of_names / f"{self.key.token('source', where)}.csv"
            replace_private(file, _table([(self.path(where), where), *rows]))
            about = f"{hidden:,} of {len(shown):,} file names hold names or identifiers of headers"
            if self.privacy.anonymous_names:
                about = f"{hidden:,} of {len(shown):,} file names are hidden"
            if not hidden:
                about = "patients, studies and series are shown by keyed hashes"
            also = f", shown as {HIDDEN}-..." if hidden else ""
            notes.append(f"{about}{also}; {file} says which is which, to you alone")
        for note in notes if progress else ():
            print(f"names: {note}", file=sys.stderr)
        return tuple(notes)


def names_in_table(
    path: str | os.PathLike[str] | None,
    image_column: str,
    names: Sequence[str] | None,
    shown: Sequence[str] | None,
) -> Sequence[str] | None:
    """The images' names as a user's table has them: as the files are called, or as results are.

    Args:
        path: a CSV file; None, or another file: it names none.
        image_column: the header of its column of names.
        names: of the images' files.
        shown: of the images, in results.

    Raises:
        ValueError, OSError: as `csv_lines`.
    """
    if path is None or names is None or shown is None or tuple(names) == tuple(shown):
        return shown
    if pathlib.Path(path).suffix.lower() != ".csv":
        return shown
    lines = csv_lines(path)
    header = next(lines, (0, []))[1]
    if image_column not in header:
        return shown
    place = header.index(image_column)
    hidden = {name for name, other in zip(names, shown) if name != other}
    found = any(cells[place] in hidden for _, cells in lines if place < len(cells))
    return names if found else shown


def _read_with_bar(source: str, progress: bool) -> SourceHeaders:
    with contextlib.ExitStack() as shown:
        bars: list[Callable[[int, int], None]] = []

        def report(done: int, total: int) -> None:
            if not bars:  # A source without DICOM files shows none.
                bars.append(shown.enter_context(progress_bar("headers", progress)))
            bars[0](done, total)

        return read_headers(source, report)


def _table(rows: Sequence[tuple[str, str]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(("shown", "stands_for"))
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8", "backslashreplace")


def _like(error: Exception, message: str) -> Exception:
    """An error of the same kind with another message."""
    for kind in type(error).__mro__:
        if not issubclass(kind, Exception):
            break
        with contextlib.suppress(Exception):
            made = kind(message)
            if str(made) == message:
                return made
    return ValueError(message)
