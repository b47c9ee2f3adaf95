"""URLs on the command line: images may have them, results may not."""

import os
from typing import Any

from absl.flags import FlagValues

# Flags that name what a command writes.
_WRITTEN = ("workdir", "output", "save_summary", "cache", "id_key")


def take_urls(values: FlagValues) -> None:
    """Prepares the URLs among the values of flags.

    Secrets in a URL are taken out of the flag, so that no result can hold them; the library opens
    the URL with them. Nothing is imported where there is no URL.

    Raises:
        ValueError: results are to be written to a URL, or copies are to be kept where no file is
            at one.
    """
    texts: dict[str, Any] = {name: values[name].value for name in values}
    urls = {name for name, text in texts.items() if any(map(_is_url, _texts(text)))}
    for name in _WRITTEN:
        if name in urls:
            raise ValueError(
                f"--{name}: results are written to a folder of this machine, not to a URL; copy "
                "them when they are complete"
            )
    cache = texts.get("cache")
    lists = [one for text in texts.values() for one in _texts(text) if _is_list(one)]
    if not urls and cache is None:
        return
    if not urls and not lists:
        raise ValueError("--cache keeps copies of files at URLs, and there is none; leave it out")
    from examine_jax.images.remote_access import is_url, remember_access

    if cache is not None:
        for name in lists:  # They may name URLs.
            remember_access(name, cache)
    for name in urls:
        found = [
            remember_access(text, cache) if is_url(text) else text for text in _texts(texts[name])
        ]
        values[name].value = found[0] if isinstance(texts[name], str) else tuple(found)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, tuple) else []


def _is_url(text: str) -> bool:
    return "://" in text


def _is_list(text: str) -> bool:
    return text.lower().endswith((".txt", ".csv")) and os.path.isfile(text)
