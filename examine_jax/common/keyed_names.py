"""Keyed hashes that stand for names and identifiers, and the file that holds their key.

A keyed hash (HMAC-SHA256) of an identifier is the same wherever the key is, and says nothing of the
identifier to those who lack the key. A hash without a key would: identifiers are few, so that all
of them can be tried.
"""

import dataclasses
import hashlib
import hmac
import os
import pathlib
import secrets
import stat
from collections.abc import Iterable

from examine_jax.common.private_files import create_private

_DIGITS = 16  # of a hash, 4 bits each: two of a million names are alike with a chance of 3e-8
_KEY_BYTES = 32
_LEAST_BYTES, _MOST_BYTES = 32, 4096  # of a key's file


@dataclasses.dataclass(frozen=True)
class NameKey:
    """A key, and where it is kept.

    Attributes:
        secret: the key.
        file: that holds it.
        made: whether the file was made by this call.
    """

    secret: bytes = dataclasses.field(repr=False)
    file: pathlib.Path
    made: bool = False

    def token(self, kind: str, text: str) -> str:
        """What stands for a text: the kind, and a keyed hash of kind and text."""
        message = f"{kind}\0{text}".encode("utf-8", "surrogateescape")
        return f"{kind}-{hmac.new(self.secret, message, hashlib.sha256).hexdigest()[:_DIGITS]}"

    @property
    def folder_of_names(self) -> pathlib.Path:
        """The folder beside the key for tables that say which name stands for what."""
        return self.file.with_name(f"{self.file.name}.names")


def default_key_file() -> pathlib.Path:
    """Where the key is kept if no file is named: in the user's data folder.

    Raises:
        ValueError: the user has none.
    """
    base = os.environ.get("XDG_DATA_HOME", "")
    try:
        folder = pathlib.Path(base) if os.path.isabs(base) else pathlib.Path.home() / ".local/share"
    except RuntimeError as error:
        raise ValueError(
            "names and identifiers are hidden by a key in your home, and you have none: name a "
            "file by --id_key=FILE, or keep names and identifiers as they are by --keep_ids"
        ) from error
    return folder / "examine_jax" / "id_key"


def read_or_make_key(
    file: str | os.PathLike[str] | None = None,
    *,
    outside: Iterable[str | os.PathLike[str]] = (),
    not_beside: Iterable[str | os.PathLike[str]] = (),
) -> NameKey:
    """Reads the key; if there is no such file, makes a random one that the user alone may read.

    Args:
        file: that holds the key; None: `default_key_file`.
        outside: folders of results, in which the key must not lie: whoever gets the results would
            get it too.
        not_beside: files of results, beside which it must not lie.

    Raises:
        ValueError: the file lies in such a folder, others may read it, or it holds no key. The
            message says what to do.
        OSError: it can neither be read nor made.
    """
    path = default_key_file() if file is None else pathlib.Path(file).expanduser()
    if file is not None and not path.parent.is_dir():
        raise ValueError(f"the key {path} can be neither read nor made: there is no {path.parent}")
    for folder in outside:
        if _lies_in(path, pathlib.Path(folder)):
            raise ValueError(
                f"the key {path} would lie in {os.fspath(folder)}, among the results that it "
                "protects: name a file elsewhere by --id_key=FILE"
            )
    for result in not_beside:
        if os.path.realpath(path.parent) == os.path.realpath(pathlib.Path(result).parent):
            raise ValueError(
                f"the key {path} would lie beside {os.fspath(result)}, which it protects: name a "
                "file in another folder by --id_key=FILE"
            )
    made = False
    try:
        if not os.path.lexists(path):
            made = create_private(path, f"{secrets.token_hex(_KEY_BYTES)}\n".encode("ascii"))
        secret = _read(path)
    except OSError as error:
        if file is not None:
            raise
        failure = type(error)(
            f"names and identifiers are hidden by a key in {path}, which cannot be used "
            f"({error.strerror or error}): name another file by --id_key=FILE, or keep names and "
            "identifiers as they are by --keep_ids"
        )
        failure.errno = error.errno
        raise failure from error
    return NameKey(secret, path, made)


def _read(path: pathlib.Path) -> bytes:
    if path.is_dir():
        raise ValueError(f"the key {path} is a folder; name a file by --id_key=FILE")
    # A file that is opened cannot be exchanged for another one between its check and its use.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"the key {path} is no plain file; name another one by --id_key=FILE")
        if os.name == "posix" and status.st_mode & 0o077:
            raise ValueError(
                f"others than you may read the key {path} (mode "
                f"{stat.S_IMODE(status.st_mode):o}): run chmod 600 {path}, or make a new key"
            )
        secret = stream.read(_MOST_BYTES + 1).strip()
    if not _LEAST_BYTES <= len(secret) <= _MOST_BYTES:
        raise ValueError(
            f"the key {path} has {len(secret)} bytes instead of {_LEAST_BYTES} to {_MOST_BYTES}: "
            "name another file, or one that does not exist yet, and it will be made"
        )
    return secret


def _lies_in(path: pathlib.Path, folder: pathlib.Path) -> bool:
    real, root = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([real, root]) == root
