"""Work in threads on all cores: Pillow and NumPy release the interpreter's lock."""

import collections
import concurrent.futures
import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Enough to keep every core busy; few enough to bound the memory of results.
_ITEMS_AT_ONCE = 512

# How often a claim that waits looks whether its work was called off.
_LOOK_SECONDS = 0.2


def available_cores() -> int:
    """The cores that this process may use: in a container, often fewer than the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def most_threads() -> int:
    """The threads that `in_order` uses: more would wait for one another."""
    return min(available_cores(), 16)


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    at_once: int = _ITEMS_AT_ONCE,
    stopped: threading.Event | None = None,
) -> Generator[Result]:
    """`map(function, items)` in threads, in order.

    Args:
        function: called in several threads at once.
        items: taken a few ahead.
        at_once: bounds the results in memory.
        stopped: is set when no more results are wanted, before the threads are waited for.

    Yields:
        The results.
    """
    pool = concurrent.futures.ThreadPoolExecutor(most_threads(), thread_name_prefix="images")
    remaining = iter(items)
    waiting = collections.deque(
        pool.submit(function, item) for item in itertools.islice(remaining, at_once)
    )
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in itertools.islice(remaining, 1))
            yield result
    finally:
        if stopped is not None:
            stopped.set()
        pool.shutdown(cancel_futures=True)


class CalledOff(Exception):
    """The caller wants no results any more."""


class Budget:
    """Bounds what all threads together hold.

    A claim waits until it fits; a claim above the limit waits until it is the only one.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._claimed = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def claim(
        self, amount: int, work: int | None = None, stopped: threading.Event | None = None
    ) -> Iterator[None]:
        """Holds an amount while the block runs.

        Args:
            amount: pixels that are held at once.
            work: pixels that are decoded one after the other; None: as many. It bounds nothing
                here. A worker process gets time for it (limits.py).
            stopped: ends the wait when it is set.

        Raises:
            CalledOff: `stopped` is set.
        """
        with self._changed:
            while not self._changed.wait_for(
                lambda: self._claimed == 0 or self._claimed + amount <= self._limit, _LOOK_SECONDS
            ):
                if stopped is not None and stopped.is_set():
                    raise CalledOff
            self._claimed += amount
        try:
            yield
        finally:
            with self._changed:
                self._claimed -= amount
                self._changed.notify_all()
