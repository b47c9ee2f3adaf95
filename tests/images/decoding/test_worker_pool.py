"""A worker process that ends costs one item."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from examine_jax.images.decoding import worker_pool, worker_process
from examine_jax.images.decoding.limits import Limits
from examine_jax.images.decoding.parallel import Budget, CalledOff
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.decoding.worker_pool import Task, call, problem_of
from examine_jax.images.decoding.worker_process import NoWorkers

ACT = "tests.support.hostile_tasks:act"
QUICK = Limits(seconds=0.3, memory=2**27)


@pytest.fixture
def own_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No worker of another test, and none for another."""
    idle = worker_pool._Idle()
    monkeypatch.setattr(worker_pool, "_idle", idle)
    yield
    for worker in idle._workers:
        worker.end()


def results(*items: str, limits: Limits = QUICK, sizes: int = 0) -> list[object]:
    task = Task(ACT, {"a": 1}, limits)
    return call(task, [(item, sizes) for item in items], Budget(10**8), threading.Event())


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("abort", r"the decoder crashed on this file \(SIGABRT\)"),
        ("segfault", r"the decoder crashed on this file \(SIGSEGV\)"),
        ("exit", r"the decoder crashed on this file \(status 3\)"),
        ("spin", r"decoding did not end within 0\.3 s of computing"),
        ("allocate", r"decoding needed more than 128 MiB of memory"),
    ],
)
def test_what_ends_a_worker_costs_one_item(item: str, reason: str) -> None:
    before, ended, after = results("good", item, "good")
    assert before[1:] == after[1:] == [{"a": 1}, "good"]
    assert isinstance(ended, UnreadableImage)
    with pytest.raises(UnreadableImage, match=reason):
        raise ended


def test_a_decoder_that_waits_for_ever_costs_one_item() -> None:
    limits = Limits(seconds=0.01, waiting_seconds=0.3)
    ended, after = results("sleep", "good", limits=limits)
    assert str(ended) == "decoding did not end within 0.3 s"
    assert after[2] == "good"


def test_an_item_that_a_damaged_worker_fails_on_gets_a_second_one(tmp_path: pathlib.Path) -> None:
    assert results(f"first:{tmp_path / 'once'}") == ["second"]


def test_workers_are_kept_and_what_they_print_goes_nowhere(
    capfd: pytest.CaptureFixture[str],
) -> None:
    first, printed = results("good", "print")
    (again,) = results("good")
    assert first[0] == printed[0] == again[0]
    assert capfd.readouterr() == ("", "")


def test_a_claim_raises_the_limit_on_memory() -> None:
    (refused,) = results("claim:1000", sizes=10**6)
    assert isinstance(refused, UnreadableImage)
    (granted,) = results("claim:10000000", sizes=10**6)
    np.testing.assert_array_equal(granted, [1, 1, 1])


def test_an_item_may_claim_the_whole_budget_many_times_but_one_at_a_time() -> None:
    task, amounts = Task(ACT, None), [3_000_000, 3_000_001, 4_000_000]
    budget = Budget(4_000_000)
    item = "claims:" + ",".join(map(str, amounts))
    assert call(task, [(item, 10**6)] * 2, budget, threading.Event()) == [amounts, amounts]
    with budget.claim(4_000_000):  # Nothing is held any more.
        stopped = threading.Event()
        threading.Timer(0.1, stopped.set).start()
        with pytest.raises(CalledOff):
            call(task, [(item, 10**6)], budget, stopped)


def test_a_worker_that_is_out_of_order_costs_one_item() -> None:
    before, ended, *after = results("good", "disorder", "good", "good")
    assert isinstance(ended, UnreadableImage)
    assert [found[2] for found in (before, *after)] == ["good"] * 3


def test_what_a_description_costs_is_not_the_files() -> None:
    limits = Limits(seconds=0.1, memory=2**27, waiting_seconds=-0.9)  # 0.1 s by the clock.
    described, ended, after = results("describe:0.3", "spin", "good", limits=limits)
    assert described == "described"
    assert "did not end within" in str(ended)
    assert after[2] == "good"


def test_limits_grow_with_bytes_and_pixels_and_not_by_a_header_that_lies() -> None:
    limits = Limits()
    assert limits.time_for(1000, 0) < 5
    assert limits.time_for(1000, 10**9) < 5
    assert limits.time_for(10**6, 10**7) == 14.5
    assert limits.memory_for(0, 10**9) == 2**30
    assert limits.memory_for(10**6, 10**7) == 2**30 + 2 * 10**6 + 32 * 10**7


def test_an_error_of_the_task_is_raised() -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'nothing'"):
        results("raise:nothing")


def test_a_task_that_a_worker_cannot_do_says_why() -> None:
    for name, reason in (
        ("tests.support.hostile_tasks:broken", "no such codec"),
        ("tests.support.nothing:at_all", "No module named"),
    ):
        task = Task(name, None)
        problem = problem_of(task)
        assert problem is not None
        assert reason in problem
        with pytest.raises(NoWorkers, match=reason):
            call(task, [("good", 0)], Budget(1), threading.Event())
    assert problem_of(Task(ACT, None)) is None


@pytest.mark.usefixtures("own_workers")
def test_without_an_interpreter_there_are_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    problem = problem_of(Task(ACT, None))
    assert problem is not None
    assert "no process can be started" in problem


@pytest.mark.skipif(shutil.which("ls") is None, reason="needs a program that is no Python")
@pytest.mark.usefixtures("own_workers")
def test_an_interpreter_that_is_none_is_no_crash_of_an_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("ls"))
    problem = problem_of(Task(ACT, None))
    assert problem is not None
    assert "worker processes end at once (status" in problem


@pytest.mark.usefixtures("own_workers")
def test_workers_import_from_where_this_process_does_and_nowhere_else(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_in = os.getcwd()
    for name in ("json", "sitecustomize", "usercustomize", "numpy"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    monkeypatch.chdir(tmp_path)  # As a user's program may do, to a folder of images.
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    paths = [path for path in sys.path if os.path.isabs(path)]
    monkeypatch.setattr(sys, "path", ["", *paths, "below"])
    (found,) = results("path")
    assert found == [started_in, *paths, os.path.join(started_in, "below")]
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("own_workers")
def test_a_worker_that_waits_for_room_is_not_one_without_work(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = worker_process.PROGRAM
    impatient = program.read_text().replace("_IDLE_SECONDS = 60.0", "_IDLE_SECONDS = 0.2")
    (tmp_path / "worker.py").write_text(impatient.replace("__file__", repr(str(program))))
    monkeypatch.setattr(worker_process, "PROGRAM", tmp_path / "worker.py")
    task, budget = Task(ACT, None), Budget(3_000_000)
    call(task, [], budget, threading.Event())  # Starts the worker.
    with contextlib.ExitStack() as held:
        held.enter_context(budget.claim(3_000_000))
        threading.Timer(0.5, held.close).start()
        found = call(task, [("claims:3000000", 10**6)], budget, threading.Event())
    assert found == [[3_000_000]]


def test_work_that_is_called_off_ends_at_the_next_message() -> None:
    stopped = threading.Event()

    class Stopping(Budget):
        @contextlib.contextmanager
        def claim(self, *arguments: Any, **named: Any) -> Iterator[None]:
            stopped.set()
            with super().claim(*arguments, **named):
                yield

    with pytest.raises(CalledOff):
        call(Task(ACT, None), [("claims:3000000", 10**6)], Stopping(10**7), stopped)


def test_work_that_is_called_off_ends_at_once() -> None:
    stopped = threading.Event()
    task = Task(ACT, None)
    threading.Timer(0.3, stopped.set).start()
    with pytest.raises(CalledOff):
        call(task, [("sleep", 0)], Budget(1), stopped)


def test_workers_import_no_jax_for_files_and_the_library_where_it_is_asked_for() -> None:
    # A worker of its own: others have done other tasks.
    program = """
        import threading
        from examine_jax.images.decoding.parallel import Budget
        from examine_jax.images.decoding.worker_pool import Task, call
        task = Task("tests.support.hostile_tasks:act", None)
        settings = {"image_size": 8, "channels": 3, "bits_stored": None, "max_pixels": 10,
                    "max_bytes": 10, "describe": None}
        frames = Task("examine_jax.images.decoding.file_tasks:frames", settings)
        call(frames, [("nowhere.png", 0)], Budget(1), threading.Event())
        items = [("modules:jax", 0), ("modules:jaxlib", 0), ("modules:PIL", 0)]
        jax, jaxlib, pillow = call(task, items, Budget(1), threading.Event())
        assert jax == jaxlib == [], jax
        assert pillow
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def _alive(process: int) -> bool:
    try:
        status = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc to find processes")
@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGINT])
def test_a_parent_that_ends_leaves_no_worker(ended_by: signal.Signals) -> None:
    # No guard of __name__: a worker does not import the program that starts it.
    program = """
        import signal, threading
        from examine_jax.images.decoding.parallel import Budget
        from examine_jax.images.decoding.worker_pool import Task, call
        # A test that a shell starts in the background inherits a SIGINT that is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        task = Task("tests.support.hostile_tasks:act", None)
        ((process, *_),) = call(task, [("good", 0)], Budget(1), threading.Event())
        print(process, flush=True)
        call(task, [("sleep", 0)], Budget(1), threading.Event())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert _alive(worker)
        parent.send_signal(ended_by)
        parent.wait(30)
    deadline = time.monotonic() + 30
    while _alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(worker)
