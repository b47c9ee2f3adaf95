"""Signals that end a run: it saves a checkpoint first."""

import os
import pathlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Termination:
    """Whether a signal asks the run to end, and which signal."""

    def __init__(self) -> None:
        self.by: int | None = None

    def set(self, number: int) -> None:
        self.by = number

    def is_set(self) -> bool:
        return self.by is not None

    def exception(self, done: int, total: int, workdir: pathlib.Path) -> BaseException:
        """The exception to raise after the checkpoint is saved."""
        if self.by != signal.SIGINT:
            return SystemExit(128 + signal.SIGTERM)
        return KeyboardInterrupt(
            f"saved after {done} of {total} steps in {workdir}; the same call again goes on from "
            "there"
        )


@contextmanager
def terminations() -> Iterator[Termination]:
    """Inside the context, SIGTERM and Ctrl-C set the yielded object instead of ending the process.

    A second Ctrl-C ends the process without waiting. Outside the main thread no signal handler is
    changed. Ctrl-C is not changed either if the caller handles or ignores it.
    """
    terminated = Termination()
    if threading.current_thread() is not threading.main_thread():
        yield terminated
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        terminated.set(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            # os.write instead of print, because the signal may have interrupted a print.
            os.write(2, b"\nsaving; Ctrl-C once more ends without it\n")

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, on_signal)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, on_signal)
    try:
        yield terminated
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
