"""Images that several processes embed together: each embeds its own batches."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from examine_jax.common.array_digest import digest_arrays
from examine_jax.common.processes import check_same, gather_arrays, is_alone, share
from examine_jax.common.shapes import Float, Shaped, UInt8
from examine_jax.encoders import Encoder


def embed_together(
    encoder: Encoder,
    pixels: UInt8[np.ndarray, "n height width channels"],
    names: Sequence[str],
    *,
    batch_size: int = 64,
    **how: Any,
) -> Float[np.ndarray, "n *features"]:
    """`Encoder.embed`; each process embeds its own batches, and all get all features.

    Args:
        encoder, pixels, batch_size: as in `Encoder.embed`.
        names: of the images.
        how: further arguments of `Encoder.embed`.

    Raises:
        ValueError: as `Encoder.embed`; the processes have read other images or names.
    """
    if is_alone():
        return encoder.embed(pixels, batch_size=batch_size, **how)
    check_same_images(pixels, names)
    part = own_batches(pixels, batch_size)
    return np.concatenate(gather_arrays(encoder.embed(part, batch_size=batch_size, **how)))


def own_batches(
    rows: Shaped[np.ndarray, "n ..."], batch_size: int
) -> Shaped[np.ndarray, "own ..."]:
    """This process's share of the batches; they are those of one process."""
    own = share(-(-len(rows) // batch_size))
    return rows[own.start * batch_size : own.stop * batch_size]


def check_same_images(pixels: Shaped[np.ndarray, "n ..."], names: Sequence[str]) -> None:
    """Raises ValueError in all processes if one has read other images, or hides names otherwise."""
    digest = digest_arrays([pixels], "\0".join(names).encode("utf-8", "backslashreplace"))
    check_same("images or names", {"images": len(names), "digest": digest})
