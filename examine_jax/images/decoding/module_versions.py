"""Which version of its modules a function runs, so that worker processes run the same.

A module of the user's may be edited and reloaded in a session. A worker that imported the earlier
version is replaced. Modules of installed packages, and of this one, are taken as unchanged.
"""

import hashlib
import os
import pathlib
import sys
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any

# A module's name, and a digest of its file.
Version = tuple[str, str]

_THIS_PACKAGE = __name__.partition(".")[0]

# The last reload of each module, and its file then. A reload gives a module another spec.
_loaded: dict[str, tuple[ModuleSpec, Version]] = {}


def module_versions(function: Any) -> tuple[Version, ...]:
    """The versions of the modules that a function, or a dataclass's value, is made of.

    An edit after the import is noticed if this was asked before the edit.

    Raises:
        ValueError: the file of one was edited after its import, so another process would run
            something else.
    """
    found: dict[str, Version] = {}
    waiting = [_module_of(function)]
    while waiting:
        module = waiting.pop()
        if module is None or module.__name__ in found or not _is_users(module):
            continue
        found[module.__name__] = _version(module)
        waiting += map(_module_of, list(vars(module).values()))
    return tuple(sorted(found.values()))


def _module_of(value: Any) -> ModuleType | None:
    if isinstance(value, ModuleType):
        return value
    named = value if isinstance(value, FunctionType | type) else type(value)
    return sys.modules.get(named.__module__ or "")


def _is_users(module: ModuleType) -> bool:
    if module.__spec__ is None or module.__name__.partition(".")[0] == _THIS_PACKAGE:
        return False
    path = module.__spec__.origin
    if not module.__spec__.has_location or path is None or not path.endswith(".py"):
        return False
    return not path.startswith((sys.prefix + os.sep, sys.base_prefix + os.sep))


def _version(module: ModuleType) -> Version:
    spec = module.__spec__
    assert spec is not None
    assert spec.origin is not None
    try:
        digest = hashlib.blake2b(pathlib.Path(spec.origin).read_bytes(), digest_size=16).hexdigest()
    except OSError:
        digest = "no file"
    now = module.__name__, digest
    before = _loaded.get(module.__name__)
    if before is None or before[0] is not spec:
        _loaded[module.__name__] = spec, now
        return now
    if before[1] != now:
        raise ValueError(f"{spec.origin} was edited after its import; reload {module.__name__}")
    return now
