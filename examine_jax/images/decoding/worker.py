"""The program of a worker process: calls functions on one item after the other, within limits.

It is started as a file, not imported, and gets requests by its standard input. A decoder that
crashes, computes without end or allocates without end ends this process, or fails in it, and costs
the item that it works on. It imports neither jax nor anything else that its task does not need.
"""

import contextlib
import functools
import importlib
import importlib.machinery
import importlib.util
import json
import math
import os
import pathlib
import resource
import select
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

_PACKAGE = pathlib.Path(__file__).resolve().parents[2]

# A worker without work for this long ends.
_IDLE_SECONDS = 60.0

# How often a worker looks whether its parent lives.
_LOOK_SECONDS = 1.0

# Buffers that are sent at once; systems allow 16 at least.
_MOST_BUFFERS = 16

# What the parent reads when this process ends: worker_process.py.
_STATE = struct.Struct("<II")

# Replies are held back while they are fewer, and younger than this.
_HELD_REPLIES = 16
_HELD_SECONDS = 0.02

# Limits on memory that differ by less are taken as one: setting one takes time.
_MEMORY_STEP = 2**25

# What the limits of this process are set to: kind -> (soft, hard).
_limits_now: dict[int, tuple[int, int]] = {}

# Claims of fewer pixels are not worth a message.
_SMALL_CLAIM = 2_000_000


def postpone(name: str, folder: pathlib.Path) -> None:
    """Makes a package whose own code runs only when an attribute of it is asked for.

    Its modules can be imported before. So a decoder is imported without jax.
    """
    spec = importlib.machinery.PathFinder.find_spec(name, [str(folder)])
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader

    def load(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        vars(module).pop("__getattr__", None)
        loader.exec_module(module)
        return getattr(module, attribute)

    vars(module)["__getattr__"] = load
    sys.modules[name] = module


class Connection:
    """Messages from and to the parent."""

    def __init__(self, reading: int, writing: int, state: int):
        self._reading, self._writing, self._state = reading, writing, state
        self._begun, self._described = 0, 0
        self._messages: Any = importlib.import_module("examine_jax.images.decoding.messages")
        self._replies: list[dict[str, Any]] = []
        self._sent_at = 0.0
        self._patience: float | None = None

    def receive(self, patience: float | None) -> Any:
        """The next message. The process ends after so many seconds without any; None: it waits."""
        self._patience = patience
        return self._messages.unpack(self._fill)

    def _fill(self, buffer: memoryview) -> None:
        held = 0
        while held < len(buffer):
            if not select.select([self._reading], [], [], self._patience)[0]:
                _leave()
            count = os.readv(self._reading, [buffer[held:]])
            if not count:
                _leave()
            held += count

    def send(self, value: Any) -> None:
        """Sends a message."""
        rest = [memoryview(buffer) for buffer in self._messages.pack(value)]
        try:
            while rest:
                sent = os.writev(self._writing, rest[:_MOST_BUFFERS])
                while rest and sent >= len(rest[0]):
                    sent -= len(rest.pop(0))
                if sent:
                    rest[0] = rest[0][sent:]
        except BrokenPipeError:
            _leave()

    def reply(self, reply: dict[str, Any]) -> None:
        """Sends a reply now, or with the next ones: a busy parent is woken less often."""
        self._replies.append(reply)
        late = time.monotonic() - self._sent_at >= _HELD_SECONDS
        if late or len(self._replies) >= _HELD_REPLIES:
            self.send_replies()

    def send_replies(self) -> None:
        """Sends the replies that were held back."""
        replies, self._replies = self._replies, []
        if replies:
            self.send({"replies": replies})
        self._sent_at = time.monotonic()

    def note(self, begun: int) -> None:
        """Notes how many items were begun, before one can end the process."""
        self._begun = begun
        self._note()

    def note_describing(self) -> None:
        """Notes that a function begins or ends to describe an image."""
        self._described = (self._described + 1) % 2**32
        self._note()

    def _note(self) -> None:
        os.pwrite(self._state, _STATE.pack(self._begun, self._described), 0)


def _leave() -> NoReturn:
    os._exit(0)


def _follow(parent: int) -> None:
    """Ends the process soon after its parent, whatever it works on."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    _leave()


class Item:
    """The item that is worked on: its limits, and its claims of the parent's budget."""

    def __init__(self, size: int, limits: Any, connection: Connection):
        self._size, self._limits, self._connection = size, limits, connection
        self._work, self._at_once = 0, 0  # pixels
        self._held, self._computed = _held_memory(), time.process_time()
        self._limit()

    def _limit(self) -> None:
        """Sets the process's limits for the pixels that are known of."""
        seconds = self._limits.time_for(self._size, self._work)
        _lower(resource.RLIMIT_CPU, math.ceil(self._computed + seconds), 0)
        memory = self._limits.memory_for(self._size, self._at_once)
        _lower(resource.RLIMIT_AS, self._held + memory, _MEMORY_STEP)

    @contextlib.contextmanager
    def claim(self, amount: int, work: int | None = None) -> Iterator[None]:
        """As `Budget.claim`."""
        self._work += max(amount, work or 0)
        self._at_once = max(amount, self._at_once)
        self._limit()
        if amount <= _SMALL_CLAIM:
            yield
            return
        self._connection.send_replies()
        self._connection.send({"claim": amount})
        self._connection.receive(None)  # The parent answers, or it ends and so does this process.
        try:
            yield
        finally:
            self._connection.send({"release": True})

    @contextlib.contextmanager
    def describing(self) -> Iterator[None]:
        """Lifts the limits while the block describes an image: what it costs is not the file's.

        Its first call may import and compile much.
        """
        computed, held = time.process_time(), _held_memory()
        _lift_limits()
        self._connection.note_describing()
        try:
            yield
        finally:
            self._connection.note_describing()
            self._computed += time.process_time() - computed
            self._held += _held_memory() - held
            self._limit()


def _lower(kind: int, limit: int, step: int) -> None:
    """Sets a limit of this process, unless it is set to nearly that already."""
    soft, hard = _limits_now.get(kind) or resource.getrlimit(kind)
    wanted = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    if soft != resource.RLIM_INFINITY and abs(soft - wanted) <= step:
        return
    with contextlib.suppress(ValueError, OSError):  # No such limit on this system.
        resource.setrlimit(kind, (wanted, hard))
        _limits_now[kind] = wanted, hard


def _lift_limits() -> None:
    """For what is no part of an item."""
    for kind, (_, hard) in _limits_now.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (hard, hard))
    _limits_now.clear()


@functools.cache
def _memory_file() -> int | None:
    try:
        return os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return None


def _held_memory() -> int:
    """The process's address space in bytes; 0 where the system does not say."""
    file = _memory_file()
    return 0 if file is None else int(os.pread(file, 64, 0).split()[0]) * resource.getpagesize()


def _function(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


def _work(connection: Connection) -> NoReturn:
    known: tuple[str, Any] | None = None
    while True:
        request = connection.receive(_IDLE_SECONDS)
        connection.note(0)
        try:
            if known != (request["task"], request["settings"]):
                known = request["task"], request["settings"]
                function = _function(known[0])(known[1])
        except Exception as error:
            known = None
            connection.send({"unprepared": f"{type(error).__name__}: {error}"})
            continue
        connection.send({"prepared": True})
        for begun, (item, size) in enumerate(request["items"], 1):
            connection.note(begun)
            current = Item(size, request["limits"], connection)
            try:
                reply = {"value": function(item, current)}
            except MemoryError:
                reply = {"exhausted": True}
            except Exception:
                reply = {"failed": traceback.format_exc()}
            connection.reply(reply)
        _lift_limits()
        connection.send_replies()


def main() -> NoReturn:
    """Serves the parent until it ends, or has had nothing to do for a while."""
    # What a library reads or starts must not get between the messages.
    reading = os.dup(0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    paths, writing, state = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for own in (writing, state):
        os.set_inheritable(own, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent ends its workers.
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    sys.path[:] = paths
    postpone("examine_jax", _PACKAGE.parent)
    postpone("examine_jax.images", _PACKAGE)
    # jaxtyping imports jax; the library does without it.
    sys.modules["jaxtyping"] = None  # type: ignore[assignment]
    importlib.import_module("examine_jax.common.shapes")
    del sys.modules["jaxtyping"]
    _work(Connection(reading, writing, state))


if __name__ == "__main__":
    main()
