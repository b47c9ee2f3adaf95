"""Runs the commands: in a process of their own as their users do, or in this process."""

import contextlib
import importlib
import io
import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from absl.logging import get_absl_handler

ROOT = pathlib.Path(__file__).parents[2]


def start(script: str, *flags: object) -> "subprocess.Popen[str]":
    """Starts the script in a process of its own, on the CPU."""
    return _process(f"launch.{script}", *map(str, flags))


def run(script: str, *flags: object) -> tuple[int, str]:
    """(exit code, stderr) of the script in a process of its own."""
    process = start(script, *flags)
    errors = process.communicate(timeout=1800)[1]
    return process.returncode, errors


def run_here(script: str, *flags: object) -> tuple[int, str]:
    """(exit code, stdout and stderr) of the script in this process."""
    job = importlib.import_module(f"launch.{script}")
    printed = io.StringIO()
    before = sys.argv
    sys.argv = [script, *map(str, flags)]
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            job.main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
        logging.getLogger().removeHandler(
            get_absl_handler()
        )  # its stream is closed before the process ends
    return code, printed.getvalue()


def run_each(script: str, commands: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """(exit code, stdout and stderr) of each command, all in this process."""
    return [run_here(script, *command) for command in commands]


def _process(module: str, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
