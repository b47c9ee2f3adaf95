"""Configurations in JSON files, which are not trusted."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

_LARGEST = 1 << 22  # bytes


def read_json(file: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Raises:
        ValueError: the file is missing, too large, no JSON or no object.
    """
    if not file.is_file():
        raise ValueError(f"{file.parent} has no {file.name}")
    if file.stat().st_size > _LARGEST:
        raise ValueError(
            f"{file} is larger than {_LARGEST >> 20} MiB, too large for a configuration"
        )
    try:
        content = json.loads(file.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{file} is not readable JSON settings: it holds a {type(content).__name__}"
        )
    return content


def whole_number(configuration: Mapping[str, Any], name: str, where: str) -> int:
    """A field that is a whole number of at least 1, or a pair of two equal ones.

    Raises:
        ValueError: it is something else.
    """
    value = configuration.get(name)
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    if not isinstance(value, int) or value < 1:
        raise ValueError(
            f"{where}: {name} is {value!r}; it must be a whole number from 1 (squares alone can be "
            "read)"
        )
    return value
