"""Looking things up by name: those of the library, and those that other packages bring."""

import importlib
from collections.abc import Mapping
from typing import TypeVar, cast

T = TypeVar("T")


def lookup(name: str, known: Mapping[str, T], kind: str) -> T:
    """The thing of this name: `known[name]`, or the attribute that `module:attribute` names.

    The second form lets a command use what another package defines. The module must be importable,
    as for `python -m`: installed, or on PYTHONPATH. The caller checks what the attribute is.

    Args:
        name: a key of `known`, or `package.module:attribute`.
        known: the library's own, by name.
        kind: what is looked up, for the message: "valuer", "solver".

    Raises:
        ValueError: `known` has no such name; the module cannot be imported, or lacks the attribute.
    """
    if name in known:
        return known[name]
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute):
        raise ValueError(
            f"unknown {kind} {name!r}: choose from {', '.join(known)}, "
            "or name your own as package.module:attribute"
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ValueError(
            f"{kind} {name!r}: module {module_name} cannot be imported ({error})"
        ) from error
    try:
        return cast(T, getattr(module, attribute))
    except AttributeError as error:
        raise ValueError(f"{kind} {name!r}: module {module_name} has no {attribute}") from error
