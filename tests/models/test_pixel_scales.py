"""Pixels are normalised as the folder's preprocessor says."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from examine_jax.models.weights import read_network

SAVED = pathlib.Path(__file__).parents[1] / "golden" / "weights"


@pytest.fixture
def vit(tmp_path):
    return shutil.copytree(SAVED / "vit", tmp_path / "vit")


@pytest.mark.parametrize(
    ("settings", "mean", "deviation"),
    [
        ({"image_mean": [0.2, 0.2], "image_std": [0.5, 0.5]}, (0.2, 0.2), (0.5, 0.5)),
        (
            {"do_normalize": False, "image_mean": [0.2, 0.2], "image_std": [0.5, 0.5]},
            (0.0,),
            (1.0,),
        ),
        (
            {"rescale_factor": 1 / 127.5, "image_mean": [1.0, 1.0], "image_std": [1.0, 1.0]},
            (0.5, 0.5),
            (0.5, 0.5),
        ),
        (
            {"do_rescale": False, "image_mean": [51.0, 51.0], "image_std": [255.0, 255.0]},
            (0.2, 0.2),
            (1.0, 1.0),
        ),
    ],
)
def test_pixels_are_normalised_as_the_preprocessor_says(vit, settings, mean, deviation):
    (vit / "preprocessor_config.json").write_text(json.dumps(settings))
    network = read_network(vit)
    np.testing.assert_allclose(network.pixel_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(network.pixel_deviation, deviation, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rescale_factor": 0}, "rescale_factor is 0; it must be a positive number"),
        ({"rescale_factor": None, "image_mean": [0.5], "image_std": [0.0]}, "deviation above 0"),
        ({"image_mean": [0.5, 0.5], "image_std": [0.5]}, "one number for each channel"),
        ({"image_mean": [float("nan")], "image_std": [0.5]}, "one number for each channel"),
    ],
)
def test_a_scale_of_pixels_that_cannot_be_is_refused(vit, settings, message):
    (vit / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=message):
        read_network(vit)


def test_an_invalid_preprocessor_is_refused(vit):
    (vit / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": 0.5, "image_std": "many"})
    )
    with pytest.raises(
        ValueError, match=r"preprocessor_config.json: mean 0.5 .* no lists of numbers"
    ):
        read_network(vit)
