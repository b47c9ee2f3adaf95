"""One process a run."""

import pathlib
import subprocess
import sys

import pytest

from examine_jax.training.run_lock import run_lock

_HOLD = """
import pathlib, sys
from examine_jax.training.run_lock import run_lock
with run_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_is_held_until_its_process_ends_even_by_a_kill(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "pretraining.json"
    file.write_text("{}")
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match=f"another process is training in {tmp_path}; wait"),
            run_lock(file),
        ):
            pass
        other.kill()
        other.wait()
        with run_lock(file), pytest.raises(ValueError, match="another process"), run_lock(file):
            pass
    with run_lock(file):
        assert file.read_text() == "{}"
