"""Where a command computes: the device, and the processes that share its work."""

import dataclasses
import os
import sys
from typing import Literal, NoReturn

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .flags import read, refuse_without_effect
from .freed_memory import keep_freed_memory
from .leaving import leave_with_others


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
    keep_freed_memory()
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
    from examine_jax.common.ended_processes import watch_others
    from examine_jax.common.processes import check_same, check_shared, is_first

    given = read(values, DeviceFlags)
    cluster = Cluster(given.coordinator, given.process_id, given.num_processes, given.wait_seconds)

    def give_up(message: str) -> NoReturn:
        print(message, file=sys.stderr, flush=True)
        os._exit(1)

    _keep_stdout_clean()
    join(cluster, give_up)
    watch_others(leave_with_others)
    check_same("code", {"jax": jax.__version__, "examine_jax's files": code_digest()})
    flags_given = {name: str(values[name].value) for name in values if values[name].present}
    check_same("flags", {name: text for name, text in flags_given.items() if name not in _OWN})
    if folder is not None:
        check_shared(folder)
    if not is_first():
        # The first process alone shows notes and bars.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # open until the process ends


def _keep_stdout_clean() -> None:
    """Discards what Gloo, by which CPUs exchange data, prints on stdout from C++.

    What Python prints is kept.
    """
    stdout = sys.__stdout__
    if stdout is None or stdout is not sys.stdout:
        return  # it is closed, or somebody else has redirected it
    stdout.flush()
    own = os.fdopen(os.dup(1), "w", encoding=stdout.encoding, errors=stdout.errors)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    sys.stdout = own
