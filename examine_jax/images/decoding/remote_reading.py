"""Reads files at URLs by fsspec, several at once, again where a server fails.

Nothing is written to a disk unless a file has a folder for its copy. A file that is not the one any
more that was listed, by its size or its ETag, is not read.
"""

import contextlib
import datetime
import hashlib
import inspect
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from examine_jax.common.atomic_files import write_bytes
from examine_jax.images.decoding.file_part import RemoteFile
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.names import shown
from examine_jax.images.remote_access import without_secrets

Result = TypeVar("Result")

_ATTEMPTS = 3
_WAIT_SECONDS = 0.3  # before the second attempt; twice that before the third

# Of a .zip file's member: its own header may be longer than the archive's directory says.
_ZIP_HEADER_BYTES, _ZIP_SLACK = 30, 1024

# What storages call the version of a file; web servers may give Last-Modified alone.
_VERSIONS = (
    *("ETag", "etag", "md5Hash", "Content-MD5", "Digest"),
    *("LastModified", "last_modified", "Last-Modified", "mtime"),
)

_MD5 = re.compile(r"[0-9a-f]{32}")

# What each kind of storage needs, and where its credentials are looked for.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"} | dict.fromkeys(
    ("az", "abfs", "abfss", "adl"), "adlfs"
)
_CREDENTIALS = {
    "s3fs": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (for a public bucket, "
    "FSSPEC_S3='{\"anon\": true}')",
    "gcsfs": 'GOOGLE_APPLICATION_CREDENTIALS (for a public bucket, FSSPEC_GS=\'{"token": '
    '"anon"}\')',
    "adlfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or "
    "AZURE_STORAGE_CONNECTION_STRING",
}

_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "PermissionError")
_UNREACHED = (
    *("EndpointConnectionError", "ClientConnectorError", "ConnectTimeoutError", "ReadTimeoutError"),
    *("ServerTimeoutError", "TimeoutError", "ConnectionClosedError", "ClientConnectorDNSError"),
    *("ConnectionRefusedError", "ConnectionError"),
)


def open_storage(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises:
        ValueError: there is no such kind of storage, or several are chained.
        ImportError: a package is missing.
    """
    scheme = url.partition("://")[0].lower()
    if "::" in url:
        raise ValueError(
            f"{shown(without_secrets(url))}: URLs within URLs are not read; name the archive "
            "itself, and keep copies by --cache"
        )
    package = _PACKAGES.get(scheme)
    if package is not None and "@" in url.split("/")[2] and without_secrets(url) != url:
        raise ValueError(
            f"{shown(without_secrets(url))}: credentials in a URL are not read; name them in the "
            f"environment: {_CREDENTIALS[package]}"
        )
    try:
        import fsspec

        storage, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ImportError(
            f"{shown(without_secrets(url))} is read by the package {package or 'fsspec'}: pip "
            f"install {f'{package} ' * (package in ('gcsfs', 'adlfs'))}'examine-jax[remote]'"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{shown(without_secrets(url))}: no storage of the kind {shown(scheme)}; s3, gs, az, "
            "http and https are read"
        ) from error
    return storage, str(path)


@contextlib.contextmanager
def plain_errors(url: str) -> Iterator[None]:
    """Says in one line what is wrong with a storage, without what is secret.

    Raises:
        FileNotFoundError, PermissionError, OSError: as the storage says.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UnreadableImage | ValueError | ImportError | TypeError):
            raise
        raise _plain(url, error) from None


def _plain(url: str, error: BaseException) -> OSError:
    name = shown(without_secrets(url))
    kinds = {type(one).__name__ for one in _chain(error)}
    package = _PACKAGES.get(url.partition("://")[0].lower(), "")
    if kinds.intersection(_NO_CREDENTIALS) or getattr(error, "status", 0) in (401, 403):
        where = _CREDENTIALS.get(package, "what its server asks for")
        bucket = "/".join(name.split("/")[:3])
        return PermissionError(
            f"{name}: {shown(bucket)} cannot be read: no credentials, or none that may; name them "
            f"in the environment: {where}"
        )
    if kinds.intersection(_UNREACHED):
        return OSError(f"{name}: its server cannot be reached; check the network and the endpoint")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{name}: there is no such bucket, folder or file; check the URL")
    return OSError(f"{name}: its server does not give it ({type(error).__name__})")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def again(call: Callable[[], Result]) -> Result:
    """What the call returns, tried again where a server fails."""
    for attempt in range(_ATTEMPTS):
        try:
            return call()
        except Exception as error:
            if attempt == _ATTEMPTS - 1 or not _may_pass(error):
                raise
            time.sleep(_WAIT_SECONDS * 2**attempt)
    raise AssertionError("it returns or raises")


def _may_pass(error: object) -> bool:
    """Whether an error may be gone the next time."""
    kinds = {type(one).__name__ for one in _chain(error)} if isinstance(error, Exception) else set()
    lasting = FileNotFoundError | PermissionError | ValueError | ImportError | IsADirectoryError
    return not isinstance(error, lasting) and not kinds.intersection(_NO_CREDENTIALS)


def version_of(details: dict[str, Any]) -> str:
    """What tells the versions of a file apart; "": nothing does."""
    for name in _VERSIONS:
        found = details.get(name)
        if isinstance(found, datetime.datetime):
            return str(found.timestamp())
        if found:
            return str(found).strip('"')
    return ""


def fetched(files: Sequence[RemoteFile], max_bytes: int) -> list[bytes | UnreadableImage]:
    """The bytes of each file or member of an archive, or why it cannot be read.

    Members of a .zip file begin with their own header.
    """
    results: list[bytes | UnreadableImage] = [
        UnreadableImage("empty: 0 bytes" if not one.size else _too_large(one, max_bytes))
        for one in files
    ]
    wanted = [row for row, one in enumerate(files) if 0 < one.size <= max_bytes]
    by_storage: dict[str, list[int]] = {}
    for row in wanted:
        head = "/".join(files[row].url.split("/")[:3])
        by_storage.setdefault(head, []).append(row)
    for rows in by_storage.values():
        try:
            found = _from_one_storage([files[row] for row in rows])
        except Exception as error:
            found = [UnreadableImage(str(_plain(files[rows[0]].url, error)))] * len(rows)
        for row, content in zip(rows, found):
            results[row] = content
    return results


def _too_large(file: RemoteFile, max_bytes: int) -> str:
    return f"{file.size} bytes, more than max_bytes={max_bytes}"


def _from_one_storage(files: Sequence[RemoteFile]) -> list[bytes | UnreadableImage]:
    storage, _ = open_storage(files[0].url)
    results: list[bytes | UnreadableImage] = []
    for file, content in zip(files, _ranges(storage, files, [_range(file) for file in files])):
        if isinstance(content, Exception):
            results.append(UnreadableImage(str(_plain(file.url, content))))
            continue
        if file.part is not None and file.part.zip_header:
            needed = _zip_length(file, content)
            start, stop = _range(file)
            if needed > stop - start and stop < file.whole:
                (content,) = _ranges(storage, [file], [(start, min(start + needed, file.whole))])
        if isinstance(content, Exception):
            results.append(UnreadableImage(str(_plain(file.url, content))))
        elif _is_another(storage, file, content):
            results.append(UnreadableImage("it changed since it was listed: read the images again"))
        else:
            results.append(content)
    return results


def _range(file: RemoteFile) -> tuple[int, int]:
    """The bytes of the object that hold a file."""
    part = file.part
    if part is None:
        return 0, file.size
    length = part.stored
    if part.zip_header:
        length += _ZIP_HEADER_BYTES + len(part.name.encode()) + _ZIP_SLACK
    return part.offset, min(part.offset + length, file.whole)


def _zip_length(file: RemoteFile, content: bytes) -> int:
    assert file.part is not None
    name, extra = int.from_bytes(content[26:28], "little"), int.from_bytes(content[28:30], "little")
    return _ZIP_HEADER_BYTES + name + extra + file.part.stored


def _ranges(
    storage: Any, files: Sequence[RemoteFile], ranges: Sequence[tuple[int, int]]
) -> list[bytes | Exception]:
    """The bytes of ranges, read at once; those that fail, again."""
    found: list[bytes | Exception] = [OSError("not read yet")] * len(files)
    missing = list(range(len(files)))
    for attempt in range(_ATTEMPTS):
        paths = [storage._strip_protocol(files[row].url) for row in missing]
        answers = storage.cat_ranges(
            paths,
            [ranges[row][0] for row in missing],
            [ranges[row][1] for row in missing],
            on_error="return",
        )
        for row, answer in zip(missing, answers):
            start, stop = ranges[row]
            if isinstance(answer, bytes) and len(answer) > stop - start:
                answer = answer[start:stop]  # A server that gives no parts gives all.
            found[row] = answer if isinstance(answer, Exception) else bytes(answer)
        missing = [row for row in missing if _may_pass(found[row]) and _failed(found[row])]
        if not missing:
            break
        time.sleep(_WAIT_SECONDS * 2**attempt)
    return found


def _failed(answer: bytes | Exception) -> bool:
    return isinstance(answer, Exception)


def _is_another(storage: Any, file: RemoteFile, content: bytes) -> bool:
    """Whether these are not the bytes of the file that was listed."""
    if file.part is None:
        if len(content) != file.size:
            return True
        plain = _MD5.fullmatch(file.version)
        if plain and hashlib.md5(content, usedforsecurity=False).hexdigest() == file.version:
            return False
    elif file.part.checksum is not None:
        return False  # The archive's own checksum says it.
    if not file.version:
        return False
    return version_of(details_of(storage, storage._strip_protocol(file.url))) != file.version


def details_of(storage: Any, path: str) -> dict[str, Any]:
    """What the storage says of a file now."""
    known = inspect.signature(getattr(storage, "_info", storage.info)).parameters
    options = {"refresh": True} if "refresh" in known else {}
    found: dict[str, Any] = again(lambda: storage.info(path, **options))
    return found


def copy_in_cache(file: RemoteFile, content: bytes) -> str:
    """Writes the copy of a file into its cache, and returns its path."""
    path = cached_path(file)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_bytes(path, content)
    return path


def cached_path(file: RemoteFile) -> str:
    """Where the copy of a file lies in its cache. Another version is another copy."""
    assert file.cache is not None
    key = f"{without_secrets(file.url)}\n{file.version}\n{file.whole}".encode()
    name = hashlib.sha256(key).hexdigest()[:32]
    base = without_secrets(file.url).partition("?")[0].rpartition("/")[2][-100:]
    # Its own name, by which images and results are named.
    return os.path.join(file.cache, name, base if base.strip(".") else "file")


def downloaded(file: RemoteFile) -> str:
    """The path of the whole file's copy in its cache, which is written where it is missing.

    Raises:
        OSError: it cannot be read or written.
    """
    path = cached_path(file)
    if os.path.isfile(path) and os.path.getsize(path) == file.whole:
        return path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.{os.getpid()}.part"
    with plain_errors(file.url):
        storage, remote = open_storage(file.url)
        try:
            again(lambda: storage.get_file(remote, partial))
            os.replace(partial, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
    return path
