import numpy as np
import pytest

from examine_jax.images.artefacts import ARTEFACTS, corrupt_with_artefacts
from examine_jax.images.artefacts.artefact import generator

KINDS = ("noise", "jpeg", "inverted")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(40, 160, (31, 16, 16, 3), dtype=np.uint8)


def test_a_share_is_spoilt_equally_by_each_kind(pixels):
    before = pixels.copy()
    spoilt, kind = corrupt_with_artefacts(pixels, KINDS, 0.3, 0.66, seed=2)
    np.testing.assert_array_equal(pixels, before)
    assert np.bincount(kind + 1).tolist() == [22, 3, 3, 3]
    np.testing.assert_array_equal(spoilt[kind < 0], pixels[kind < 0])
    for index in np.flatnonzero(kind >= 0):
        one = ARTEFACTS[KINDS[kind[index]]](0.66).apply(pixels[index], generator(2, int(index)))
        np.testing.assert_array_equal(spoilt[index], one)
        assert (one != pixels[index]).any()


def test_the_seed_decides_everything(pixels):
    first, kinds = corrupt_with_artefacts(pixels, KINDS, 0.5, seed=7)
    again, kinds_again = corrupt_with_artefacts(pixels, KINDS, 0.5, seed=7)
    _, others = corrupt_with_artefacts(pixels, KINDS, 0.5, seed=8)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(kinds, kinds_again)
    assert (kinds != others).any()


def test_none_and_all(pixels):
    same, kind = corrupt_with_artefacts(pixels, KINDS, 0.0)
    np.testing.assert_array_equal(same, pixels)
    assert (kind == -1).all()
    _, kind = corrupt_with_artefacts(pixels, KINDS, 1.0)
    assert (kind >= 0).all()
    empty, kind = corrupt_with_artefacts(pixels[:0], KINDS, 0.5)
    assert len(empty) == len(kind) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), 0.2, 0.5), "kinds is empty"),
        ((("fog",), 0.2, 0.5), "unknown artefact 'fog'"),
        ((KINDS, 1.2, 0.5), "share=1.2"),
        ((KINDS, float("nan"), 0.5), "share=nan"),
        ((KINDS, 0.2, 0.0), "strength=0"),
        ((KINDS, 0.2, 0.5, -1), "seed=-1"),
    ],
)
def test_arguments_out_of_range_are_refused(pixels, arguments, message):
    with pytest.raises(ValueError, match=message):
        corrupt_with_artefacts(pixels, *arguments)
