"""What version 0.1.0 wrote is read by this one."""

import pathlib

import numpy as np
import pytest

from examine_jax import SpectralSummary, load_encoder

FOLDER = pathlib.Path(__file__).parents[1] / "golden" / "version_0_1"


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "arrays.npz") as stored:
        return dict(stored)


@pytest.mark.parametrize("method", ["mae", "byol_tracin"])
def test_encoders_embed_as_they_did(arrays: dict[str, np.ndarray], method: str) -> None:
    features = load_encoder(FOLDER / method).embed(arrays["images"])
    np.testing.assert_allclose(features, arrays[method], rtol=1e-5, atol=1e-5)


def test_summaries_score_as_they_did(arrays: dict[str, np.ndarray]) -> None:
    rows = arrays["rows"]
    found = SpectralSummary.load(FOLDER / "summary.npz").examine(rows)
    np.testing.assert_allclose(found.gap, SpectralSummary.of(rows).examine(rows).gap, rtol=1e-6)
