"""What a run trains on: checked, named, told from other sets."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from examine_jax.training.feeding import Pixels
from examine_jax.training.settings import PretrainSettings

_FINGERPRINTED = 16  # images of a set that is read on demand


def check_images(sets: tuple[Any, ...], settings: PretrainSettings) -> None:
    if len(sets) != len(settings.phases):
        raise ValueError(f"pretrain: {len(settings.phases)} phases need as many arrays of images, got {len(sets)}")
    for pixels in sets:
        dtype = getattr(pixels, "dtype", np.dtype(np.uint8))
        if dtype != np.uint8 or len(pixels.shape) != 4:
            raise ValueError(
                f"pretrain: images must be uint8 [N, height, width, channels], got {dtype} {tuple(pixels.shape)}"
            )
        if tuple(pixels.shape[1:]) != tuple(sets[0].shape[1:]):
            raise ValueError(
                f"pretrain: the phases' images differ in shape: {tuple(sets[0].shape[1:])} and {tuple(pixels.shape[1:])}"
            )


def names_by_set(names: Any, sets: tuple[Pixels, ...]) -> tuple[Sequence[str] | None, ...]:
    """Of each set its images' names: those given, else its own if it has any."""
    if names is None:
        return tuple(getattr(pixels, "names", None) for pixels in sets)
    lists = tuple(names) if len(sets) > 1 else (names,)
    if [len(each) for each in lists] != [len(pixels) for pixels in sets]:
        raise ValueError(
            f"pretrain: {[len(each) for each in lists]} names for {[len(pixels) for pixels in sets]} images; give one each"
        )
    return lists


def fingerprint(pixels: Pixels) -> dict[str, Any]:
    """Tells one set of images from another: by all bytes of an array, by a few images of what would have to be read."""
    if isinstance(pixels, np.ndarray):
        return {"shape": list(pixels.shape), "sha256": hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()}
    some = np.unique(np.linspace(0, len(pixels) - 1, _FINGERPRINTED).astype(np.int32))
    sample = np.ascontiguousarray(pixels[some])
    return {"shape": [int(n) for n in pixels.shape], "sha256_of_some": hashlib.sha256(sample.data).hexdigest()}
