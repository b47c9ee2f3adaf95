"""A row that may no longer be chosen is not chosen, however little is left to choose from."""

import numpy as np
import pytest

from examine_jax.selection import FacilityLocation, KMeansMedoids, MaxHerding, select


@pytest.mark.parametrize("strategy", [KMeansMedoids(), FacilityLocation(), MaxHerding()])
@pytest.mark.parametrize("budget", [20, 40])
def test_no_row_is_chosen_twice_and_no_group_more_than_allowed(strategy, budget):
    features = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    chosen = select(features, budget, strategy=strategy).indices
    assert len(set(chosen.tolist())) == budget
    groups = np.arange(120) % 40
    chosen = select(features, budget, strategy=strategy, groups=groups, per_group=1).indices
    assert len(set(groups[chosen].tolist())) == budget
