"""Features spread over a mesh, in any way, have the values that they have on one device."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.scoring.mesh_process import COMPUTATIONS, ROWS
from tests.support.devices import ENOUGH_THREADS

CHECKOUT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    file = tmp_path_factory.mktemp("meshes") / "found.npz"
    subprocess.run(
        [sys.executable, "-m", "tests.scoring.mesh_process", str(file)],
        cwd=CHECKOUT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **ENOUGH_THREADS},
        check=True,
        timeout=600,
    )
    return dict(np.load(file))


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_values_do_not_depend_on_where_the_features_are(
    found: dict[str, np.ndarray], name: str
) -> None:
    expected = np.asarray(COMPUTATIONS[name](ROWS))
    tolerance = {"rtol": 2e-5, "atol": 1e-6 * np.abs(expected).max()}
    for how in ("explicit rows", "explicit columns", "auto columns"):
        np.testing.assert_allclose(found[f"{name}/{how}"], expected, **tolerance, err_msg=how)
    for part in np.split(found[f"{name}/shard_map"], 4):
        np.testing.assert_allclose(part, expected, **tolerance, err_msg="shard_map")
