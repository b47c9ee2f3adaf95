"""What all commands share: help texts, the device, errors of one line, the exit code."""

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from typing import Literal, NoReturn

from absl import app, flags, logging
from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .flags import define, help_text, read


@dataclasses.dataclass(frozen=True)
class DeviceFlags:
    """Where a command computes."""

    device: Literal["cpu", "gpu", "tpu"] | None = setting(
        None, "Where to compute. If not given: the best device that JAX finds.", main=True
    )


def choose_device(values: FlagValues) -> str:
    """Selects the device that the command line names, and prints it.

    Compiled programs are kept for the next run.

    Returns:
        The device's name for reports, such as "cpu (1 x cpu, 2 cores)".

    Raises:
        ValueError: JAX finds no such device. (The CPU never silently takes its place.)
    """
    import jax

    wanted = read(values, DeviceFlags).device
    if wanted == "cpu":
        jax.config.update("jax_platforms", "cpu")  # otherwise JAX prefers an accelerator
    try:
        devices = jax.devices() if wanted is None else jax.devices(wanted)
    except (RuntimeError, AssertionError) as error:  # JAX asserts that it has found a backend
        platforms = os.environ.get("JAX_PLATFORMS")
        asked, remedy = f"--device={wanted}", "leave --device out"
        if wanted is None and platforms:
            asked, remedy = f"JAX_PLATFORMS={platforms}", "unset it"
        raise ValueError(
            f"{asked}: JAX finds no such device; install JAX for it "
            f"(for NVIDIA: pip install 'jax[cuda12]') or {remedy}"
        ) from error
    from examine_jax.common.compilation_cache import keep_compiled_programs

    keep_compiled_programs()
    cores = f", {os.cpu_count()} cores" if devices[0].platform == "cpu" else ""
    name = f"{devices[0].platform} ({len(devices)} x {devices[0].device_kind}{cores})"
    print(f"device: {name}", file=sys.stderr)
    return name


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
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)

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
            job(values)
        except (ValueError, OSError, ImportError) as error:
            fail(error)

    try:
        app.run(main, flags_parser=parse)
    except KeyboardInterrupt as interrupt:
        how = " ".join(str(interrupt).split()).replace("the same call", "the same command")
        print(f"{name}: {how or 'interrupted'}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
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
