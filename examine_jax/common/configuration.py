"""Frozen dataclasses as JSON and back, their differences, and a run's configuration file."""

import dataclasses
import json
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

from examine_jax.common.atomic_files import write_text


def to_plain(value: Any) -> Any:
    """The value as dicts, lists and scalars; a dataclass has its class's name under "type".

    Other objects (functions, types, which your own network may hold) become their name, and cannot
    be read back.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # Fields outside repr do not belong to the value (a Linen module's parent).
        shown = [field.name for field in dataclasses.fields(value) if field.repr]
        return {
            "type": type(value).__name__,
            **{name: to_plain(getattr(value, name)) for name in shown},
        }
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    name = getattr(value, "__qualname__", None)
    return f"{getattr(value, '__module__', None)}.{name}" if name else str(value)


def from_plain(plain: Any, known: Sequence[type], where: str) -> Any:
    """The inverse of `to_plain`, for dataclasses in `known`; lists become tuples.

    A class may list fields that earlier versions wrote in a class attribute `removed_fields`. They
    are ignored.

    Args:
        plain: the dicts, lists and scalars.
        known: the dataclasses that may occur.
        where: what is read, for the messages.

    Returns:
        The value.

    Raises:
        ValueError: an unknown class, or a missing, unknown or invalid field.
    """
    if isinstance(plain, list):
        return tuple(from_plain(item, known, where) for item in plain)
    if not isinstance(plain, dict):
        return plain
    classes = {cls.__name__: cls for cls in known}
    name = plain.get("type")
    if name not in classes:
        raise ValueError(
            f"{where}: {name!r} is none of the known settings ({', '.join(classes)}); "
            "was it written by a newer version, or is it a class of your own "
            "(load_encoder(folder, method=...))?"
        )
    fields = {field.name: field for field in dataclasses.fields(classes[name])}
    ignored = ("type", *getattr(classes[name], "removed_fields", ()))
    given = {
        key: from_plain(item, known, where) for key, item in plain.items() if key not in ignored
    }
    unknown = sorted(given.keys() - fields.keys())
    if unknown:
        raise ValueError(
            f"{where}: {name} has no field {unknown[0]!r}; was it written by a newer version?"
        )
    required = {
        key
        for key, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    missing = sorted(required - given.keys())
    if missing:
        raise ValueError(f"{where}: {name} lacks the field {missing[0]!r}")
    try:
        return classes[name](**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def differences(there: Any, here: Any, path: str = "", added: Collection[str] = ()) -> list[str]:
    """The differences of two plain values, one line "path: old there, new here" for each leaf.

    A key that one side lacks equals an empty value (None, [] or {}) on the other side: a run that
    leaves a new field empty is the same run. Keys in `added`, which earlier versions did not write,
    are not compared with a side that lacks them.
    """
    if isinstance(there, dict) and isinstance(here, dict):
        found = []
        for key in dict.fromkeys([*there, *here]):
            old, new = there.get(key, "nothing"), here.get(key, "nothing")
            if key in added and key not in there:
                continue
            if (key in there and key in here) or (there | here)[key] not in (None, [], {}):
                found += differences(old, new, f"{path}.{key}" if path else str(key), added)
        return found
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        return [
            line
            for i, pair in enumerate(zip(there, here))
            for line in differences(*pair, f"{path}[{i}]", added)
        ]
    return [] if there == here else [f"{path}: {_shortened(there)} there, {_shortened(here)} here"]


def _shortened(value: Any) -> str:
    """At most 200 characters for a message."""
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def check_or_write_config(
    file: pathlib.Path,
    configuration: dict[str, Any],
    *,
    added: Collection[str] = (),
    replaceable: Collection[str] = (),
) -> None:
    """Writes a run's configuration to `file`, or compares it with the file that exists.

    Args:
        file: in the run's workdir, which is made if it does not exist.
        configuration: plain values, as `to_plain` makes them.
        added: keys that earlier versions did not write, as in `differences`.
        replaceable: top-level keys that may differ; the file then gets their new values.

    Raises:
        ValueError: the folder holds another run (the message names the settings that differ), or
            the file is unreadable.
        OSError: the file cannot be written.
    """
    text = json.dumps(configuration, indent=2) + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        write_text(file, text)
        return
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{file} is not readable JSON ({error}); choose another workdir"
        ) from error
    here = json.loads(text)
    replaced = {key: here.pop(key, None) for key in replaceable}
    before = {key: there.pop(key, None) for key in replaceable if isinstance(there, dict)}
    found = differences(there, here, added=added)
    if found:
        raise ValueError(
            f"{file.parent} holds another run ({'; '.join(found[:5])}); "
            "choose another workdir or the same settings"
        )
    if before != replaced:
        write_text(file, json.dumps(there | replaced, indent=2) + "\n")
