"""One process of a command in which the second process is killed at work.

python -m tests.launch.killed_process FOLDER --distributed --coordinator=HOST:PORT ...
"""

import os
import pathlib
import signal
import sys

from absl.flags import FlagValues

from launch.command import run
from launch.device import choose_device

FOLDER = pathlib.Path(sys.argv.pop(1)) / "killed"


def job(values: FlagValues) -> None:
    choose_device(values, FOLDER)
    from examine_jax.common.atomic_files import replacing, write_text
    from examine_jax.common.processes import is_first, process_index, wait_for_all

    if is_first():
        write_text(FOLDER / "first.txt", "whole\n")
    with replacing(FOLDER / f"half_{process_index()}.txt") as stream:
        stream.write(b"half")
        if not is_first():
            os.kill(os.getpid(), signal.SIGKILL)
        wait_for_all("never")


if __name__ == "__main__":
    run("killed", None, lambda values: None, job)
