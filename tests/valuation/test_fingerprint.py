"""A fingerprint changes with everything that a sampled value depends on."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from examine_jax.common.fingerprints import fingerprint
from examine_jax.valuation import LogisticRegression, Utility

LARGE = np.zeros(5000)


def _changed_in_the_middle() -> np.ndarray:
    """NumPy's repr of both is the same: it leaves the middle of large arrays out."""
    other = LARGE.copy()
    other[2500] = 1
    return other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LARGE, _changed_in_the_middle()),
        ([("array", LARGE)], [("array", _changed_in_the_middle())]),
        ({"array": LARGE}, {"array": _changed_in_the_middle()}),
        (LARGE.astype(np.float32), LARGE),
        (jax.random.key(0), jax.random.key(1)),
        (LogisticRegression(C=1.0), LogisticRegression(C=2.0)),
        (("a", "b"), ("ab",)),
        ((1, 2), [1, 2]),
        ([[1], [2]], [[1, 2]]),
        (None, "None"),
        (1, 1.0),
    ],
)
def test_different_things_differ_and_the_same_do_not(one: Any, other: Any) -> None:
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_a_utility_is_known_by_all_of_its_validation_set() -> None:
    features = np.random.default_rng(0).normal(size=(1200, 2)).astype(np.float32)
    labels = np.arange(1200) % 2
    utility = Utility(features, labels)
    flipped = labels.copy()
    flipped[100:1100] = 1 - labels[100:1100]
    assert fingerprint([utility]) == fingerprint([Utility(features.copy(), labels.copy())])
    assert fingerprint([utility]) != fingerprint([dataclasses.replace(utility, labels=flipped)])


@pytest.mark.parametrize("unknown", [object(), np.array([None]), {1, 2}])
def test_what_no_later_run_can_recognise_is_refused(unknown: Any) -> None:
    with pytest.raises(ValueError, match="frozen dataclass, or keep no state"):
        fingerprint(unknown)
