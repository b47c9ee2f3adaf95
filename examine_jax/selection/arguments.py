"""What `select` is given, checked and in one form."""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Bool, Int

_SHOWN = 8


def key_of(key: Any) -> Any:
    if key is None:
        return jax.random.key(0)
    return jax.random.key(operator.index(key)) if np.ndim(key) == 0 and not _is_key(key) else key


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def matrix_of(features: Any) -> np.ndarray:
    found = features if isinstance(features, np.ndarray) else np.asarray(features)
    if found.ndim != 2 or not found.shape[0] or not found.shape[1]:
        raise ValueError(
            f"features have the shape {list(found.shape)}: give one row an image, [images, columns]"
        )
    # bfloat16 and the like are of kind "V", but JAX knows them as floating.
    if found.dtype.kind not in "biuf" and not jnp.issubdtype(found.dtype, jnp.floating):
        raise ValueError(f"features have the dtype {found.dtype}: give real numbers, as float32")
    return found


def usable_of(usable: Any, count: int) -> Bool[np.ndarray, " n"]:
    if usable is None:
        return np.ones(count, bool)
    mask = np.asarray(usable)
    if mask.shape != (count,) or not (mask.dtype == bool or np.isin(mask, (0, 1)).all()):
        raise ValueError(
            f"usable has the shape {list(mask.shape)} and dtype {mask.dtype}: give True or False "
            f"for each of {count} images"
        )
    if not mask.any():
        raise ValueError(f"none of the {count} images is usable: there is nothing to choose from")
    return mask.astype(bool)


def labelled_of(labelled: Any, count: int) -> Int[np.ndarray, " labelled"]:
    """Indices, ascending."""
    if labelled is None:
        return np.empty(0, np.int64)
    found = np.asarray(labelled)
    if found.dtype == bool:
        if found.shape != (count,):
            raise ValueError(
                f"labelled is a mask of shape {list(found.shape)}: give one entry for each of "
                f"{count} images, or indices"
            )
        return np.flatnonzero(found)
    if not found.size:
        return np.empty(0, np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ValueError(
            f"labelled has the shape {list(found.shape)} and dtype {found.dtype}: give a list of "
            "indices, or a mask"
        )
    unknown = found[(found < 0) | (found >= count)]
    if len(unknown):
        raise ValueError(
            f"labelled names images that are not there: {some_of(unknown)}; indices count from 0 "
            f"to {count - 1}"
        )
    return np.unique(found).astype(np.int64)


def groups_of(
    groups: Any, per_group: int | None, count: int, known: Int[np.ndarray, " labelled"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " groups"]]:
    """Each image's group from 0 on, and how many images of each group may still be chosen."""
    if per_group is not None:
        if groups is None:
            raise ValueError("per_group limits the images of a group: give groups too")
        whole = isinstance(per_group, (int, np.integer)) and not isinstance(per_group, bool)
        if not whole or per_group < 1:
            raise ValueError(f"per_group must be a whole number from 1 on, got {per_group!r}")
    if groups is not None and np.shape(groups) != (count,):
        raise ValueError(f"groups have the shape {list(np.shape(groups))} for {count} images")
    if groups is None or per_group is None:
        return np.zeros(count, np.int64), np.array([count])
    # A list of texts and None stays as it is; as a plain array, None would become a text.
    given = groups if isinstance(groups, (np.ndarray, jax.Array)) else np.array(groups, object)
    missing = np.array([_is_missing(value) for value in np.asarray(given).tolist()])
    if missing.any():
        raise ValueError(
            f"groups of rows {some_of(np.flatnonzero(missing))} are missing: name the group of "
            "each image; an image that belongs to none gets a name of its own"
        )
    _, group = np.unique(_comparable(np.asarray(given)), return_inverse=True)
    taken = np.bincount(group[known], minlength=int(group.max()) + 1)
    return group.astype(np.int64), np.maximum(int(per_group) - taken, 0)


def _is_missing(value: Any) -> bool:
    # NaN and NaT differ from themselves, pandas' NA from everything.
    return value is None or (isinstance(value, str) and not value.strip()) or not _is_itself(value)


def _is_itself(value: Any) -> bool:
    try:
        return bool(value == value)
    except TypeError:  # pandas' NA is neither equal nor unequal
        return False


def _comparable(groups: np.ndarray) -> np.ndarray:
    """Objects as the array NumPy makes of them: numbers and texts mixed become texts."""
    return np.asarray(groups.tolist()) if groups.dtype == object else groups


def some_of(values: Int[np.ndarray, " some"]) -> str:
    """The first few of the numbers, for messages."""
    listed = ", ".join(map(str, values[:_SHOWN].tolist()))
    return listed if len(values) <= _SHOWN else f"{listed} and {len(values) - _SHOWN} more"
