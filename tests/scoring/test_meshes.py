"""Features spread over a mesh, in any way, have LAPACK's values with the rows deleted."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.scoring.mesh_process import COMPUTATIONS, IDS, ROWS
from tests.support.devices import ENOUGH_THREADS
from tests.support.spectra import reference_gaps, top_singular_value

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


def gradient_of_all_gaps(matrix: np.ndarray) -> np.ndarray:
    """A singular value's derivative is the product of its vectors."""

    def of_the_top(rows: np.ndarray) -> np.ndarray:
        left, _, right = np.linalg.svd(rows, full_matrices=False)
        return np.outer(left[:, 0], right[0])

    gradient = len(matrix) * of_the_top(matrix)
    for row in range(len(matrix)):
        others = np.arange(len(matrix)) != row
        gradient[others] -= of_the_top(matrix[others])
    return gradient


def expected_of(name: str) -> np.ndarray:
    exact = ROWS.astype(np.float64)
    top = top_singular_value(exact)
    if name == "gradient":
        return gradient_of_all_gaps(exact)
    if name == "groups":
        return np.array([top - top_singular_value(exact[group != IDS]) for group in range(3)])
    if name == "summary":
        return np.array([top_singular_value(np.r_[exact, row[None]]) - top for row in exact])
    if name == "top k":
        rest = [np.delete(exact, row, 0) for row in range(len(exact))]
        return np.linalg.svd(rest, compute_uv=False)[:, :2]
    return reference_gaps(exact, center=name == "secular")[0]


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_values_do_not_depend_on_where_the_features_are(
    found: dict[str, np.ndarray], name: str
) -> None:
    expected = expected_of(name)
    tolerance = {"rtol": 2e-5, "atol": 1e-6 * np.abs(expected).max()}
    for how in ("explicit rows", "explicit columns", "auto columns"):
        np.testing.assert_allclose(found[f"{name}/{how}"], expected, **tolerance, err_msg=how)
    for part in np.split(found[f"{name}/shard_map"], 4):
        np.testing.assert_allclose(part, expected, **tolerance, err_msg="shard_map")
