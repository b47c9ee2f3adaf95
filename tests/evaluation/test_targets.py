"""Labels are converted into targets or refused with a reason."""

import numpy as np
import pytest

from examine_jax.evaluation.targets import as_targets, class_codes


@pytest.mark.parametrize(
    "labels", [np.array([0, 2, 1]), np.array([0.0, 2.0, 1.0]), np.array([0, 2, 1], np.uint8)]
)
def test_whole_numbers_are_classes(labels):
    found = class_codes(labels, 3, 3)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [0, 2, 1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([[0], [1], [0]]), r"labels \[3, 1\] for 3 rows"),
        (np.array([0, 1]), r"labels \[2\] for 3 rows"),
        (np.array([0.5, 1.0, 1.2]), "not all whole numbers"),
        (np.array([0.0, np.nan, 1.0]), "not all whole numbers"),
        (np.array(["a", "b", "a"]), "labels of type <U1"),
        (np.array([0, 3, 1]), r"label 3 of row 1 is outside 0 .. 2"),
        (np.array([0, -1, 1]), r"label -1 of row 1 is outside"),
    ],
)
def test_invalid_labels_are_refused_with_a_reason(labels, message):
    with pytest.raises(ValueError, match=message):
        class_codes(labels, 3, 3)


def test_fractional_labels_are_refused():
    with pytest.raises(ValueError, match="whole numbers"):
        as_targets(np.array([0.5, 1.2]), 2)
