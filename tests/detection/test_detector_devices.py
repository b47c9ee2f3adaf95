"""A detector's loss, gradient and statistics are the same on one device and on four."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.support.devices import ENOUGH_THREADS

CHECKOUT = pathlib.Path(__file__).parents[2]
QUICKLY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


@pytest.mark.study  # Two programs are compiled: ten seconds.
def test_four_devices_compute_what_one_computes():
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": QUICKLY, **ENOUGH_THREADS}
    command = [sys.executable, "-m", "tests.detection.devices_process"]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("the same\n")
