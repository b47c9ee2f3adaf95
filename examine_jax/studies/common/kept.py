"""Results stored in a study's folder: if a result's file exists, it is read, not computed again.

Each file is written completely or not at all. If two processes compute the same result, the file
that is written first stays, and both processes read it.
"""

import json as json_format
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from examine_jax.common.atomic_files import creating
from examine_jax.common.shapes import Shaped


def json(file: pathlib.Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Reads the JSON object in `file`. If there is no file, it first writes what `compute` returns.

    Raises:
        ValueError: the file holds no JSON object.
        OSError: the file cannot be written.
    """
    if not file.exists():
        result = compute()
        file.parent.mkdir(parents=True, exist_ok=True)
        with creating(file) as stream:
            stream.write((json_format.dumps(result) + "\n").encode())
    try:
        stored = json_format.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{file} is not readable JSON ({error}); delete it, and it is computed again"
        ) from error
    if not isinstance(stored, dict):
        raise ValueError(f"{file} holds no JSON object; delete it, and it is computed again")
    return stored


def arrays(
    file: pathlib.Path, compute: Callable[[], dict[str, Shaped[np.ndarray, "..."]]]
) -> dict[str, np.ndarray]:
    """Reads the arrays in the .npz `file`. If there is no file, it first writes those of `compute`.

    Raises:
        ValueError: the file is not a .npz file.
        OSError: the file cannot be written.
    """
    if not file.exists():
        result = compute()
        file.parent.mkdir(parents=True, exist_ok=True)
        with creating(file) as stream:
            np.savez(stream, **result)  # type: ignore[arg-type]
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{file} is not a readable .npz file ({error}); delete it, and it is computed again"
        ) from error


def other_seeds(folder: pathlib.Path, seeds: Sequence[int]) -> tuple[int, ...]:
    """Returns the seeds that have results in a study's folder and are not in `seeds`."""
    stored = (path.name.removeprefix("seed_") for path in folder.glob("seed_*"))
    return tuple(sorted({int(seed) for seed in stored if seed.isdecimal()} - set(seeds)))
