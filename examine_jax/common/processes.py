"""Several processes, on one machine or many, that do one job together: `jax.distributed`.

All processes make the same calls. One of them, the first, writes what is written once. Every
function here that waits for the others, or asks them, must be called by all processes in the same
order. In a single process all functions return at once.
"""

import json
import os
import pathlib
import time
import uuid
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from examine_jax.common.configuration import differences
from examine_jax.common.shapes import Shaped

_PIECES = 2**27  # bytes that all processes together give to the others at a time
_SECONDS_TO_SEE_A_FILE = 20.0  # a network's file system may show a new file late


def is_alone() -> bool:
    """Whether this process is the only one."""
    return process_count() == 1


def process_count() -> int:
    """The number of processes that work together."""
    return jax.process_count()


def process_index() -> int:
    """The number of this process, from 0."""
    return jax.process_index()


def is_first() -> bool:
    """Whether this process writes what is written once."""
    return process_index() == 0


def share(count: int) -> range:
    """This process's share of `count` rows: blocks of rows in the order of the processes.

    Of a single row the first process, which shows progress, has it.
    """
    index, processes = process_index(), process_count()
    return range(-(-index * count // processes), -(-(index + 1) * count // processes))


def wait_for_all(name: str) -> None:
    """Waits until every process has called this function with this name."""
    if not is_alone():
        multihost_utils.sync_global_devices(name)


def gather_bytes(content: bytes) -> list[bytes]:
    """The bytes of every process, in the order of the processes."""
    if is_alone():
        return [content]
    sizes = multihost_utils.process_allgather(np.frombuffer(_eight(len(content)), np.uint8))
    lengths = [int.from_bytes(size.tobytes(), "little") for size in np.asarray(sizes)]
    parts: list[list[bytes]] = [[] for _ in lengths]
    most = max(1, _PIECES // len(lengths))
    for start in range(0, max(lengths), most):
        piece = np.zeros(min(most, max(lengths) - start), np.uint8)
        own = np.frombuffer(content, np.uint8)[start : start + len(piece)]
        piece[: len(own)] = own
        gathered = np.asarray(multihost_utils.process_allgather(piece))
        for part, row, length in zip(parts, gathered, lengths):
            part.append(row[: max(0, length - start)].tobytes())
    return [b"".join(part) for part in parts]


def gather_plain(value: Any) -> list[Any]:
    """The plain value (as JSON keeps it) of every process, in the order of the processes."""
    return [json.loads(text) for text in gather_bytes(json.dumps(value).encode())]


def gather_arrays(
    array: Shaped[np.ndarray, "..."],
) -> list[Shaped[np.ndarray, "..."]]:
    """The array of every process, bit for bit, in the order of the processes.

    Their shapes and dtypes may differ.
    """
    if is_alone():
        return [array]
    kinds = gather_plain([array.dtype.str, array.shape])
    contents = gather_bytes(np.ascontiguousarray(array).tobytes())
    return [
        np.frombuffer(content, np.dtype(dtype)).reshape(shape)
        for (dtype, shape), content in zip(kinds, contents)
    ]


def first_decides(decide: Callable[[], Any]) -> Any:
    """What the first process decides, a plain value, in all processes. The others wait."""
    return gather_plain(decide() if is_first() else None)[0]


def first_alone(work: Callable[[], None]) -> None:
    """The first process does the work, such as writing a file; the others wait.

    Raises:
        ValueError, OSError: the work has failed. All processes raise an error with this message.
    """
    failure: Exception | None = None
    try:
        if is_first():
            work()
    except (ValueError, OSError) as error:
        failure = error
    message = first_decides(lambda: None if failure is None else str(failure))
    if failure is not None:
        raise failure
    if message is not None:
        raise ValueError(message)


def check_same(what: str, value: Any) -> None:
    """Compares a plain value of all processes.

    Args:
        what: names the value in the message.
        value: plain, as `to_plain` makes it.

    Raises:
        ValueError: a process has another value than the first. All processes raise it; the message
            names the process and what differs.
    """
    found = gather_plain(value)
    for process, other in enumerate(found):
        if changed := differences(found[0], other):
            shown = "; ".join(changed[:3])
            shown = shown.replace(" there, ", " in process 0, ").replace(" here", " in this one")
            raise ValueError(
                f"process {process} of {len(found)} has other {what} than process 0 ({shown}): "
                f"start all processes with the same {what}"
            )


def check_shared(folder: str | os.PathLike[str]) -> None:
    """Checks that all processes see the same folder. The first process makes it if it is missing.

    Raises:
        ValueError: a process does not see a file that the first one wrote. All processes raise it;
            the message names the folder and the processes.
        OSError: the folder cannot be written.
    """
    if is_alone():
        return
    folder = pathlib.Path(folder)

    def write() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        name = f".{uuid.uuid4().hex}.tmp"
        (folder / name).touch()
        return name

    mark = folder / first_decides(write)
    until = time.monotonic() + _SECONDS_TO_SEE_A_FILE
    while not (seen := mark.exists()) and time.monotonic() < until:
        time.sleep(0.2)
    found = gather_plain(seen)
    if is_first():
        mark.unlink(missing_ok=True)
    blind = [str(process) for process, one in enumerate(found) if not one]
    if blind:
        raise ValueError(
            f"{folder} is not shared: a file that process 0 wrote there is not seen by process "
            f"{', '.join(blind)} of {len(found)}; name a folder on a file system that all see"
        )


def _eight(number: int) -> bytes:
    return number.to_bytes(8, "little")
