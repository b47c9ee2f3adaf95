"""Worker processes that call a function on items: what ends one of them costs one item.

A task is `package.module:function`. The function gets settings and returns what is called as
`call(item, budget)` for each item, in a worker. Settings, items and results are what `messages`
packs. The workers are kept between calls; one without work ends after a minute, and all end with
this process.
"""

import collections
import contextlib
import dataclasses
import os
import select
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from examine_jax.images.decoding.limits import Limits
from examine_jax.images.decoding.module_versions import Version
from examine_jax.images.decoding.parallel import Budget, CalledOff, available_cores
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.decoding.worker_process import (
    PROGRAM,
    Ended,
    NoWorkers,
    Overdue,
    WorkerProcess,
    identity,
)

# A worker starts in a third of a second where the machine is not busy.
_START_SECONDS = 120.0


@dataclasses.dataclass(frozen=True)
class Task:
    """What workers do.

    Attributes:
        name: `package.module:function`, importable by name.
        settings: handed to the function.
        limits: of one item.
        code: the versions of modules that it runs; a worker that imported others does not do it.
    """

    name: str
    settings: Any
    limits: Limits = dataclasses.field(default_factory=Limits)
    code: tuple[Version, ...] = ()


class _Idle:
    """Workers without work, of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: list[WorkerProcess] = []

    def take(self, code: tuple[Version, ...]) -> WorkerProcess:
        while True:
            with self._lock:
                worker = self._workers.pop() if self._workers else None
            if worker is None:
                worker = WorkerProcess()
            elif worker.process.poll() is not None or worker.started_by != identity():
                worker.end()
                continue
            if worker.imports(code):
                return worker
            worker.end()

    def give_back(self, worker: WorkerProcess) -> None:
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
    if not PROGRAM.is_file():
        return f"{PROGRAM} is no file"
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
    lost = alone = False
    while True:
        if stopped.is_set():
            raise CalledOff
        missing = [index for index in range(len(items)) if index not in found]
        if alone:
            missing = missing[:1]
        wanted = [items[index] for index in missing]
        worker = _idle.take(task.code)
        prepared = False
        try:
            _prepare(worker, task, wanted, stopped)
            prepared = True
            for index, result in zip(missing, _results(worker, task, wanted, budget, stopped)):
                found[index] = result
        except (Overdue, Ended) as ending:
            begun = worker.begun() if prepared else 0
            code = worker.end()
            if stopped.is_set():
                raise CalledOff from None
            if not 0 < begun <= len(missing):
                if worker.used:  # One that had no work for long may end as it gets some.
                    continue
                if lost:
                    raise NoWorkers(f"worker processes end at once ({_ending(code)})") from None
                lost = True
                continue
            if code == -signal.SIGKILL and isinstance(ending, Ended) and not alone:
                alone = True  # It was out of order: by an item before the last one, perhaps.
                continue
            index = missing[begun - 1]
            found.pop(index, None)
            if isinstance(ending, Overdue):
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
            worker.used = True
            _idle.give_back(worker)
        if len(found) == len(items):
            return [found[index] for index in range(len(items))]


def _prepare(
    worker: WorkerProcess, task: Task, items: Sequence[tuple[Any, int]], stopped: threading.Event
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
    except Overdue:
        raise Ended from None
    match started:
        case {"prepared": True}:
            return
        case {"unprepared": reason}:
            raise NoWorkers(f"they cannot import what they need: {reason}")
    raise Ended


def _results(
    worker: WorkerProcess,
    task: Task,
    items: Sequence[tuple[Any, int]],
    budget: Budget,
    stopped: threading.Event,
) -> Iterator[Any]:
    def receive(pixels: int, size: int) -> dict[str, Any]:
        seconds = task.limits.waiting_seconds + 10 * task.limits.time_for(size, pixels)
        message = worker.receive(seconds, stopped)
        if not _is_answer(message):
            raise Ended
        return message

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
                        raise Ended
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
