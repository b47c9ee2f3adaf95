import numpy as np
import pytest
import skimage

from examine_jax.images.decoding.depth import (
    bits_that_hold,
    check_bits_stored,
    float_full_scale,
    float_note,
    float_problem,
    integer_problem,
    to_bytes,
)


def test_bits_are_the_fewest_from_8_to_16_that_hold_the_value():
    assert [bits_that_hold(v) for v in (0, 1, 255, 256, 1023, 1024, 4095, 4096, 65535)] == [
        8,
        8,
        8,
        9,
        10,
        11,
        12,
        13,
        16,
    ]


def test_sixteen_bits_agree_with_scikit_image():
    values = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(
        to_bytes(values, 65535.0),
        np.rint(skimage.util.img_as_float64(values) * 255).astype(np.uint8),
    )


def test_unit_floats_agree_with_scikit_image():
    values = np.random.default_rng(0).random(10_000, np.float32)
    np.testing.assert_array_equal(to_bytes(values, 1.0), skimage.util.img_as_ubyte(values))


def test_overshoots_are_clipped():
    np.testing.assert_array_equal(
        to_bytes(np.array([-3.0, 0, 4095, 5000], np.float32), 4095.0), [0, 0, 255, 255]
    )


@pytest.mark.parametrize(
    ("smallest", "largest", "bits_stored", "problem"),
    [
        (0, 65535, None, None),
        (0, 4095, 12, None),
        (0, 4096, 12, "does not fit bits_stored=12"),
        (-1024, 3071, None, "values from -1024 to 3071"),
        (0, 65536, None, "only 0 to 65535"),
    ],
)
def test_integers_out_of_range_are_named(smallest, largest, bits_stored, problem):
    found = integer_problem(smallest, largest, bits_stored)
    assert found is None if problem is None else problem in found


def test_floats_out_of_range_are_named():
    assert float_problem(0.0, 1.0) is None
    assert float_problem(0.0, 255.0) is None
    assert "values from -1 to 1" in float_problem(-1.0, 1.0)
    assert "[0, 255]" in float_problem(0.0, 4095.0)
    assert "NaN" in float_problem(np.nan, np.nan)
    assert "infinity" in float_problem(0.0, np.inf)
    assert "values from -0.01 to 1" in float_problem(-0.01, 1.0)
    assert "values from 0 to 256" in float_problem(0.0, 256.0)


def test_rounding_beyond_a_scale_is_tolerated_and_values_between_the_scales_are_not():
    assert float_problem(-1e-7, 1 + 1e-7) is None
    assert float_problem(0.0, 255.4) is None
    assert [float_full_scale(largest) for largest in (0.1, 1.0, 1.001, 2.0, 255.0)] == [
        1.0,
        1.0,
        1.0,
        255.0,
        255.0,
    ]
    for largest in (1.003, 1.5, 1.999):
        with pytest.raises(ValueError, match="fit neither"):
            float_full_scale(largest)
    assert float_note(1.0, 0.5) == ()
    assert float_note(255.0, 200.0) == ("floats up to 200 are read as 0 (black) to 255 (white)",)


def test_bits_stored_out_of_range_is_refused():
    check_bits_stored(None)
    for bits in (7, 17):
        with pytest.raises(ValueError, match=f"bits_stored={bits}"):
            check_bits_stored(bits)


def test_huge_values_are_clipped_in_silence():
    values = np.array([3e38, -3e38, 0.5], np.float32)
    np.testing.assert_array_equal(to_bytes(values, 1e-3), [255, 0, 255])
