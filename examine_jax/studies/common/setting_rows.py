"""A study's settings as rows of its page; settings that the paper does not state are marked."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.common.configuration import to_plain
from examine_jax.common.settings import description


def setting_rows(
    settings: Any, *, whole_open: Mapping[str, str] | None = None
) -> dict[str, object]:
    """Returns rows of a settings dataclass: first those that the paper does not state.

    Args:
        settings: an instance. Its fields, and those of the settings inside it, are marked with
            `open_in_paper` if the paper does not state them.
        whole_open: fields whose values are settings of other rooms, none of which the paper states;
            each with a line that explains it.
    """
    rows = _open_rows(settings, "", whole_open or {})
    open_here = {row.removeprefix(_PREFIX) for row in rows}
    for field in dataclasses.fields(settings):
        if field.name not in open_here:
            rows[field.name] = in_words(to_plain(getattr(settings, field.name)))
    return rows


def in_words(value: Any) -> str:
    """Returns a plain value (the result of `to_plain`) as text without brackets."""
    if isinstance(value, dict):
        return ", ".join(
            f"{name} {in_words(inner)}" for name, inner in value.items() if name != "type"
        )
    if isinstance(value, list):
        return " ".join(in_words(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_PREFIX = "not in the paper: "


def _open_rows(settings: Any, path: str, whole_open: Mapping[str, str]) -> dict[str, object]:
    rows: dict[str, object] = {}
    for field in dataclasses.fields(settings):
        value, about, name = (
            getattr(settings, field.name),
            description(field),
            f"{path}{field.name}",
        )
        if name in whole_open:
            rows[f"{_PREFIX}{name}"] = f"{in_words(to_plain(value))} ({whole_open[name]})"
        elif about is not None and about.open_in_paper:
            rows[f"{_PREFIX}{name}"] = f"{in_words(to_plain(value))} ({about.help.rstrip('.')})"
        elif dataclasses.is_dataclass(value):
            rows |= _open_rows(value, f"{name}.", whole_open)
    return rows
