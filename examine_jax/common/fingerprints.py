"""A short text that identifies everything that a sampled value depends on."""

import dataclasses
import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def fingerprint(*parts: Any) -> str:
    """A hash of values that is the same in every process.

    Args:
        *parts: arrays, random keys, numbers, texts, functions (by name), and dataclasses, tuples,
            lists and dicts of these.

    Returns:
        32 hexadecimal digits.

    Raises:
        ValueError: a value of another kind, which another process could not recognise.
    """
    digest = hashlib.blake2b(digest_size=16)

    def add(part: Any) -> None:
        digest.update(f"<{type(part).__name__}>".encode())
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            for field in dataclasses.fields(part):
                digest.update(field.name.encode())
                add(getattr(part, field.name))
        elif isinstance(part, jax.Array) and jnp.issubdtype(part.dtype, jax.dtypes.prng_key):
            add(np.asarray(jax.random.key_data(part)))
        elif isinstance(part, np.ndarray | jax.Array) and part.dtype != np.dtype(object):
            array = np.ascontiguousarray(part)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        elif isinstance(part, tuple | list):
            digest.update(str(len(part)).encode())
            for one in part:
                add(one)
        elif isinstance(part, dict):
            add(list(part.items()))
        elif part is None or isinstance(part, bool | int | float | str | np.generic):
            digest.update(repr(part).encode())
        elif callable(part) and hasattr(part, "__qualname__"):
            digest.update(part.__qualname__.encode())
        else:
            raise ValueError(
                f"a later run cannot recognise a {type(part).__name__}: "
                "make it a frozen dataclass, or keep no state"
            )

    for part in parts:
        add(part)
    return digest.hexdigest()
