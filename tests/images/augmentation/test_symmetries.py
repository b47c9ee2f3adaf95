"""Mirror images and quarter turns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.images.augmentation import Dihedral, Flip, QuarterTurns


def test_all_eight_symmetries_occur_equally_often_and_nothing_else():
    tile = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    turned = np.asarray(Dihedral()(jax.random.key(0), jnp.asarray(np.stack([tile] * 800))))
    symmetries = [
        np.rot90(flipped, turns) for flipped in (tile, tile[:, ::-1]) for turns in range(4)
    ]
    counts = [int((turned == symmetry).all(axis=(1, 2, 3)).sum()) for symmetry in symmetries]
    assert sum(counts) == 800
    assert max(abs(count - 100) for count in counts) < 5 * np.sqrt(800 / 8 * 7 / 8)


def test_switched_off_it_changes_nothing():
    images = jax.random.uniform(jax.random.key(0), (4, 5, 6, 2))
    assert np.array_equal(
        Dihedral(flips=False, quarter_turns=False)(jax.random.key(1), images), images
    )


def test_quarter_turns_of_oblong_images_are_refused():
    with pytest.raises(ValueError, match="5 x 6"):
        Dihedral()(jax.random.key(0), jnp.zeros((1, 5, 6, 1)))


def test_flips_come_as_often_as_asked_for_in_each_direction():
    tile = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
    result = np.asarray(
        Flip(horizontal=0.5, vertical=0.2)(jax.random.key(0), jnp.asarray(np.stack([tile] * 2000)))
    )
    expected = [(tile, 0.4), (tile[:, ::-1], 0.4), (tile[::-1], 0.1), (tile[::-1, ::-1], 0.1)]
    for flipped, share in expected:
        assert abs((result == flipped).all(axis=(1, 2, 3)).mean() - share) < 0.05


def test_the_four_quarter_turns_occur_equally_often_and_no_mirror_image():
    tile = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    turned = np.asarray(QuarterTurns()(jax.random.key(0), jnp.asarray(np.stack([tile] * 800))))
    counts = [
        int((turned == np.rot90(tile, turns)).all(axis=(1, 2, 3)).sum()) for turns in range(4)
    ]
    assert sum(counts) == 800
    assert max(abs(count - 200) for count in counts) < 5 * np.sqrt(800 / 4 * 3 / 4)
