"""Keeps the libraries that decode files from printing warnings of their own."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

_LIBRARIES = ("PIL", "nibabel", "pydicom", "tifffile")

_lock = threading.Lock()
_readers = 0
_outer = contextlib.ExitStack()


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Inside, the libraries neither warn nor log; for all threads, until the last one leaves.

    They warn of odd metadata and large images. What matters becomes a skipped file's reason.
    """
    global _readers
    with _lock:
        if not _readers:
            _outer.enter_context(_silenced())
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                _outer.close()


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=rf"({'|'.join(_LIBRARIES)})\b")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)
