"""Fields of settings that describe themselves: help, bounds, choices, what a paper leaves open.

Commands derive their flags from these fields, and reports print what a paper leaves open, so that
each fact is written once.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_KEY = "setting"


@dataclasses.dataclass(frozen=True)
class Description:
    """What `setting` says of one field.

    Attributes:
        help: one line.
        minimum: the least number allowed, or None.
        maximum: the greatest number allowed, or None.
        known: the names that the help text lists; other names may exist. A mapping from names to
            values or to classes of values, or a function that returns the names. None: any value
            of the field's type.
        metavar: what the help text shows for the value, such as "FOLDER". None: by the field's
            type.
        main: the short help text of a command contains it.
        open_in_paper: the paper does not give this value.
    """

    help: str
    minimum: int | float | None = None
    maximum: int | float | None = None
    known: Mapping[str, Any] | Callable[[], Iterable[str]] | None = None
    metavar: str | None = None
    main: bool = False
    open_in_paper: bool = False


def setting(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    minimum: int | float | None = None,
    maximum: int | float | None = None,
    known: Mapping[str, Any] | Callable[[], Iterable[str]] | None = None,
    metavar: str | None = None,
    main: bool = False,
    open_in_paper: bool = False,
) -> Any:
    """A dataclass field with a description.

    The field's type comes from its annotation; Literal lists all choices.

    Args:
        default: of the field; without it the field is required.
        help: one line, for `--help` and the documentation.
        minimum: the least number allowed.
        maximum: the greatest number allowed.
        known: names for the help text; see `Description`.
        metavar: what the help text shows for the value.
        main: the short help text of a command contains it.
        open_in_paper: the paper does not give this value.
    """
    described = Description(help, minimum, maximum, known, metavar, main, open_in_paper)
    return dataclasses.field(default=default, metadata={_KEY: described})


def description(field: "dataclasses.Field[Any]") -> Description | None:
    """The description of a field, or None if `setting` did not make it."""
    return field.metadata.get(_KEY)


def open_in_paper(settings: Any) -> tuple[str, ...]:
    """The names of the fields that the paper leaves open, in order.

    Args:
        settings: a dataclass or an instance.
    """
    described = ((field.name, description(field)) for field in dataclasses.fields(settings))
    return tuple(name for name, about in described if about is not None and about.open_in_paper)
