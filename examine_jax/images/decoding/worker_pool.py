"""Worker processes that call a function on items: what ends one of them costs one item.

A task is `package.module:function`. The function gets settings and returns what is called as
`call(item, budget)` for each item, in a worker. Settings, items and results are what `messages`
packs. The workers are kept between calls; one without work ends after a minute, and all end with
this process.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from examine_jax.images.decoding import messages
from examine_jax.images.decoding.limits import Limits
from examine_jax.images.decoding.parallel import Budget, available_cores
from examine_jax.images.decoding.unreadable import UnreadableImage

_PROGRAM = pathlib.Path(__file__).with_name("worker.py")

# Linux: room for several results, so that a worker need not wait until they are read.
_PIPE_BYTES = 2**20
_SET_PIPE_SIZE = 1031

# A worker starts in a third of a second where the machine is not busy.
_START_SECONDS = 120.0

# How often a thread that waits for a worker looks whether its work was called off.
_LOOK_SECONDS = 0.2


class NoWorkers(Exception):
    """No worker process can do the task. The message says why."""


class CalledOff(Exception):
    """The caller wants no results any more."""


class _Ended(Exception):
    """The worker ended, or is out of order."""


class _Overdue(Exception):
    """The worker sent nothing for too long."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What workers do.

    Attributes:
        name: `package.module:function`, importable by name.
        settings: handed to the function.
        limits: of one item.
    """

    name: str
    settings: Any
    limits: Limits = dataclasses.field(default_factory=Limits)


class _Worker:
    """One process and the pipes to and from it."""

    def __init__(self) -> None:
        # Before anything of the library is imported, the worker needs what this process can import.
        known = json.dumps([os.path.abspath(path) for path in sys.path])
        variables = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        try:
            if not sys.executable:
                raise OSError("this process does not know its Python interpreter")
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), known],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=variables,
            )
        except OSError as error:
            raise NoWorkers(f"no process can be started: {error}") from error
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._writing = self.process.stdin.fileno()
        self._reading = self.process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._reading, select.POLLIN)
        self._deadline = float("inf")
        self._stopped: threading.Event | None = None
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.fcntl(self._reading, _SET_PIPE_SIZE, _PIPE_BYTES)

    def send(self, value: Any) -> None:
        try:
            for buffer in messages.pack(value):
                rest = memoryview(buffer)
                while len(rest):
                    rest = rest[os.write(self._writing, rest) :]
        except OSError as error:
            raise _Ended from error

    def receive(self, seconds: float, stopped: threading.Event) -> Any:
        """The next message.

        Raises:
            _Ended, _Overdue: there is none, or not within these seconds, or the work is called off.
        """
        self._deadline, self._stopped = time.monotonic() + seconds, stopped
        try:
            return messages.unpack(self._fill)
        except (messages.DamagedMessage, OSError) as error:
            raise _Ended from error

    def _fill(self, buffer: memoryview) -> None:
        held = 0
        while held < len(buffer):
            if not self._poll.poll(_LOOK_SECONDS * 1000):
                if self._stopped is not None and self._stopped.is_set():
                    raise _Ended
                if time.monotonic() > self._deadline:
                    raise _Overdue
                continue
            count = os.readv(self._reading, [buffer[held:]])
            if not count:
                raise _Ended
            held += count

    def end(self) -> int:
        """Ends the process, and returns how it ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        # One that ended by itself says by which signal; it is gone when its pipes are closed.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.1)
        self.process.kill()
        code = self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        return code


class _Idle:
    """Workers without work, of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []

    def take(self) -> _Worker:
        while True:
            with self._lock:
                if not self._workers:
                    break
                worker = self._workers.pop()
            if worker.process.poll() is None:
                return worker
            worker.end()
        return _Worker()

    def give_back(self, worker: _Worker) -> None:
        with self._lock:
            if len(self._workers) < available_cores():
                self._workers.append(worker)
                return
        worker.end()

    def forget(self) -> None:
        """In a fork of the process, which must not use its workers."""
        self._lock = threading.Lock()
        self._workers = []


_idle = _Idle()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.forget)


def problem_of(task: Task) -> str | None:
    """Why worker processes cannot be used for a task here; None: they can."""
    if not hasattr(select, "poll") or not hasattr(signal, "setitimer"):
        return "this system has no limits on a process's time"
    if not _PROGRAM.is_file():
        return f"{_PROGRAM} is no file"
    try:
        call(task, [], Budget(0), threading.Event())
    except NoWorkers as error:
        return str(error)
    return None


def call(
    task: Task,
    items: Sequence[tuple[Any, int]],
    budget: Budget,
    stopped: threading.Event,
) -> list[Any]:
    """Does a task on items in one worker, which is replaced where an item ends it.

    Args:
        task: what to do.
        items: each with the bytes of its file, by which its limits grow.
        budget: bounds what all workers together hold.
        stopped: calls off the work when it is set.

    Returns:
        The result of each item; an `UnreadableImage` where the item ended the worker.

    Raises:
        NoWorkers: a worker cannot be started, or cannot import the task.
        CalledOff: `stopped` is set.
        RuntimeError: the task raised an error.
    """
    results: list[Any] = []
    ended_before, lost_before = False, False
    while True:
        if stopped.is_set():
            raise CalledOff
        worker = _idle.take()
        before, prepared = len(results), False
        try:
            _prepare(worker, task, items[before:], stopped)
            prepared = True
            for result in _results(worker, task, items[before:], budget, stopped):
                results.append(result)
                ended_before = False
        except _Overdue:
            worker.end()
            results.append(UnreadableImage(_waited(task.limits)))
            ended_before = False
        except _Ended:
            code = worker.end()
            if stopped.is_set():
                raise CalledOff from None
            if not prepared:  # One that had no work for long may end as it gets some.
                if lost_before:
                    raise NoWorkers(f"worker processes end at once ({_ending(code)})") from None
                lost_before = True
            elif code == -signal.SIGPROF:
                results.append(UnreadableImage(_computed(task.limits)))
                ended_before = False
            # An earlier item may have damaged the worker, so an item gets a second one, its own.
            elif ended_before:
                results.append(UnreadableImage(_crashed(code)))
                ended_before = False
            else:
                ended_before = True
        except BaseException:
            worker.end()
            raise
        else:
            _idle.give_back(worker)
        if prepared and len(results) == len(items):
            return results


def _prepare(
    worker: _Worker, task: Task, items: Sequence[tuple[Any, int]], stopped: threading.Event
) -> None:
    request = {
        "task": task.name,
        "settings": task.settings,
        "items": [list(item) for item in items],
        "limits": task.limits,
    }
    worker.send(request)
    try:
        started = worker.receive(_START_SECONDS, stopped)
    except _Overdue:
        raise _Ended from None
    if "unprepared" in started:
        raise NoWorkers(f"they cannot import what they need: {started['unprepared']}")


def _results(
    worker: _Worker,
    task: Task,
    items: Sequence[tuple[Any, int]],
    budget: Budget,
    stopped: threading.Event,
) -> Iterator[Any]:
    def receive(pixels: int, size: int) -> Any:
        seconds = task.limits.waiting_seconds + 10 * task.limits.time_for(size, pixels)
        return worker.receive(seconds, stopped)

    for _, size in items:
        with contextlib.ExitStack() as claims:
            reply, pixels = receive(0, size), 0
            while "claim" in reply:
                claims.enter_context(budget.claim(reply["claim"]))
                worker.send(True)
                pixels += reply["claim"]
                reply = receive(pixels, size)
        if "failed" in reply:
            raise RuntimeError(f"{task.name} failed in a worker process:\n{reply['failed']}")
        if "exhausted" in reply:
            yield UnreadableImage(_too_much_memory(task.limits))
        else:
            yield reply["value"]


def _computed(limits: Limits) -> str:
    return (
        f"decoding did not end within {limits.seconds:g} s of computing, and "
        f"{limits.seconds_per_megabyte:g} s more for each megabyte and megapixel"
    )


def _waited(limits: Limits) -> str:
    return f"decoding did not end within {limits.waiting_seconds:g} s"


def _too_much_memory(limits: Limits) -> str:
    return (
        f"decoding needed more than {limits.memory / 2**20:g} MiB of memory above what its pixels "
        "take"
    )


def _crashed(code: int) -> str:
    if code == -signal.SIGKILL:
        return "the decoder's process was killed twice on this file (by the system, perhaps)"
    return f"the decoder crashed on this file ({_ending(code)})"


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"status {code}"
