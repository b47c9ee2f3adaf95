"""What all commands share: help texts, errors of one line, the exit code."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags, logging
from absl.flags import FlagValues

from .device import DeviceFlags
from .flags import define, help_text
from .urls import take_urls


def _is_joined() -> bool:
    """Whether this process is one of several."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def _leave(message: str, code: int) -> NoReturn:
    """Prints the message and ends the process.

    One of several processes ends without the usual wait for the others. They notice that its
    connections are closed, and end too.
    """
    if not _is_joined():
        print(message, file=sys.stderr)
        sys.exit(code)
    import jax

    own = f"process {jax.process_index()} of {jax.process_count()}"
    print(f"{own}: {message}", file=sys.__stderr__, flush=True)
    os._exit(code)


def _end_together() -> None:
    """Waits until the first process has written all results."""
    from examine_jax.common.processes import wait_for_all

    wait_for_all("end")


def _told_of_several(error: Exception) -> str:
    """The message for an error in one of several processes: a traceback, unless another ended."""
    import jax

    if not isinstance(error, jax.errors.JaxRuntimeError):
        return "".join(traceback.format_exception(error))
    return (
        "another process has ended or cannot be reached "
        f"({' '.join(str(error).split())[:300]}). See its own message, then start all processes "
        "again: the run continues from what is complete"
    )


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
        _leave(f"{name}: {' '.join(str(error).split())}", 1)

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
            if _is_joined():
                _end_together()
        except (ValueError, OSError, ImportError) as error:
            fail(error)
        except Exception as error:
            if not _is_joined():
                raise
            _leave(f"{name}: {_told_of_several(error)}", 1)

    try:
        app.run(main, flags_parser=parse)
    except KeyboardInterrupt as interrupt:
        how = " ".join(str(interrupt).split()).replace("the same call", "the same command")
        _leave(f"{name}: {how or 'interrupted'}", 128 + signal.SIGINT)
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
