"""The flags of slides as the library's values."""

import pytest

from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from launch.slices_and_tiles import SliceAndTileFlags


def test_flags_become_a_tiling() -> None:
    assert SliceAndTileFlags().tiling == HALF_MICROMETRE
    assert SliceAndTileFlags(level=1, overlap=8).tiling == Tiling(mpp=None, level=1, overlap=8)
    assert SliceAndTileFlags(mpp=1.0, tissue=0.0).tiling == Tiling(mpp=1.0, tissue=0.0)
    with pytest.raises(ValueError, match="--mpp and --level both say"):
        SliceAndTileFlags(mpp=1.0, level=0)
    with pytest.raises(ValueError, match="overlap=256: pixels, from 0 to one less than"):
        _ = SliceAndTileFlags(overlap=256).tiling
