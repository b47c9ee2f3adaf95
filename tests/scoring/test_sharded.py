"""Rows spread over devices and processes have the same values as on one device.

The values equal LAPACK's with the row deleted.
"""

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from examine_jax.scoring import Path
from tests.scoring.sharded_process import TALL, WIDE
from tests.support.devices import ENOUGH_THREADS
from tests.support.spectra import reference_gaps

CHECKOUT = pathlib.Path(__file__).parents[2]


def _start(folder: pathlib.Path, *arguments: object) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.scoring.sharded_process",
        str(folder),
        *map(str, arguments),
    ]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", **ENOUGH_THREADS}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """Returns what one process of four devices saw, and what two processes of two devices saw.

    What the two processes saw is put together.
    """
    folder = tmp_path_factory.mktemp("sharded")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [_start(folder, 4), _start(folder, 2, port, 0, 2), _start(folder, 2, port, 1, 2)]
    try:
        for process in processes:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()
    one, first, second = (
        dict(np.load(folder / name)) for name in ("1-0.npz", "2-0.npz", "2-1.npz")
    )
    two = {}
    for key in first:
        if key == "refusal":
            continue
        if first[key].ndim:
            assert np.isnan(first[key]).any(), "each process sees its own rows alone"
            assert (np.isnan(first[key]) != np.isnan(second[key])).all(), (
                "and together they see each once"
            )
            two[key] = np.where(np.isnan(first[key]), second[key], first[key])
        else:
            assert first[key] == second[key]
            two[key] = first[key]
    refusals = {
        f"refusal-{index}": run["refusal"] for index, run in enumerate((one, first, second))
    }
    return {"one": one, "two": two, "refusals": refusals}


@pytest.mark.parametrize("run", ["one", "two"])
def test_gaps_of_spread_rows_equal_svds_with_the_row_deleted(
    runs: dict[str, dict[str, np.ndarray]], run: str
) -> None:
    cases = {"tall": (TALL, True), "wide": (WIDE, False)}
    if run == "one":
        cases |= {name: (TALL[:100], False) for name in ("adaptive", "masked-power")}
        cases["explicit"] = (WIDE, False)
    for name, (features, center) in cases.items():
        gaps, noise = reference_gaps(features.astype(np.float32), center)
        found = runs[run][f"{name}/gap"][: len(gaps)]
        error = np.abs(found - gaps)
        assert error.max() <= 1e-6 * gaps.max() + noise, name
        assert (error <= runs[run][f"{name}/error_bound"][: len(gaps)] + noise).all(), name
        np.testing.assert_array_equal(runs[run][f"{name}/gap"][len(gaps) :], 0, err_msg="padding")


def test_two_processes_see_what_one_sees(runs: dict[str, dict[str, np.ndarray]]) -> None:
    for key, value in runs["two"].items():
        np.testing.assert_allclose(value, runs["one"][key], rtol=1e-6, atol=1e-12, err_msg=key)


def test_a_krylov_space_is_built_across_devices(runs: dict[str, dict[str, np.ndarray]]) -> None:
    assert runs["one"]["adaptive/path"] == Path.KRYLOV


def test_every_process_refuses_a_row_with_inf_and_the_one_that_holds_it_names_it(
    runs: dict[str, dict[str, np.ndarray]],
) -> None:
    refusals = [str(text) for text in runs["refusals"].values()]
    assert "1 of 104 rows: 70." in refusals[0]
    assert "0 of 104 rows (counting only this host's rows)" in refusals[1]
    assert "1 of 104 rows (counting only this host's rows): 70." in refusals[2]
