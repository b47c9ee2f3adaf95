"""What all commands share: help texts, errors of one line, the exit code."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags, logging
from absl.flags import FlagValues

from .device import DeviceFlags
from .flags import define, help_text
from .leaving import is_joined, leave, told_of_several
from .urls import take_urls


def _end_together() -> None:
    """Waits until the first process has written all results."""
    from examine_jax.common.processes import wait_for_all

    wait_for_all("end")


def run(
    name: str,
    about: str | None,
    define_flags: Callable[[FlagValues], None],
    job: Callable[[FlagValues], None],
) -> NoReturn:
    """Parses the flags and does the job.

    An expected error is one line on stderr and exit code 1, without a traceback. So is Ctrl-C, with
    exit code 130.

    Args:
        name: of the command, for error messages.
        about: what the command does, with an example: the script's docstring.
        define_flags: defines the command's flags. It imports the library: its settings make the
            flags.
        job: does the work, given the parsed flags.
    """

    def fail(error: Exception) -> NoReturn:
        leave(f"{name}: {' '.join(str(error).split())}", 1)

    def parse(arguments: list[str]) -> tuple[FlagValues, list[str]]:
        try:
            values = FlagValues()
            define_flags(values)
            define(values, DeviceFlags)
            _add_help_flags(values)
            _add_absl_flags(values)
            positional = values(arguments)[1:]
        except (flags.Error, ValueError, OSError, ImportError) as error:
            fail(error)
        for flag in ("help", "helpshort", "helpfull"):
            if values[flag].value:
                print(help_text(values, about or name, full=flag == "helpfull"))
                sys.exit(0)
        flags.FLAGS.mark_as_parsed()
        return values, positional

    def main(parsed: tuple[FlagValues, list[str]]) -> None:
        values, positional = parsed
        logging.set_verbosity(logging.WARNING)  # the checkpoint library reports every save at INFO
        try:
            if positional:
                raise ValueError(
                    f"unknown argument {positional[0]!r}; "
                    "give settings as --name=value (see --help)"
                )
            take_urls(values)
            job(values)
            if is_joined():
                _end_together()
        except (ValueError, OSError, ImportError) as error:
            fail(error)
        except Exception as error:
            if not is_joined():
                raise
            leave(f"{name}: {told_of_several(error)}", 1)

    try:
        app.run(main, flags_parser=parse)
    except KeyboardInterrupt as interrupt:
        how = " ".join(str(interrupt).split()).replace("the same call", "the same command")
        leave(f"{name}: {how or 'interrupted'}", 128 + signal.SIGINT)
    raise AssertionError("app.run exits")


def _add_help_flags(values: FlagValues) -> None:
    for flag, short in (("help", "?"), ("helpshort", None), ("helpfull", None)):
        flags.DEFINE_bool(
            flag, False, "Show this text.", flag_values=values, module_name="help", short_name=short
        )


def _add_absl_flags(values: FlagValues) -> None:
    """Adds absl's own flags, such as --verbosity."""
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if name == flag.name and name not in values:
            values[name] = flag
