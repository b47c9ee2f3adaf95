"""A study's seeds are spread over processes: each runs the study with its own seeds."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from absl.flags import FlagValues

from .device import CLUSTER_FLAGS, DeviceFlags, join_others
from .flags import read


def spread_seeds(
    values: FlagValues, study: str, seeds: Sequence[int], workdir: str | os.PathLike[str]
) -> bool:
    """Runs a study in several processes, if the command line says so.

    Each process starts the command a second time, with its own seeds and without the others, so
    that a study knows nothing of processes. The results lie in the folder that all share. When all
    have ended, the first process starts the study with all seeds: it reads what is kept, and writes
    the page.

    Args:
        values: the command's flags.
        study: its name, as in `launch.reproduce`.
        seeds: of the study.
        workdir: of the study.

    Returns:
        Whether the study is done; False without --distributed.

    Raises:
        ValueError: a process has failed, or as `choose_device`.
    """
    if not read(values, DeviceFlags).distributed:
        return False
    import jax

    # This process only waits; the one that it starts computes on the accelerator.
    jax.config.update("jax_platforms", "cpu")
    join_others(values, workdir)
    spread(seeds, lambda own: _run(values, study, own))
    return True


def spread(seeds: Sequence[int], run: Callable[[Sequence[int]], None]) -> None:
    """Runs this process's share of the seeds; then, in the first process, all of them.

    Where the seeds of a process fail, those of the others run to their end and are kept.

    Raises:
        ValueError: seeds have failed. All processes raise it.
    """
    from examine_jax.common.processes import gather_plain, is_first, process_count, process_index

    failure = ""
    if own := seeds[process_index() :: process_count()]:
        try:
            run(own)
        except (ValueError, OSError) as error:
            failure = str(error) or type(error).__name__
    if failures := "; ".join(filter(None, gather_plain(failure))):
        raise ValueError(failures)
    if is_first():
        run(seeds)


def _run(values: FlagValues, study: str, seeds: Sequence[int]) -> None:
    """Runs the study in a process of its own."""
    left_out = (*CLUSTER_FLAGS, "seeds")
    given = [
        values[name].serialize()
        for name in values
        if values[name].present and name == values[name].name and name not in left_out
    ]
    some = ",".join(map(str, seeds))
    module = f"{__package__}.reproduce_{study}"
    command = ends_with_this([sys.executable, "-m", module, *given, f"--seeds={some}"])
    environment = {**os.environ, **_own_accelerators()}
    child = subprocess.Popen(command, env=environment, stdout=sys.stdout, stderr=sys.__stderr__)

    def end(number: int, frame: FrameType | None) -> None:
        child.terminate()  # it saves what it has
        child.wait()
        os._exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        code = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if code:
        raise ValueError(
            f"the study's seeds {some} ended with code {code}: see the message above; start all "
            "processes again, and what is kept is not computed again"
        )


def ends_with_this(command: list[str]) -> list[str]:
    """The command such that its process gets SIGTERM when this one ends, however it ends.

    This process cannot end its child when it is killed outright, and the child would go on in the
    folder in which all are started again. Where `setpriv`, which is Linux' own, is missing or
    cannot do that (an old one, BusyBox'), the command is unchanged.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return command
    bound = [setpriv, "--pdeathsig", "TERM"]
    tried = subprocess.run([*bound, "true"], stdin=subprocess.DEVNULL, capture_output=True)
    return command if tried.returncode else [*bound, *command]


def _own_accelerators() -> dict[str, str]:
    """The environment in which a process sees the accelerators that a scheduler gave to this one.

    JAX takes one GPU for each process of a SLURM or Open MPI job.
    """
    import jax

    found = {}
    for platform in ("cuda", "rocm"):
        chosen = jax.config.values.get(f"jax_{platform}_visible_devices", "all")
        variable = {"cuda": "CUDA_VISIBLE_DEVICES", "rocm": "ROCR_VISIBLE_DEVICES"}[platform]
        if chosen != "all":
            seen = os.environ.get(variable)
            numbers = chosen.split(",")
            if seen:
                there = seen.split(",")
                numbers = [there[int(number)] for number in numbers if int(number) < len(there)]
            found[variable] = ",".join(numbers)
    return found
