"""The order of the images."""

import numpy as np
import pytest

from examine_jax.training.batches import BatchOrder, RepeatedOrder


@pytest.mark.parametrize(("count", "batch"), [(10, 3), (12, 4), (5, 5), (7, 1)])
def test_an_epoch_is_a_permutation_less_the_ragged_end(count, batch):
    order = BatchOrder(count, batch, seed=3)
    epochs = order.indices(0, 3 * order.steps_per_epoch).reshape(3, -1)
    for epoch in epochs:
        assert len(set(epoch.tolist())) == count // batch * batch
        assert set(epoch.tolist()) <= set(range(count))
    if count > 5:
        assert not np.array_equal(epochs[0], epochs[1])


def test_a_step_has_the_same_batch_wherever_the_run_was_started():
    order = BatchOrder(23, 4, seed=1)
    whole = order.indices(0, 40)
    for first, steps in [(0, 1), (7, 3), (39, 1), (4, 36)]:
        assert np.array_equal(
            BatchOrder(23, 4, seed=1).indices(first, steps), whole[first : first + steps]
        )


def test_seeds_and_phases_have_orders_of_their_own():
    orders = [
        BatchOrder(50, 50, seed, stream).indices(0, 1) for seed, stream in [(0, 0), (1, 0), (0, 1)]
    ]
    assert not any(np.array_equal(orders[i], orders[j]) for i in range(3) for j in range(i))


def test_every_image_is_seen_about_equally_often():
    order = BatchOrder(11, 4, seed=0)
    counts = np.bincount(order.indices(0, 2 * 400).ravel(), minlength=11)
    assert counts.sum() == 3200
    assert abs(counts - 3200 / 11).max() < 5 * np.sqrt(
        400 * (3 / 11) * (8 / 11)
    )  # five deviations of a binomial


@pytest.mark.parametrize("batch", [0, -1, 6])
def test_a_batch_larger_than_the_set_is_refused(batch):
    with pytest.raises(ValueError, match="out of 5 images"):
        BatchOrder(5, batch, seed=0)


def test_an_image_occurs_as_often_as_its_repeat_factor_says():
    repeats = (1.0, 2.5, 0.25, 3.0, 1.3)
    order = RepeatedOrder(repeats, 4, seed=0)
    assert (order.count, order.steps_per_epoch) == (8, 2)
    counts = np.array([np.bincount(order.epoch(number), minlength=5) for number in range(300)])
    assert (counts >= np.floor(repeats)).all()
    assert (counts <= np.ceil(repeats)).all()
    assert (counts.sum(axis=1) == 8).all()
    # One of 8.05 is cut off, shared by the three with a fraction; 5 deviations of a coin.
    assert np.allclose(counts.mean(axis=0), repeats, atol=0.06 + 5 * 0.5 / np.sqrt(300))


def test_whole_repeat_factors_repeat_exactly():
    order = RepeatedOrder((3.0, 1.0, 0.0, 2.0), 3, seed=1)
    for number in range(3):
        assert np.bincount(order.epoch(number), minlength=4).tolist() == [3, 1, 0, 2]
    whole = order.indices(0, 6)
    assert np.array_equal(order.indices(3, 2), whole[3:5])
    assert not np.array_equal(order.epoch(0), order.epoch(1))


def test_the_fraction_of_a_repeat_factor_is_drawn_anew_each_epoch():
    order = RepeatedOrder((1.5, 1.5), 3, seed=0)
    assert len({tuple(np.bincount(order.epoch(number))) for number in range(20)}) == 2


@pytest.mark.parametrize("repeats", [(1.0, float("nan")), (-1.0, 3.0), (float("inf"),)])
def test_a_repeat_factor_that_is_no_count_is_refused(repeats):
    with pytest.raises(ValueError, match="finite"):
        RepeatedOrder(repeats, 1, seed=0)


def test_a_batch_larger_than_a_repeated_epoch_is_refused():
    with pytest.raises(ValueError, match="out of 2 images an epoch"):
        RepeatedOrder((0.5, 1.5), 3, seed=0)
