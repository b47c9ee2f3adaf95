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
import os
import pathlib
import resource
import select
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

_PACKAGE = pathlib.Path(__file__).resolve().parents[2]

# A worker without work for this long ends.
_IDLE_SECONDS = 60.0

# How often a worker looks whether its parent lives.
_LOOK_SECONDS = 1.0

# Buffers that are sent at once; systems allow 16 at least.
_MOST_BUFFERS = 16

# Results are held back while they are fewer bytes and younger than this.
_HELD_BYTES = 2**18
_HELD_SECONDS = 0.02

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

    def __init__(self, reading: int, writing: int, starts: int):
        self._reading, self._writing, self._starts = reading, writing, starts
        self._held_back: list[bytes | memoryview] = []
        self._sent_at = 0.0

    def fill(self, buffer: memoryview) -> None:
        """Reads as many bytes as the buffer holds."""
        held = 0
        while held < len(buffer):
            if not select.select([self._reading], [], [], _IDLE_SECONDS)[0]:
                _leave()
            count = os.readv(self._reading, [buffer[held:]])
            if not count:
                _leave()
            held += count

    def send(self, buffers: list[bytes | memoryview]) -> None:
        """Sends at once what was held back, and these."""
        rest = [memoryview(buffer) for buffer in [*self._held_back, *buffers]]
        self._held_back, self._sent_at = [], time.monotonic()
        try:
            while rest:
                sent = os.writev(self._writing, rest[:_MOST_BUFFERS])
                while rest and sent >= len(rest[0]):
                    sent -= len(rest.pop(0))
                if sent:
                    rest[0] = rest[0][sent:]
        except BrokenPipeError:
            _leave()

    def send_soon(self, buffers: list[bytes | memoryview]) -> None:
        """Sends these now, or with the next ones: a busy parent is woken less often."""
        self._held_back += buffers
        many = sum(map(len, self._held_back)) >= _HELD_BYTES
        if many or time.monotonic() - self._sent_at >= _HELD_SECONDS:
            self.send([])

    def say_started(self) -> None:
        """Tells that the next item begins, before it can end the process. The parent may look."""
        os.write(self._starts, b"s")


def _leave() -> NoReturn:
    os._exit(0)


def _follow(parent: int) -> None:
    """Ends the process soon after its parent, whatever it works on."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    _leave()


class Item:
    """The item that is worked on: its limits, and its claims of the parent's budget."""

    def __init__(self, size: int, limits: Any, ask: Callable[[int], None]):
        self._size, self._limits, self._ask = size, limits, ask
        self._pixels = 0
        self._held = _held_memory()
        self.limit()

    def limit(self) -> None:
        """Sets the process's limits for the pixels that are known of."""
        signal.setitimer(signal.ITIMER_PROF, self._limits.time_for(self._size, self._pixels))
        allowed = self._held + self._limits.memory_for(self._size, self._pixels)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            allowed = min(allowed, hard)
        with contextlib.suppress(ValueError, OSError):  # No such limit on this system.
            resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))

    @contextlib.contextmanager
    def claim(self, amount: int, work: int | None = None) -> Iterator[None]:
        """As `Budget.claim`. The claim ends with the item."""
        self._pixels += max(amount, work or 0)
        self.limit()
        if amount > _SMALL_CLAIM:
            self._ask(amount)
        yield

    def end(self) -> None:
        """Lifts the limits, for what follows the item."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


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


def _work(connection: Connection, messages: types.ModuleType) -> NoReturn:
    def ask(amount: int) -> None:
        connection.send(messages.pack({"claim": amount}))
        messages.unpack(connection.fill)

    known: tuple[str, Any] | None = None
    while True:
        request = messages.unpack(connection.fill)
        try:
            if known != (request["task"], request["settings"]):
                known = request["task"], request["settings"]
                function = _function(known[0])(known[1])
        except Exception as error:
            known = None
            connection.send(messages.pack({"unprepared": f"{type(error).__name__}: {error}"}))
            continue
        connection.send(messages.pack({"prepared": True}))
        for item, size in request["items"]:
            connection.say_started()
            current = Item(size, request["limits"], ask)
            try:
                reply = {"value": function(item, current)}
            except MemoryError:
                reply = {"exhausted": True}
            except Exception:
                reply = {"failed": traceback.format_exc()}
            current.end()
            connection.send_soon(messages.pack(reply))
        connection.send([])


def main() -> NoReturn:
    """Serves the parent until it ends, or has had nothing to do for a while."""
    # What a library prints must not get between the messages.
    reading, writing, starts = os.dup(0), os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent ends its workers.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    known = json.loads(sys.argv[1])
    sys.path[:] = [*sys.path, *(path for path in known if path not in sys.path)]
    postpone("examine_jax", _PACKAGE.parent)
    postpone("examine_jax.images", _PACKAGE)
    # jaxtyping imports jax; the library does without it.
    sys.modules["jaxtyping"] = None  # type: ignore[assignment]
    importlib.import_module("examine_jax.common.shapes")
    del sys.modules["jaxtyping"]
    messages = importlib.import_module("examine_jax.images.decoding.messages")
    importlib.import_module("examine_jax.images.decoding.limits")
    _work(Connection(reading, writing, starts), messages)


if __name__ == "__main__":
    main()
