"""A process that ends by an error tells the others why, so that they end too, each with one line.

The message goes through the service of `jax.distributed` in which the processes met. Without it,
the others would learn of the end by a broken connection, and JAX would abort them with a stack
trace where the first process ends.
"""

import atexit
import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
from jax._src import distributed  # JAX shows the service nowhere else; Orbax takes it here too

from examine_jax.common.processes import is_first, process_count, process_index

_ENDED = "examine_jax/ended"  # the first message
_KNOWN = "examine_jax/known"  # /PROCESS: this one knows it
_NOTHING = "null"  # in place of a message: the processes end as they should
_SECONDS_A_LOOK = 600.0  # one wait for the message; then the next one begins
_SECONDS_FOR_OTHERS = 5.0  # how long the first process, which holds the service, waits for them


def watch_others(end: Callable[[str], None]) -> None:
    """Calls `end`, in a thread of its own, as soon as another process says why it ends.

    Args:
        end: prints the message and ends this process.
    """

    def watch() -> None:
        if (message := _message(_SECONDS_A_LOOK, again=True)) is not None:
            _tell_known()
            end(message)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()

    def stop() -> None:  # Python cannot end while a thread waits in JAX's service
        _set(_ENDED, _NOTHING)
        thread.join(1.0)

    atexit.register(stop)


def why_another_ended(seconds: float) -> str | None:
    """What another process says of its end, in one sentence; None: nothing for so many seconds."""
    return _message(seconds)


def tell_others(message: str) -> None:
    """Says why this process ends. Afterwards it may end at once: the others know the message."""
    _set(_ENDED, json.dumps([process_index(), message]))
    _tell_known()


def _tell_known() -> None:
    """Tells the first process that this one knows. The first one waits until all do."""
    _set(f"{_KNOWN}/{process_index()}", "")
    until = time.monotonic() + _SECONDS_FOR_OTHERS
    for process in range(1, process_count()) if is_first() else ():
        if _get(f"{_KNOWN}/{process}", max(0.1, until - time.monotonic())) is None:
            return


def _message(seconds: float, *, again: bool = False) -> str | None:
    found = _get(_ENDED, seconds, again=again)
    if found is None or found == _NOTHING:
        return None
    process, message = json.loads(found)
    return None if process == process_index() else f"process {process} has ended: {message}"


def _set(key: str, value: str) -> None:
    client: Any = distributed.global_state.client
    # Another process may have been first, or the service may have ended.
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        client.key_value_set(key, value)


def _get(key: str, seconds: float, *, again: bool = False) -> str | None:
    """The key's value, as soon as there is one; None: not in time, or the service has ended."""
    client: Any = distributed.global_state.client
    while True:
        try:
            return str(client.blocking_key_value_get(key, int(1000 * seconds)))
        except jax.errors.JaxRuntimeError as error:
            if not again or "DEADLINE_EXCEEDED" not in str(error):
                return None
