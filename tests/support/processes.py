"""Starts several processes of one job on this machine."""

import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Sequence

from tests.support.devices import ENOUGH_THREADS

ROOT = pathlib.Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def run_together(
    module: str,
    arguments: Sequence[Sequence[object]],
    *,
    devices: int = 2,
    folders: Sequence[pathlib.Path] | None = None,
) -> list[tuple[int, str]]:
    """(exit code, stdout and stderr) of each process of `python -m module`.

    Args:
        module: what is run.
        arguments: of each process.
        devices: of each process.
        folders: in which each process runs; None: the checkout.
    """
    environment = {
        **os.environ,
        **ENOUGH_THREADS,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "PYTHONPATH": str(ROOT),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", module, *map(str, own)],
            cwd=ROOT if folders is None else folders[number],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number, own in enumerate(arguments)
    ]
    try:
        printed = [process.communicate(timeout=900)[0] for process in processes]
        return [(process.returncode, text) for process, text in zip(processes, printed)]
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def flags_of_processes(count: int, port: int) -> list[list[str]]:
    """The flags by which each of several processes finds the others."""
    return [
        [
            "--distributed",
            f"--coordinator=127.0.0.1:{port}",
            f"--process_id={process}",
            f"--num_processes={count}",
        ]
        for process in range(count)
    ]
