"""Files that a list names by URLs."""

import concurrent.futures
from collections.abc import Iterable, Mapping
from typing import Any

from examine_jax.images.decoding.file_part import Place, RemoteFile
from examine_jax.images.names import encodable, shown
from examine_jax.images.remote_access import access_of, without_secrets
from examine_jax.images.sources.scan import SLIDE_SUFFIXES, not_read, suffix_of

# Files that are asked about at once.
_AT_ONCE = 16


def add_urls(
    urls: Iterable[str],
    places: dict[str, Place],
    problems: dict[str, str],
    texts: Mapping[str, str] | None = None,
    cache: str | None = None,
) -> None:
    """Adds the files at URLs to those of a list, or why there are none.

    Args:
        urls: of the files.
        places, problems: receive them, by their names: the URLs without secrets.
        texts: how the list writes a URL, where it does so in another way.
        cache: the folder that keeps copies of the files; None: none are kept.
    """
    for url, found in remote_files(urls, cache).items():
        plain = name = encodable(without_secrets((texts or {}).get(url, url)))
        count = 1
        while name in places or name in problems:
            count += 1
            name = f"{plain}~{count}"
        suffix = suffix_of(plain.partition("?")[0])
        problem = found if isinstance(found, str) else not_read(suffix)
        if problem is None and suffix in SLIDE_SUFFIXES:
            problem = "a whole slide at a URL; name it itself, with --cache"
        if isinstance(found, str) or problem is not None:
            problems[name] = str(problem)
        else:
            places[name] = found


def remote_files(urls: Iterable[str], cache: str | None = None) -> dict[str, RemoteFile | str]:
    """Each file at a URL, or why there is none, by its URL. Several are asked about at once."""
    from examine_jax.images.decoding.remote_reading import details_of, open_storage, plain_errors

    def ask(url: str) -> RemoteFile | str:
        access = access_of(url)
        try:
            storage, path = open_storage(access.url)
            with plain_errors(access.url):
                details = details_of(storage, path)
        except (OSError, ValueError, ImportError) as error:
            return str(error)
        if details.get("type") == "directory":
            return "a folder; list its files, or name the folder in place of the list"
        return remote_file(access.url, details, access.cache or cache)

    wanted = list(dict.fromkeys(urls))
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(ask, wanted)))


def remote_file(url: str, details: Mapping[str, Any], cache: str | None) -> RemoteFile:
    from examine_jax.images.decoding.remote_reading import version_of

    size = details.get("size")
    if size is None:
        raise OSError(
            f"{shown(without_secrets(url))}: its server does not say how large it is, so that it "
            "is not read"
        )
    return RemoteFile(
        url, without_secrets(url), int(size), int(size), version_of(dict(details)), None, cache
    )
