"""How a command ends that fails: one line on stderr, in each of several processes."""

import contextlib
import os
import sys
import threading
import traceback
from typing import NoReturn

_leaving = threading.Lock()  # whoever takes it ends this process
_SECONDS_FOR_A_REASON = 2.0  # a process that ends by an error says why before it ends


def is_joined() -> bool:
    """Whether this process is one of several."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def leave(message: str, code: int) -> NoReturn:
    """Prints the message and ends the process.

    One of several processes tells the others why, and ends without the usual wait for them. They
    end too.
    """
    if not is_joined():
        print(message, file=sys.stderr)
        sys.exit(code)
    from examine_jax.common.ended_processes import tell_others

    with _leaving:
        _print_of_several(message)
        tell_others(message.strip().splitlines()[-1])  # of a traceback, the error
        if sys.stdout is not None:
            with contextlib.suppress(OSError, ValueError):  # the reader has gone, or it is closed
                sys.stdout.flush()  # `os._exit` would lose what a pipe or file has not yet got
        os._exit(code)


def leave_with_others(message: str) -> NoReturn:
    """Ends this process, at work in another thread, because another process has ended."""
    with _leaving:
        _print_of_several(message)
        os._exit(1)


def told_of_several(error: Exception) -> str:
    """The message for an error in one of several processes: a traceback, unless another ended."""
    import jax

    from examine_jax.common.ended_processes import why_another_ended

    if not isinstance(error, jax.errors.JaxRuntimeError):
        return "".join(traceback.format_exception(error))
    if (reason := why_another_ended(_SECONDS_FOR_A_REASON)) is not None:
        return reason
    return (
        "another process has ended or cannot be reached "
        f"({' '.join(str(error).split())[:300]}). See its own message, then start all processes "
        "again: the run continues from what is complete"
    )


def _print_of_several(message: str) -> None:
    import jax

    own = f"process {jax.process_index()} of {jax.process_count()}"
    print(f"{own}: {message}", file=sys.__stderr__, flush=True)
