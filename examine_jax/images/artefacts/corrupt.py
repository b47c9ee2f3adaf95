"""A set of images a share of which is spoilt by artefacts."""

from collections.abc import Sequence

import numpy as np

from examine_jax.common.shapes import Int, UInt8
from examine_jax.images.artefacts.artefact import MIDDLE, generator
from examine_jax.images.artefacts.registry import named_artefact


def corrupt_with_artefacts(
    pixels: UInt8[np.ndarray, "images height width channels"],
    kinds: Sequence[str],
    share: float,
    strength: float = MIDDLE,
    seed: int = 0,
) -> tuple[UInt8[np.ndarray, "images height width channels"], Int[np.ndarray, " images"]]:
    """Spoils a random share of the images, equally many by each kind.

    Which images are spoilt, and by what, depends on the seed and the number of images. How image i
    is spoilt depends on (seed, i), its kind and the strength alone.

    Args:
        pixels: grey or colour images; they are not changed.
        kinds: names of `ARTEFACTS`; `SUITED` lists those of a kind of picture.
        share: of the images, from 0 to 1.
        strength: of every artefact, above 0, at most 1.
        seed: 0 or above.

    Returns:
        The images, and for each the number of its kind in `kinds`, or -1 if it is clean.

    Raises:
        ValueError: a name is unknown, the share, the strength or the seed is out of range, or the
            images are not uint8 of 1 or 3 channels.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share}: give a fraction of the images, from 0 to 1")
    values = [named_artefact(kind, strength) for kind in kinds]
    if not values:
        raise ValueError("kinds is empty: name one artefact at least")
    order = generator(seed).permutation(len(pixels))
    chosen = order[: round(share * len(pixels))]
    kind = np.full(len(pixels), -1)
    kind[chosen] = np.resize(np.arange(len(values)), len(chosen))
    spoilt = pixels.copy()
    for index in chosen:
        spoilt[index] = values[kind[index]].apply(pixels[index], generator(seed, int(index)))
    return spoilt, kind
