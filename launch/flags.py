"""Command-line flags derived from frozen dataclasses.

`define` makes a flag of each field that `examine_jax.common.settings.setting` describes, with its
type, default, bounds, choices and help text. `read` makes the dataclass from the command line.
`changed` replaces in an instance (a preset) only what the command line sets.
"""

import dataclasses
import textwrap
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, TypeVar

from absl import flags
from absl.flags import FlagValues

from examine_jax.common.registry import lookup
from examine_jax.common.settings import Description, description

T = TypeVar("T")
MAIN, MORE = "main flags", "more flags"
_COLUMNS = 100
_HANGING = 28


def define(
    values: FlagValues,
    settings: type[Any],
    *,
    names: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    main: Collection[str] | None = None,
    preset: bool = False,
) -> None:
    """Defines a flag for each described field of a dataclass.

    Args:
        values: receives the flags.
        settings: a dataclass with fields made by `setting`. Its other fields get no flag.
        names: flag names that differ from the field's name, by field.
        only: the fields that get a flag; None: all described fields.
        main: the fields whose flags `--help` shows; None: those that are described as `main`.
        preset: another flag names a preset, which has the defaults. These flags then have none.

    Raises:
        ValueError: `only` names a field that is not described.
    """
    hints = typing.get_type_hints(settings)
    described = {field.name: (field, description(field)) for field in dataclasses.fields(settings)}
    for name in described if only is None else only:
        field, about = described[name]
        if about is None:
            if only is not None:
                raise ValueError(
                    f"{settings.__name__}.{name} has no description: make it by `setting`"
                )
            continue
        default = None if preset or field.default is dataclasses.MISSING else field.default
        shown = about.main if main is None else name in main
        flag = _SettingFlag(
            (names or {}).get(name, name), hints[name], about, default, settings, name
        )
        flags.DEFINE_flag(flag, values, MAIN if shown else MORE)


def read(values: FlagValues, settings: type[T], **others: Any) -> T:
    """The dataclass, with what the command line gives and each field's default elsewhere.

    Args:
        values: parsed flags.
        settings: a dataclass whose flags `define` has made.
        **others: the fields that have no flag.

    Raises:
        ValueError: a required flag is missing, or the dataclass refuses the values.
    """
    found = dict(others)
    required = {field.name for field in dataclasses.fields(settings) if _is_required(field)}  # type: ignore[arg-type]
    for flag in _flags_of(values, settings):
        if flag.field in required and flag.value in (None, ""):
            about = flag.about.help.removesuffix(".")
            raise ValueError(
                f"--{flag.name}={flag.metavar} is missing: {about[:1].lower()}{about[1:]}"
            )
        found[flag.field] = _value(flag)
    return settings(**found)


def given(values: FlagValues, settings: type[Any]) -> dict[str, Any]:
    """What the command line sets, by field, of a dataclass whose flags `define` has made."""
    return {
        flag.field: _value(flag) for flag in _flags_of(values, settings) if flag.value is not None
    }


def refuse_without_effect(values: FlagValues, names: Iterable[str], because: str) -> None:
    """Refuses flags on the command line that would change nothing.

    Args:
        values: parsed flags.
        names: of the flags that have no effect.
        because: why, for the message.

    Raises:
        ValueError: the command line gives one of them. The message names all that it gives.
    """
    idle = [f"--{name}" for name in names if values[name].present]
    if idle:
        raise ValueError(f"{because}: leave out {' and '.join(idle)}")


def changed(values: FlagValues, settings: T) -> T:
    """An instance (a preset) with the fields replaced that the command line sets.

    Raises:
        ValueError: the dataclass refuses the values.
    """
    return dataclasses.replace(settings, **given(values, type(settings)))  # type: ignore[type-var]


def help_text(values: FlagValues, about: str, *, full: bool) -> str:
    """The text of `--help`, or of `--helpfull`.

    Args:
        values: the command's flags.
        about: what the command does, with an example.
        full: all flags, not the main ones alone.
    """
    by_section = values.flags_by_module_dict()
    lines = [about.strip(), ""]
    for section in (MAIN, MORE) if full else (MAIN,):
        if shown := [
            flag for flag in by_section.get(section, ()) if isinstance(flag, _SettingFlag)
        ]:
            lines += [f"{section}:", *(line for flag in shown for line in flag.lines()), ""]
    lines.append(
        "Flags of absl also work, such as --verbosity and --flagfile."
        if full
        else "All flags: --helpfull"
    )
    return "\n".join(lines)


class _SettingFlag(flags.Flag):
    """A flag that knows its dataclass, its field and the field's description."""

    def __init__(
        self, name: str, hint: Any, about: Description, default: Any, owner: type[Any], field: str
    ):
        kind, many, choices = _kind(hint)
        self.about, self.owner, self.field = about, owner, field
        self.known = tuple(about.known() if callable(about.known) else about.known or ())
        one = "|".join(choices) if choices else _METAVARS[kind]
        self.metavar = about.metavar or (f"{one},{one}" if many else one)
        parser: Any = flags.BooleanParser()
        if kind is not bool:
            parser = _Parser(kind, many, choices, about.minimum, about.maximum)
        if not isinstance(
            default, str | int | float | tuple | None
        ):  # a value that the registry makes from its name
            raise TypeError(f"the flag --{name} has no text for its default {default!r}")
        super().__init__(parser, _Serializer(), name, default, about.help, boolean=kind is bool)

    def parse(self, argument: Any) -> None:
        try:
            super().parse(argument)
        except flags.IllegalFlagValueError as error:
            takes = "true or false" if self.boolean else self.parser.syntactic_help
            raise flags.IllegalFlagValueError(
                f"--{self.name} takes {takes}; got {argument!r}"
            ) from error

    def lines(self) -> list[str]:
        """Of the help text."""
        head = f"  --[no]{self.name}" if self.boolean else f"  --{self.name}={self.metavar}"
        text = self.help
        if self.known:
            text += f" There are: {', '.join(self.known)}."
        if self.default is not None and self.default is not False and self.default != ():
            text += f" Default: {_Serializer().serialize(self.default)}."
        if len(head) > _HANGING - 2:
            head += "  "
        wrapped = textwrap.wrap(
            head.ljust(_HANGING) + text,
            _COLUMNS,
            subsequent_indent=" " * _HANGING,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        return wrapped


class _Parser(flags.ArgumentParser):
    """Texts, numbers, one of several choices, or a tuple of these."""

    def __init__(
        self,
        kind: type[Any],
        many: bool,
        choices: tuple[str, ...] | None,
        minimum: float | None,
        maximum: float | None,
    ):
        self.kind, self.many, self.choices, self.minimum, self.maximum = (
            kind,
            many,
            choices,
            minimum,
            maximum,
        )
        name = {int: "whole number", float: "number", str: "text"}[kind]
        takes = f"{name}s with commas between them" if many else f"a {name}"
        bounds = [f"at least {minimum:g}"] if minimum is not None else []
        bounds += [f"at most {maximum:g}"] if maximum is not None else []
        if choices is not None:
            takes = f"one of {', '.join(choices)}"
        self.syntactic_help = takes + (f", {' and '.join(bounds)}" if bounds else "")

    def parse(self, argument: Any) -> Any:
        if not self.many:
            return self._one(argument)
        parts = flags.ListParser().parse(argument) if isinstance(argument, str) else argument
        return tuple(self._one(part) for part in parts)

    def _one(self, argument: Any) -> Any:
        value = self.kind(argument)
        if self.choices is not None and value not in self.choices:
            raise ValueError(f"{value!r} is none of the choices")
        low = self.minimum is not None and value < self.minimum
        if low or (self.maximum is not None and value > self.maximum):
            raise ValueError(f"{value} is out of bounds")
        return value


class _Serializer(flags.ArgumentSerializer):
    def serialize(self, value: Any) -> str:
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


_METAVARS = {bool: "", int: "N", float: "X", str: "TEXT"}


def _kind(hint: Any) -> tuple[type[Any], bool, tuple[str, ...] | None]:
    """(bool, int, float or str; whether the field is a tuple of these; the choices of a Literal)"""
    options = (
        typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType)
        else (hint,)
    )
    options = tuple(option for option in options if option is not type(None))
    one = options[0]
    if typing.get_origin(one) is tuple:
        kind, _, choices = _kind(typing.get_args(one)[0])
        return kind, True, choices
    if typing.get_origin(one) is Literal:
        return str, False, typing.get_args(one)
    if one in (bool, int, float):
        return one, False, None
    return str, False, None  # texts, paths, and values that a registry knows by name


def _is_text(hint: Any) -> bool:
    options = (
        typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType)
        else (hint,)
    )
    return str in options or any(
        typing.get_origin(option) in (Literal, tuple) for option in options
    )


def _value(flag: "_SettingFlag") -> Any:
    """The field's value: that of the flag, or what the registry has under this name."""
    known, value = flag.about.known, flag.value
    if (
        value is None
        or not isinstance(known, Mapping)
        or _is_text(typing.get_type_hints(flag.owner)[flag.field])
    ):
        return value
    try:
        found = lookup(value, known, flag.field)
    except ValueError as error:
        raise ValueError(f"--{flag.name}: {error}") from error
    return found() if isinstance(found, type) else found


def _flags_of(values: FlagValues, settings: type[Any]) -> Iterable[_SettingFlag]:
    for section in (MAIN, MORE):
        for flag in values.flags_by_module_dict().get(section, ()):
            if isinstance(flag, _SettingFlag) and flag.owner is settings:
                yield flag


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
