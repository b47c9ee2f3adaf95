"""One short text for everything a sampled value depends on."""

import dataclasses
import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def fingerprint(*parts: Any) -> str:
    """Of arrays, random keys, numbers, texts, functions (by name) and frozen dataclasses of these."""
    digest = hashlib.blake2b(digest_size=16)

    def add(part: Any) -> None:
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            digest.update(type(part).__name__.encode())
            for field in dataclasses.fields(part):
                digest.update(field.name.encode())
                add(getattr(part, field.name))
        elif isinstance(part, jax.Array) and jnp.issubdtype(part.dtype, jax.dtypes.prng_key):
            add(np.asarray(jax.random.key_data(part)))
        elif isinstance(part, np.ndarray | jax.Array):
            array = np.ascontiguousarray(part)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        elif callable(part):
            digest.update(getattr(part, "__qualname__", type(part).__name__).encode())
        else:
            digest.update(repr(part).encode())

    for part in parts:
        add(part)
    return digest.hexdigest()
