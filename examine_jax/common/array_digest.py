"""A short text that identifies arrays; a study's folder recognises its images by it."""

import hashlib
from collections.abc import Iterable

import numpy as np

from examine_jax.common.shapes import Shaped


def digest_arrays(parts: Iterable[Shaped[np.ndarray, "..."] | None], start: bytes = b"") -> str:
    """Returns a BLAKE2 digest of the arrays' types, shapes and values.

    Args:
        parts: the arrays, in order; None is skipped.
        start: hashed before them.
    """
    digest = hashlib.blake2b(start, digest_size=16)
    for part in parts:
        if part is not None:
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
