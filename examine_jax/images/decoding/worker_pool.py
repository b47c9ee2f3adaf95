"""Worker processes that call a function on items: what ends one of them costs one item.

A task is `package.module:function`. The function gets settings and returns what is called as
`call(item, budget)` for each item, in a worker. Settings, items and results are what `messages`
packs. The workers are kept between calls; one without work ends after a minute, and all end with
this process.
"""

import collections
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
from examine_jax.images.decoding.parallel import Budget, CalledOff, available_cores
from examine_jax.images.decoding.unreadable import UnreadableImage

_PROGRAM = pathlib.Path(__file__).with_name("worker.py")

# A worker uses one core: others use the rest, and threads would take address space.
_ONE_THREAD = {
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TIFFFILE_NUM_THREADS"), "1"),
    "MALLOC_ARENA_MAX": "2",
}

# Linux: room for several results, so that a worker need not wait until they are read.
_PIPE_BYTES = 2**20
_SET_PIPE_SIZE = 1031

# Small messages are read several at a time.
_AHEAD_BYTES = 2**16

# A worker starts in a third of a second where the machine is not busy.
_START_SECONDS = 120.0

# How often a thread that waits for a worker looks whether its work was called off.
_LOOK_SECONDS = 0.2


class NoWorkers(Exception):
    """No worker process can do the task. The message says why."""


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
        self.started_by = _identity()
        # What this process can import; `describe` may be anywhere.
        known = json.dumps([os.path.abspath(path) for path in sys.path])
        variables = {**os.environ, **_ONE_THREAD}
        try:
            if not sys.executable:
                raise OSError("this process does not know its Python interpreter")
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), known],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=variables,
            )
        except OSError as error:
            raise NoWorkers(f"no process can be started: {error}") from error
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._starts = self.process.stderr.fileno()
        os.set_blocking(self._starts, False)
        self._writing = self.process.stdin.fileno()
        self._reading = self.process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._reading, select.POLLIN)
        os.set_blocking(self._reading, False)
        self._deadline = float("inf")
        self._stopped: threading.Event | None = None
        self._ahead = bytearray(_AHEAD_BYTES)  # What was read beyond what was asked for:
        self._unread = memoryview(self._ahead)[:0]  # this part of it.
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
        held = min(len(buffer), len(self._unread))
        buffer[:held] = self._unread[:held]
        self._unread = self._unread[held:]
        while held < len(buffer):
            try:
                count = os.readv(self._reading, [buffer[held:], self._ahead])
            except BlockingIOError:
                self._wait()
                continue
            if not count:
                raise _Ended
            beyond = max(0, count - (len(buffer) - held))
            self._unread = memoryview(self._ahead)[:beyond]
            held += count - beyond

    def _wait(self) -> None:
        while not self._poll.poll(_LOOK_SECONDS * 1000):
            if self._stopped is not None and self._stopped.is_set():
                raise _Ended
            if time.monotonic() > self._deadline:
                raise _Overdue

    def started(self) -> int:
        """How many items the worker began since this was asked last."""
        try:
            return len(os.read(self._starts, _AHEAD_BYTES))
        except OSError:
            return 0

    def end(self) -> int:
        """Ends the process, and returns how it ended."""
        # One that ended by itself says by which signal; it is gone when its pipes are closed.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.1)
        self.process.kill()
        code = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


def _identity() -> tuple[Any, ...]:
    """What a worker shares with the process that starts it: rights, and what can be imported."""
    return os.geteuid(), os.getegid(), tuple(sys.path)


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
            if worker.process.poll() is None and worker.started_by == _identity():
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
    if not hasattr(select, "poll") or not hasattr(signal, "SIGXCPU"):
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
    found: dict[int, Any] = {}
    crashed: set[int] = set()
    lost = False
    while True:
        if stopped.is_set():
            raise CalledOff
        missing = [index for index in range(len(items)) if index not in found]
        wanted = [items[index] for index in missing]
        worker = _idle.take()
        begun = 0
        try:
            _prepare(worker, task, wanted, stopped)
            for index, result in zip(missing, _results(worker, task, wanted, budget, stopped)):
                found[index] = result
        except (_Overdue, _Ended) as ending:
            begun = worker.started()
            code = worker.end()
            if stopped.is_set():
                raise CalledOff from None
            if not begun:  # One that had no work for long may end as it gets some.
                if lost:
                    raise NoWorkers(f"worker processes end at once ({_ending(code)})") from None
                lost = True
                continue
            index = missing[begun - 1]
            found.pop(index, None)
            if isinstance(ending, _Overdue):
                found[index] = UnreadableImage(_waited(task.limits))
            elif code == -signal.SIGXCPU:
                found[index] = UnreadableImage(_computed(task.limits))
            elif index in crashed:
                found[index] = UnreadableImage(_crashed(code))
            # An earlier item may have damaged the worker, so an item gets a second one.
            crashed.add(index)
        except BaseException:
            worker.end()
            raise
        else:
            worker.started()
            _idle.give_back(worker)
        if len(found) == len(items):
            return [found[index] for index in range(len(items))]


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
    match started:
        case {"prepared": True}:
            return
        case {"unprepared": reason}:
            raise NoWorkers(f"they cannot import what they need: {reason}")
    raise _Ended


def _results(
    worker: _Worker,
    task: Task,
    items: Sequence[tuple[Any, int]],
    budget: Budget,
    stopped: threading.Event,
) -> Iterator[Any]:
    def receive(pixels: int, size: int) -> dict[str, Any]:
        seconds = task.limits.waiting_seconds + 10 * task.limits.time_for(size, pixels)
        message = worker.receive(seconds, stopped)
        if not _is_answer(message):
            raise _Ended
        return message  # type: ignore[no-any-return]

    replies: collections.deque[dict[str, Any]] = collections.deque()
    for _, size in items:
        with contextlib.ExitStack() as item:
            claims: list[contextlib.ExitStack] = []  # The last ends first.
            pixels = 0
            while not replies:
                message = receive(pixels, size)
                if "claim" in message:
                    claim = item.enter_context(contextlib.ExitStack())
                    claim.enter_context(budget.claim(message["claim"], stopped=stopped))
                    claims.append(claim)
                    worker.send(True)
                    pixels += message["claim"]
                elif "release" in message:
                    if not claims:
                        raise _Ended
                    claims.pop().close()
                else:
                    replies.extend(message["replies"])
        reply = replies.popleft()
        if "failed" in reply:
            raise RuntimeError(f"{task.name} failed in a worker process:\n{reply['failed']}")
        if "exhausted" in reply:
            yield UnreadableImage(_too_much_memory(task.limits))
        else:
            yield reply["value"]


def _is_answer(message: Any) -> bool:
    """Whether a message is what a worker sends that is in order."""
    match message:
        case {"claim": int(amount)}:
            return amount >= 0
        case {"release": True}:
            return True
        case {"replies": [*replies]}:
            return all(
                isinstance(reply, dict) and len({"value", "failed", "exhausted"} & set(reply)) == 1
                for reply in replies
            )
    return False


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
