"""One thread for NumPy's BLAS during small eigenproblems, which more threads slow down.

NumPy has no setting for this. OpenBLAS, which NumPy's wheels contain, has one for the process. It
is called through the library that is loaded already. With another BLAS nothing is changed.
"""

import contextlib
import ctypes
import functools
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_LOADED = pathlib.Path("/proc/self/maps")  # Linux
_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "")


class _Threads(NamedTuple):
    """A library's functions that tell and set its number of threads."""

    number: Callable[[], int]
    set_number: Callable[[int], Any]


class _State:
    """How many callers want one thread now, and what the libraries had before the first of them."""

    lock = threading.Lock()
    callers = 0
    before: tuple[int, ...] = ()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within this context, NumPy's BLAS uses one thread. It may be entered by several threads."""
    libraries = _libraries()
    with _State.lock:
        if not _State.callers:
            _State.before = tuple(library.number() for library in libraries)
            for library in libraries:
                library.set_number(1)
        _State.callers += 1
    try:
        yield
    finally:
        with _State.lock:
            _State.callers -= 1
            if not _State.callers:
                for library, number in zip(libraries, _State.before):
                    library.set_number(number)


@functools.cache
def _libraries() -> tuple[_Threads, ...]:
    """The OpenBLAS libraries that this process has loaded."""
    try:
        lines = _LOADED.read_text().splitlines()
    except OSError:
        return ()
    paths = sorted({line.split(maxsplit=5)[-1] for line in lines if "openblas" in line})
    found = (_functions(path) for path in paths)
    return tuple(library for library in found if library is not None)


def _functions(path: str) -> _Threads | None:
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return None
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            number = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
            set_number = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
            if number is not None and set_number is not None:
                number.argtypes, number.restype = [], ctypes.c_int
                set_number.argtypes, set_number.restype = [ctypes.c_int], None
                return _Threads(number, set_number)
    return None
