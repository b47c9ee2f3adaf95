"""Cutting images into patches."""

import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.models import patchify, unpatchify


@pytest.mark.parametrize(("side", "patch", "channels"), [(6, 2, 3), (8, 8, 1), (9, 3, 5)])
def test_unpatchify_inverts_patchify(side, patch, channels):
    images = jnp.asarray(
        np.random.default_rng(0).integers(0, 256, (2, side, side, channels), dtype=np.uint8)
    )
    patches = patchify(images, patch)
    assert patches.shape == (2, (side // patch) ** 2, patch * patch * channels)
    assert patches.dtype == images.dtype
    assert np.array_equal(unpatchify(patches, patch, channels), images)


def test_patches_run_by_rows_and_their_values_by_row_column_channel():
    images = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    patches = np.asarray(patchify(jnp.asarray(images), 2))
    assert np.array_equal(patches[1, 0], images[1, :2, :2].ravel())
    assert np.array_equal(patches[1, 1], images[1, :2, 2:4].ravel())
    assert np.array_equal(patches[1, 3], images[1, 2:, :2].ravel())


def test_images_that_patches_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="10 x 10 pixels cannot be cut into patches of 4"):
        patchify(jnp.zeros((1, 10, 10, 3)), 4)
