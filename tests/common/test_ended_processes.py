"""A process that ends says why: two processes at one service, here threads at a dictionary."""

import atexit
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import pytest
from jax._src import distributed

from examine_jax.common import ended_processes
from examine_jax.common.ended_processes import tell_others, watch_others, why_another_ended


class Service:
    """Keeps values by key as the service of `jax.distributed` does: the first value stays."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.changed = threading.Condition()
        self.has_ended = False
        self.waits: list[tuple[str, int]] = []  # key and the longest wait for it, in milliseconds

    def key_value_set(self, key: str, value: str) -> None:
        with self.changed:
            if key in self.values:
                raise jax.errors.JaxRuntimeError(f"ALREADY_EXISTS: {key}")
            self.values[key] = value
            self.changed.notify_all()

    def blocking_key_value_get(self, key: str, milliseconds: int) -> str:
        with self.changed:
            self.waits.append((key, milliseconds))
            self.changed.wait_for(lambda: key in self.values or self.has_ended, milliseconds / 1000)
            if self.has_ended:
                raise jax.errors.JaxRuntimeError("UNAVAILABLE")
            if key not in self.values:
                raise jax.errors.JaxRuntimeError(f"DEADLINE_EXCEEDED: {key}")
            return self.values[key]

    def end(self) -> None:
        with self.changed:
            self.has_ended = True
            self.changed.notify_all()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service, and this process as the first of two."""
    found = Service()
    monkeypatch.setattr(distributed.global_state, "client", found)
    monkeypatch.setattr(ended_processes, "process_count", lambda: 2)
    monkeypatch.setattr(ended_processes, "_SECONDS_FOR_OTHERS", 0.2)
    become(0, monkeypatch)
    return found


def become(process: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_processes, "process_index", lambda: process)
    monkeypatch.setattr(ended_processes, "is_first", lambda: process == 0)


@pytest.fixture
def at_exit(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """What is registered for the end of Python."""
    found: list[Callable[[], Any]] = []
    monkeypatch.setattr(atexit, "register", found.append)
    return found


def test_the_other_process_ends_with_the_reason(
    service: Service, at_exit: list[Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    said: list[str] = []

    def end(message: str) -> None:
        said.append(message)
        ended.set()

    become(1, monkeypatch)
    watch_others(end)
    service.key_value_set("examine_jax/ended", '[0, "no such file: a.png"]')
    assert ended.wait(60)
    assert said == ["process 0 has ended: no such file: a.png"]
    assert "examine_jax/known/1" in service.values  # process 0 may end


def test_the_first_process_waits_until_the_others_know_but_not_for_ever(service: Service) -> None:
    tell_others("interrupted")  # nobody answers
    ((key, milliseconds),) = service.waits
    assert key == "examine_jax/known/1"
    assert 0 < milliseconds <= 200
    assert service.values["examine_jax/ended"] == '[0, "interrupted"]'


def test_the_first_reason_stays_and_nobody_is_told_of_its_own(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(1, monkeypatch)
    tell_others("the first")
    assert why_another_ended(0.0) is None
    become(0, monkeypatch)
    tell_others("the second")
    assert why_another_ended(0.0) == "process 1 has ended: the first"


@pytest.mark.parametrize("how", ["all end", "the service ends"])
def test_a_run_that_ends_well_ends_nobody(
    service: Service, at_exit: list[Callable[[], Any]], how: str
) -> None:
    before = threading.active_count()
    watch_others(pytest.fail)
    if how == "all end":
        at_exit[0]()
    else:
        service.end()
    until = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_a_wait_that_is_over_begins_again(
    service: Service, at_exit: list[Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended_processes, "_SECONDS_A_LOOK", 0.01)
    ended = threading.Event()
    watch_others(lambda message: ended.set())
    time.sleep(0.05)
    service.key_value_set("examine_jax/known/1", "")
    service.key_value_set("examine_jax/ended", '[1, "killed"]')
    assert ended.wait(60)
