"""One BLAS thread during small eigenproblems, which more threads slow down.

Neither NumPy nor JAX has a setting for this. OpenBLAS has one for the process. NumPy's wheels
contain OpenBLAS, and so do SciPy's, whose LAPACK JAX calls on a CPU. The setting is called through
the libraries that are loaded already. With another BLAS nothing is changed.
"""

import contextlib
import ctypes
import functools
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import jax

# In one thread, LAPACK takes less time for a matrix of up to this size.
SMALL = 1024
_LOADED = pathlib.Path("/proc/self/maps")  # Linux
_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "")
_LAPACK_OF_JAX = "scipy.linalg.cython_lapack"

Results = TypeVar("Results")


class _Threads(NamedTuple):
    """A library's functions that tell and set its number of threads."""

    number: Callable[[], int]
    set_number: Callable[[int], Any]


class _State:
    """How many callers want one thread now, and what the libraries had before the first of them."""

    lock = threading.Lock()
    callers = 0
    before: tuple[tuple[_Threads, int], ...] = ()


def call_for(size: int, compute: Callable[..., Results], *arguments: Any) -> Results:
    """`compute(*arguments)`, a compiled program with LAPACK's work on [size, size] matrices.

    For a small size, a direct call uses one BLAS thread, and waits for the results. A call inside a
    trace is only traced: BLAS is called later, when no thread can be set.
    """
    if size > SMALL or jax.default_backend() != "cpu" or _traced(arguments):
        return compute(*arguments)
    _load_lapack()
    with one_blas_thread():
        results = compute(*arguments)
        return results if _traced(results) else jax.block_until_ready(results)


@functools.cache
def _load_lapack() -> None:
    """Loads the LAPACK that JAX uses. JAX loads it while it lowers the first program that needs it.

    Without this, the first call would still use all threads.
    """
    jax.jit(jax.numpy.linalg.eigvalsh).lower(jax.ShapeDtypeStruct((1, 1), "float32"))


def _traced(values: Any) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within this context, BLAS uses one thread. It may be entered by several threads."""
    libraries = _libraries(_LAPACK_OF_JAX in sys.modules)
    with _State.lock:
        if not _State.callers:
            _State.before = tuple((library, library.number()) for library in libraries)
            for library in libraries:
                library.set_number(1)
        _State.callers += 1
    try:
        yield
    finally:
        with _State.lock:
            _State.callers -= 1
            if not _State.callers:
                for library, number in _State.before:
                    library.set_number(number)


@functools.cache
def _libraries(with_jax: bool) -> tuple[_Threads, ...]:
    """The OpenBLAS libraries that this process has loaded, before or after JAX's LAPACK."""
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
