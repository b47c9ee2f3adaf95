"""Tasks for worker processes that do what a decoder does on a hostile file."""

import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def act(settings: Any) -> Callable[[Any, Any], Any]:
    """What the item says, in a worker."""
    held: list[Any] = []

    def call(item: str, budget: Any) -> Any:
        kind, _, rest = item.partition(":")
        if kind == "abort":
            os.abort()
        if kind == "segfault":
            ctypes.string_at(0)
        if kind == "exit":
            os._exit(3)
        if kind == "spin":
            while True:
                pass
        if kind == "sleep":
            time.sleep(1000)
        if kind == "allocate":
            held.extend(np.ones(2**24) for _ in range(10**6))
        if kind == "claim":
            with budget.claim(int(rest)):
                return np.ones(2**25)[:3]
        if kind == "claims":  # As the pages of a file, one after the other.
            amounts = [int(amount) for amount in rest.split(",")]
            for amount in amounts:
                with budget.claim(amount):
                    pass
            return amounts
        if kind == "describe":  # Needs more of everything than a file may.
            with budget.describing():
                start = time.process_time()
                while time.process_time() - start < float(rest):
                    held[:] = [np.ones(2**25)]
            return "described"
        if kind == "disorder":
            budget._connection.send({"replies": [3]})
        if kind == "raise":
            raise KeyError(rest)
        if kind == "print":
            print("noise", flush=True)
            os.write(1, b"noise")
            os.write(2, b"noise")
        if kind == "path":
            return sys.path
        if kind == "modules":
            return sorted(name for name in sys.modules if name.partition(".")[0] == rest)
        if kind == "first":  # Crashes the first time that any process does it.
            try:
                os.close(os.open(rest, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return "second"
            os.abort()
        return [os.getpid(), settings, item]

    return call


def broken(settings: Any) -> Any:
    raise LookupError("no such codec")


def mean_unless_white(pixels: np.ndarray) -> np.ndarray:
    """Describes an image; a white one ends the process."""
    if pixels.min() == 255:
        os.abort()
    return np.array([pixels.mean()])
