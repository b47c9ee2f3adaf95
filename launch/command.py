"""What all commands share: help texts, the device, errors of one line, the exit code."""

import dataclasses
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Literal, NoReturn

from absl import app, flags, logging
from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .flags import define, help_text, read, refuse_without_effect
from .urls import take_urls


@dataclasses.dataclass(frozen=True)
class DeviceFlags:
    """Where a command computes."""

    device: Literal["cpu", "gpu", "tpu"] | None = setting(
        None, "Where to compute. If not given: the best device that JAX finds.", main=True
    )
    distributed: bool = setting(
        False, "This process is one of several that share the work.", main=True
    )
    coordinator: str | None = setting(
        None, "Where process 0 waits. If not given: the scheduler says it.", metavar="HOST:PORT"
    )
    process_id: int | None = setting(
        None, "This process's number, from 0. If not given: the scheduler says it.", minimum=0
    )
    num_processes: int | None = setting(
        None, "How many they are. If not given: the scheduler says it.", minimum=1
    )
    wait_seconds: int = setting(
        300, "With --distributed: how long to wait for the other processes.", minimum=1
    )


def choose_device(
    values: FlagValues,
    folder: str | os.PathLike[str] | None = None,
    *,
    alone: str | None = None,
) -> str:
    """Selects the device that the command line names, and prints it.

    Compiled programs are kept for the next run. With --distributed, it joins the other processes
    and compares their code and their flags; then the first process alone prints notes.

    Args:
        values: the command's flags.
        folder: where the command writes; all processes must see it.
        alone: the message where one process alone can do this work; None: several can.

    Returns:
        The device's name for reports, such as "cpu (1 x cpu, 2 cores)".

    Raises:
        ValueError: JAX finds no such device. (The CPU never silently takes its place.) The
            processes do not find each other, or differ.
    """
    import jax

    given = read(values, DeviceFlags)
    wanted = given.device
    if wanted == "cpu":
        jax.config.update("jax_platforms", "cpu")  # otherwise JAX prefers an accelerator
    if not given.distributed:
        refuse_without_effect(
            values, CLUSTER_FLAGS[1:], "without --distributed there is one process"
        )
    elif alone is not None:
        raise ValueError(alone)
    else:
        join_others(values, folder)
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
    if given.distributed:
        cores += f", {jax.process_count()} processes"
    name = f"{devices[0].platform} ({len(devices)} x {devices[0].device_kind}{cores})"
    print(f"device: {name}", file=sys.stderr)
    return name


CLUSTER_FLAGS = ("distributed", "coordinator", "process_id", "num_processes", "wait_seconds")
_OWN = ("coordinator", "process_id")  # may differ between processes


def join_others(values: FlagValues, folder: str | os.PathLike[str] | None = None) -> None:
    """Joins the other processes, and compares them with this one.

    Args:
        values: the command's flags.
        folder: as in `choose_device`.

    Raises:
        ValueError: the processes do not find each other, or differ.
    """
    import jax

    from examine_jax.common.cluster import Cluster, code_digest, join
    from examine_jax.common.processes import check_same, check_shared, is_first

    given = read(values, DeviceFlags)
    cluster = Cluster(given.coordinator, given.process_id, given.num_processes, given.wait_seconds)

    def give_up(message: str) -> NoReturn:
        print(message, file=sys.stderr, flush=True)
        os._exit(1)

    join(cluster, give_up)
    check_same("code", {"jax": jax.__version__, "examine_jax's files": code_digest()})
    flags_given = {name: str(values[name].value) for name in values if values[name].present}
    check_same("flags", {name: text for name, text in flags_given.items() if name not in _OWN})
    if folder is not None:
        check_shared(folder)
    if not is_first():
        # The first process alone shows notes and bars.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # open until the process ends


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
