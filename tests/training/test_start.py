"""Runs that begin with given parameters or repeat images."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.training.batches import RepeatedOrder
from examine_jax.training.loop import train
from examine_jax.training.optimiser import SGD, Constant
from examine_jax.training.settings import Phase, PretrainSettings


@dataclasses.dataclass(frozen=True)
class Sum:
    """Its only parameter grows by the batch's numbers; its state counts them."""

    columns: tuple[str, ...] = ("number",)

    def init(self, key, batch):
        return {"total": jnp.zeros(())}, {"seen": jnp.zeros(len(batch["number"]), jnp.int32)}

    def loss(self, params, state, batch, key):
        loss = -params["total"] * batch["number"].sum()
        return loss, ({"seen": batch["index"]}, {})

    def after_update(self, params, state, step):
        return state


SETTINGS = PretrainSettings(
    (Phase(steps=3),), batch_size=2, optimiser=SGD(0.0, 0.0), schedule=Constant(1.0)
)
NUMBERS = {"number": np.array([1.0, 10.0, 100.0], np.float32)}


def test_a_run_goes_on_from_the_given_parameters(tmp_path):
    plain = train(Sum(), NUMBERS, SETTINGS, tmp_path / "a", progress=False)
    start = ({"total": np.float32(1000)}, {"seen": np.zeros(2, np.int32)})
    moved = train(Sum(), NUMBERS, SETTINGS, tmp_path / "b", start=start, progress=False)
    assert float(moved.params["total"]) == float(plain.params["total"]) + 1000
    assert start[0]["total"] == 1000


def test_a_workdir_is_refused_for_a_run_with_another_beginning(tmp_path):
    start = ({"total": np.float32(1)}, {"seen": np.zeros(2, np.int32)})
    train(Sum(), NUMBERS, SETTINGS, tmp_path, start=start, progress=False)
    other = ({"total": np.float32(2)}, start[1])
    with pytest.raises(ValueError, match="start"):
        train(Sum(), NUMBERS, SETTINGS, tmp_path, start=other, progress=False)
    assert "start" in json.loads((tmp_path / "pretraining.json").read_text())


@pytest.mark.parametrize(
    "params", [{"total": np.zeros(2, np.float32)}, {"mean": np.float32(0)}, {}]
)
def test_parameters_of_another_method_are_refused_by_name(tmp_path, params):
    start = (params, {"seen": np.zeros(2, np.int32)})
    with pytest.raises(ValueError, match=r"start: the parameter .*total"):
        train(Sum(), NUMBERS, SETTINGS, tmp_path, start=start, progress=False)


def test_images_are_repeated_as_their_factors_say(tmp_path):
    repeats = (4.0, 0.0, 2.0)
    run = train(Sum(), NUMBERS, SETTINGS, tmp_path, repeats=repeats, progress=False)
    order = RepeatedOrder(repeats, 2, seed=0).indices(0, 3)
    assert float(run.params["total"]) == 204 == NUMBERS["number"][order].sum()
    assert jax.tree.leaves(run.state)[0].tolist() == order[-1].tolist()


def test_repeats_of_another_number_of_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 for 3 images"):
        train(Sum(), NUMBERS, SETTINGS, tmp_path, repeats=(1.0, 1.0), progress=False)
