"""A progress bar on stderr; plain lines now and then where stderr is no terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

SECONDS_A_LINE = 30.0  # in a file or a pipe


def bar(**options: Any) -> "tqdm[Any]":
    """tqdm's bar on stderr.

    A file or a pipe gets a line at most every 30 seconds, and one at the end, without carriage
    returns: these would make one endless line.

    Args:
        **options: of `tqdm.tqdm`, but for `file`.
    """
    if sys.stderr.isatty():
        return tqdm(file=sys.stderr, dynamic_ncols=True, **options)
    return tqdm(
        file=_Lines(sys.stderr),
        ncols=100,
        mininterval=SECONDS_A_LINE,
        maxinterval=SECONDS_A_LINE,
        miniters=1,
        **options,
    )


@contextmanager
def progress_bar(unit: str, progress: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr.

    Args:
        unit: the plural of what is counted.
        progress: whether the bar is shown.

    Yields:
        A function of (done, total) that moves the bar.
    """
    with bar(unit=f" {unit}", disable=not progress) as shown:

        def report(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield report


class _Lines:
    """A stream on which what was to be drawn over becomes a line of its own.

    The empty bar, which tqdm draws first, is left out.
    """

    def __init__(self, stream: Any):
        self._stream, self._begun = stream, False

    def write(self, text: str) -> int:
        line = text.strip("\r\n ")
        if line and self._begun:
            self._stream.write(f"{line}\n")
        self._begun |= bool(line)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()
