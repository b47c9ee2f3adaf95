"""Seeds that fail are never taken for seeds that are done."""

import shutil
import subprocess
import sys
import time

import pytest

from launch.shared_seeds import ends_with_this, spread


@pytest.mark.parametrize(
    ("error", "message"), [(ValueError("no space"), "no space"), (OSError(), "OSError")]
)
def test_seeds_that_fail_without_a_word_fail_too(error, message):
    runs = []

    def run(seeds):
        runs.append(list(seeds))
        raise error

    with pytest.raises(ValueError, match=message):
        spread([3, 4], run)
    assert runs == [[3, 4]]


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is Linux' own")
def test_the_study_of_a_process_that_is_killed_ends_too():
    study = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    parent = (
        "import subprocess, sys\n"
        "from launch.shared_seeds import ends_with_this\n"
        f"command = ends_with_this([sys.executable, '-c', {study!r}])\n"
        "subprocess.Popen(command).wait()"
    )
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        child = int(killed.stdout.readline())
        killed.kill()
    until = time.monotonic() + 30
    while _runs(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _runs(child)


def _runs(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"  # nobody may collect it here
    except FileNotFoundError:
        return False


def test_where_no_process_can_be_bound_to_another_the_command_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ends_with_this(["python"]) == ["python"]
    other = tmp_path / "setpriv"  # BusyBox', or an older one
    other.write_text("#!/bin/sh\necho unrecognized option >&2\nexit 1\n")
    other.chmod(0o755)
    assert ends_with_this(["python"]) == ["python"]
