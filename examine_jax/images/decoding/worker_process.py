"""One worker process, and the pipes to and from it."""

import contextlib
import json
import os
import pathlib
import select
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from typing import Any

from examine_jax.images.decoding import messages
from examine_jax.images.decoding.module_versions import Version

PROGRAM = pathlib.Path(__file__).with_name("worker.py")

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

# How often a thread that waits for a worker looks whether its work was called off.
_LOOK_SECONDS = 0.2

# What a worker notes before each item, as that may end it: how many items it began, and how often a
# function began or ended to describe an image: an odd number while it does. worker.py writes it.
_STATE = struct.Struct("<II")


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


# Where this process imports from by a relative path. The folder may change later, to one of images.
_FOLDER_AT_START = _folder()


class NoWorkers(Exception):
    """No worker process can do the task. The message says why."""


class Ended(Exception):
    """The worker ended, or is out of order."""


class Overdue(Exception):
    """The worker sent nothing for too long."""


def identity() -> tuple[Any, ...]:
    """What a worker shares with the process that starts it: rights, and what can be imported."""
    return os.geteuid(), os.getegid(), tuple(_import_paths())


def _import_paths() -> list[str]:
    """Where this process imports from, by paths from the root."""
    paths = [path for path in sys.path if isinstance(path, str)]
    if _FOLDER_AT_START is None:
        return [path for path in paths if os.path.isabs(path)]
    return [os.path.normpath(os.path.join(_FOLDER_AT_START, path)) for path in paths]


class WorkerProcess:
    """A process that runs worker.py.

    Attributes:
        started_by: `identity` when it was started.
        used: it did work before.
    """

    def __init__(self) -> None:
        self.started_by = identity()
        self.used = False
        self._code: dict[str, Version] = {}
        with contextlib.ExitStack() as failing:
            try:
                self._reading, replies = _pipe(failing)
                self._state = _state_file(failing)
                self.process = _start(replies, self._state)
            except OSError as error:
                raise NoWorkers(f"no process can be started: {error}") from error
            failing.pop_all()
        os.close(replies)
        assert self.process.stdin is not None
        self._writing = self.process.stdin.fileno()
        self._poll = select.poll()
        self._poll.register(self._reading, select.POLLIN)
        os.set_blocking(self._reading, False)
        self._seconds, self._deadline, self._described = 0.0, float("inf"), 0
        self._stopped: threading.Event | None = None
        self._ahead = bytearray(_AHEAD_BYTES)  # What was read beyond what was asked for:
        self._unread = memoryview(self._ahead)[:0]  # this part of it.
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.fcntl(self._reading, _SET_PIPE_SIZE, _PIPE_BYTES)

    def imports(self, code: Iterable[Version]) -> bool:
        """Whether it runs these versions of modules, which it imports if it has not yet."""
        if any(self._code.get(version[0], version) != version for version in code):
            return False
        self._code.update((version[0], version) for version in code)
        return True

    def send(self, value: Any) -> None:
        """Sends a message.

        Raises:
            Ended: nothing reads it.
        """
        try:
            for buffer in messages.pack(value):
                rest = memoryview(buffer)
                while len(rest):
                    rest = rest[os.write(self._writing, rest) :]
        except OSError as error:
            raise Ended from error

    def receive(self, seconds: float, stopped: threading.Event) -> Any:
        """The next message. The time in which a function describes an image does not count.

        Raises:
            Ended, Overdue: there is none, or not within these seconds, or the work is called off.
        """
        if stopped.is_set():
            raise Ended
        self._seconds, self._stopped = seconds, stopped
        self._deadline = time.monotonic() + seconds
        self._described = self._noted()[1]
        try:
            return messages.unpack(self._fill)
        except (messages.DamagedMessage, OSError) as error:
            raise Ended from error

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
                raise Ended
            beyond = max(0, count - (len(buffer) - held))
            self._unread = memoryview(self._ahead)[:beyond]
            held += count - beyond

    def _wait(self) -> None:
        while not self._poll.poll(_LOOK_SECONDS * 1000):
            if self._stopped is not None and self._stopped.is_set():
                raise Ended
            if time.monotonic() > self._deadline:
                before, self._described = self._described, self._noted()[1]
                if self._described % 2 == 0 and self._described == before:
                    raise Overdue
                self._deadline = time.monotonic() + self._seconds

    def begun(self) -> int:
        """How many items of its request the worker began."""
        return self._noted()[0]

    def _noted(self) -> tuple[int, int]:
        begun, described = _STATE.unpack(os.pread(self._state, _STATE.size, 0))
        return begun, described

    def end(self) -> int:
        """Ends the process, and returns how it ended."""
        # One that ended by itself says by which signal; it is gone when its pipes are closed.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.1)
        self.process.kill()
        code = self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        os.close(self._reading)
        os.close(self._state)
        return code


def _pipe(failing: contextlib.ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    failing.callback(os.close, reading)
    failing.callback(os.close, writing)
    return reading, writing


def _state_file(failing: contextlib.ExitStack) -> int:
    """A file in memory, where the system has such, for what a worker notes."""
    if hasattr(os, "memfd_create"):
        state = os.memfd_create("examine-worker")
    else:
        with tempfile.TemporaryFile() as file:
            state = os.dup(file.fileno())
    failing.callback(os.close, state)
    os.pwrite(state, _STATE.pack(0, 0), 0)
    return state


def _start(replies: int, state: int) -> "subprocess.Popen[bytes]":
    if not sys.executable:
        raise OSError("this process does not know its Python interpreter")
    # Isolated: nothing is imported from where variables or the current folder say.
    options = ["-I", "-X", f"utf8={sys.flags.utf8_mode}"]
    if sys.dont_write_bytecode:
        options.append("-B")
    arguments = [json.dumps(_import_paths()), str(replies), str(state)]
    return subprocess.Popen(
        [sys.executable, *options, str(PROGRAM), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        pass_fds=(replies, state),
        env={**os.environ, **_ONE_THREAD},
    )
