"""Training over devices and processes: the same losses as on one device, to rounding."""

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.support.devices import ENOUGH_THREADS
from tests.training.sharded_process import ACROSS_PROCESSES, RESUMED, RUNS, STEPS

CHECKOUT = pathlib.Path(__file__).parents[2]


def _start(folder: pathlib.Path, *arguments: object) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.training.sharded_process",
        str(folder),
        *map(str, arguments),
    ]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", **ENOUGH_THREADS}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def _finish(processes: list[subprocess.Popen[str]]) -> None:
    try:
        for process in processes:
            output, _ = process.communicate(timeout=900)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """Results of one process of one device, one of four devices, and two of two devices each."""
    folder = tmp_path_factory.mktemp("sharded")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _finish([_start(folder, 1), *(_start(folder, 2, port, process, 2) for process in range(2))])
    _finish([_start(folder, 4)])  # goes on where the first left off
    return {
        name: dict(np.load(folder / f"{name}.npz")) for name in ("1x1-0", "4x1-0", "2x2-0", "2x2-1")
    }


def assert_same(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray], name: str, there: str
) -> None:
    for key in ("loss", "gradient_norm", "params"):
        scale = np.abs(expected[f"{there}/{key}"]).max()
        assert np.abs(found[f"{name}/{key}"] - expected[f"{there}/{key}"]).max() <= 2e-5 * scale, (
            name,
            key,
        )


@pytest.mark.parametrize("name", RUNS)
def test_four_devices_see_what_one_sees(runs: dict[str, dict[str, np.ndarray]], name: str) -> None:
    losses = runs["1x1-0"][f"{name}/loss"]
    assert len(losses) == STEPS
    assert np.ptp(losses) > 1e-3 * np.abs(losses).max(), "something is learned"
    assert_same(runs["4x1-0"], runs["1x1-0"], name, name)


@pytest.mark.parametrize("name", ACROSS_PROCESSES)
def test_two_processes_see_what_one_sees(runs: dict[str, dict[str, np.ndarray]], name: str) -> None:
    for process in range(2):
        assert_same(runs[f"2x2-{process}"], runs["1x1-0"], name, name)


def test_four_devices_go_on_where_one_stopped(runs: dict[str, dict[str, np.ndarray]]) -> None:
    assert_same(runs["4x1-0"], runs["1x1-0"], "resumed", RESUMED)


def test_each_process_reads_its_own_share_of_a_batch(
    runs: dict[str, dict[str, np.ndarray]],
) -> None:
    for process in range(2):
        assert runs[f"2x2-{process}"]["read at once"] == 4
