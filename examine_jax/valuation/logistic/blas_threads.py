"""One LAPACK thread for factorisations of a few hundred rows: there, more threads wait for each
other longer than they compute.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limits LAPACK to one thread inside the block, if threadpoolctl is installed (scikit-learn
    requires it).
    """
    controller = _controller()
    if controller is None:
        yield
        return
    with controller.limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _controller() -> Any:
    try:
        import threadpoolctl
    except ImportError:
        return None
    return threadpoolctl.ThreadpoolController()
