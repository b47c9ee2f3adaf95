"""The scripts as their users run them: a process a command, or one process for many commands that are to fail early.

python -m tests.support.commands SCRIPT < [["--flag=value", …], …] > [[exit code, stderr], …]
"""

import contextlib
import importlib
import io
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def start(script: str, *flags: object) -> "subprocess.Popen[str]":
    """The script in a process of its own, on the CPU."""
    return _process(f"launch.{script}", *map(str, flags))


def run(script: str, *flags: object) -> tuple[int, str]:
    """(exit code, stderr) of the script."""
    process = start(script, *flags)
    errors = process.communicate(timeout=1800)[1]
    return process.returncode, errors


def run_each(script: str, commands: list[list[str]]) -> list[tuple[int, str]]:
    """(exit code, stderr) of each command: importing JAX takes longer than finding that a command cannot be done."""
    process = _process("tests.support.commands", script)
    output, errors = process.communicate(json.dumps(commands), timeout=1800)
    assert process.returncode == 0, errors
    return [(code, text) for code, text in json.loads(output)]


def _process(module: str, *arguments: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _main(script: str) -> None:
    from absl.testing import flagsaver

    job = importlib.import_module(f"launch.{script}")
    found = []
    for command in json.load(sys.stdin):
        told = io.StringIO()
        with flagsaver.flagsaver(), contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            sys.argv = [script, *command]
            try:
                job.main()
                code = 0
            except SystemExit as stop:
                code = int(stop.code or 0)
        found.append((code, told.getvalue()))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    _main(sys.argv[1])
