"""A run's programs are compiled once, also where that begins before the training set is read."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import monitoring

from examine_jax.training import programs
from examine_jax.training.columns import RowSpec
from examine_jax.training.loop import train
from examine_jax.training.optimiser import SGD, Constant
from examine_jax.training.programs import compile_meanwhile
from examine_jax.training.settings import Phase, PretrainSettings


@dataclasses.dataclass(frozen=True)
class Mean:
    """Its parameter nears the mean of the numbers. Another name makes other programs."""

    name: str
    columns: tuple[str, ...] = ("number",)

    def init(self, key, batch):
        if self.name == "faulty":
            raise ValueError("the method cannot begin")
        return {"mean": jax.random.normal(key)}, {}

    def loss(self, params, state, batch, key):
        return jnp.square(params["mean"] - batch["number"]).mean(), (state, {})

    def after_update(self, params, state, step):
        return state


SETTINGS = PretrainSettings(
    (Phase(steps=3),), batch_size=2, optimiser=SGD(0.0, 0.0), schedule=Constant(0.1)
)
NUMBERS = {"number": np.array([1.0, 10.0, 100.0], np.float32)}
ROW = RowSpec.of(NUMBERS)


@pytest.fixture
def compiled():
    """Names of the programs that are compiled."""
    wait()  # for what an earlier test has begun
    found = []

    def heard(event, seconds, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(about.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(heard)
    yield found
    monitoring.unregister_event_duration_listener(heard)


def wait():
    for thread in threading.enumerate():
        if thread.name == "compile":
            thread.join()


def begins(compiled):
    return [name for name in compiled if name in ("start", "step", "jit(start)", "jit(step)")]


@pytest.mark.parametrize("ahead", [False, True])
def test_start_and_step_are_compiled_once(tmp_path, compiled, ahead):
    method = Mean(f"ahead: {ahead}")
    if ahead:
        compile_meanwhile(method, SETTINGS, ROW)
        wait()
        assert len(begins(compiled)) == 2
    trained = train(method, NUMBERS, SETTINGS, tmp_path, progress=False)
    assert len(begins(compiled)) == 2
    other_seed = dataclasses.replace(SETTINGS, seed=1)
    train(method, NUMBERS, other_seed, tmp_path / "other", progress=False)
    assert len(begins(compiled)) == 2
    plain = train(Mean("plain"), NUMBERS, SETTINGS, tmp_path / "plain", progress=False)
    assert float(trained.params["mean"]) == float(plain.params["mean"])


def test_a_run_that_is_finished_compiles_no_step(tmp_path, compiled):
    method = Mean("finished")
    first = train(method, NUMBERS, SETTINGS, tmp_path, progress=False)
    programs._programs.cache_clear()  # as in another process
    compiled.clear()
    again = train(method, NUMBERS, SETTINGS, tmp_path, progress=False)
    assert begins(compiled) in (["start"], ["jit(start)"])
    assert float(again.params["mean"]) == float(first.params["mean"])


def test_a_run_that_begins_meanwhile_waits(tmp_path, compiled):
    method = Mean("meanwhile")
    compile_meanwhile(method, SETTINGS, ROW)
    train(method, NUMBERS, SETTINGS, tmp_path, progress=False)
    assert len(begins(compiled)) == 2


def test_other_settings_than_those_compiled_for_change_nothing(tmp_path, compiled):
    method = Mean("other settings")
    compile_meanwhile(method, dataclasses.replace(SETTINGS, batch_size=3), ROW)
    train(method, NUMBERS, SETTINGS, tmp_path, progress=False)
    wait()
    assert len(begins(compiled)) == 4


def test_what_cannot_be_compiled_is_reported_by_the_run_alone(tmp_path, capfd):
    compile_meanwhile(Mean("faulty"), SETTINGS, ROW)
    wait()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ValueError, match="cannot begin"):
        train(Mean("faulty"), NUMBERS, SETTINGS, tmp_path, progress=False)


def test_epochs_of_an_unknown_number_of_images_are_not_compiled(compiled):
    settings = dataclasses.replace(SETTINGS, phases=(Phase(steps=3), Phase(epochs=1)))
    compile_meanwhile(Mean("epochs"), settings, ROW)
    wait()
    assert not begins(compiled)
