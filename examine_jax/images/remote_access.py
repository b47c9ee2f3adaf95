"""URLs of images: told from paths, and kept free of secrets.

Secrets in a URL (`user:password@`, tokens in its query) are needed to open it and may be in no
result. So a URL is known by its name without them; what else opening it needs is remembered here as
long as the process lives: the whole URL, and the folder that keeps copies of files.
"""

import dataclasses
import os
import re
import urllib.parse

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[a-z0-9]+::")
_SECRET = re.compile(
    r"(token|sig|signature|secret|password|passwd|pwd|credentials?|auth|authorization|key|keyid|"
    r"api_?key|access_?key|awsaccesskeyid|googleaccessid|sas|jwt|bearer|session|policy)$",
    re.IGNORECASE,
)

WEB = ("http://", "https://")

# Kinds of storage whose URLs name a container before the account: container@account.
_CONTAINERS = ("az", "abfs", "abfss", "adl")


@dataclasses.dataclass(frozen=True)
class Access:
    """How a URL is opened.

    Attributes:
        url: with its secrets.
        cache: the folder that keeps copies of its files; None: none are kept.
    """

    url: str
    cache: str | None = None


_remembered: dict[str, Access] = {}


def is_url(name: str | os.PathLike[str]) -> bool:
    """Whether a name is a URL and no path."""
    return _URL.match(os.fspath(name)) is not None


def remember_access(url: str, cache: str | os.PathLike[str] | None = None) -> str:
    """Remembers how to open a URL, and where copies of the files that it leads to are kept.

    Args:
        url: may hold secrets. A list on a disk may stand here too, for the copies of its files.
        cache: a folder that keeps a copy of each file that is read; None: none is kept.

    Returns:
        The URL without secrets: the name by which it is opened from now on.
    """
    name = without_secrets(url)
    before = _remembered.get(name, Access(url))
    whole = url if url != name or before.url == name else before.url
    folder = before.cache if cache is None else os.path.abspath(cache)
    _remembered[name] = Access(whole, folder)
    return name


def access_of(url: str) -> Access:
    """How to open a URL: as it is remembered, or as it is."""
    return _remembered.get(without_secrets(url), Access(url))


def without_secrets(url: str) -> str:
    """A URL without a user, a password, and without what its query holds of secrets.

    No server sees what follows a # in a URL of the web: it is left out too.
    """
    if not is_url(url):
        return url
    if url.lower().startswith(WEB):
        url = url.partition("#")[0]
    head, separator, query = url.partition("?")
    scheme, slashes, rest = head.rpartition("://")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    if at and not (scheme.lower() in _CONTAINERS and ":" not in user):
        place = host
    kept = [part for part in query.split("&") if part and not _is_secret(part)]
    plain = scheme + slashes + place + slash + path
    return plain + (separator + "&".join(kept) if kept else "")


def _is_secret(part: str) -> bool:
    """Whether a part of a query is secret, or a URL in it has a user."""
    if "@" in urllib.parse.unquote(part) and "://" in urllib.parse.unquote(part):
        return True
    names = [urllib.parse.unquote(one.partition("=")[0]).lower() for one in part.split(";")]
    return any(name.startswith(("x-amz-", "x-goog-")) or _SECRET.search(name) for name in names)
