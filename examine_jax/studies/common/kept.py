"""Results on the way, each a small file written whole: what is there is not computed again.

Several processes may share a folder: where two compute the same, both go on with what the first one has written.
"""

import json
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from examine_jax.common.atomic_files import creating
from examine_jax.common.shapes import Shaped


def record(file: pathlib.Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The JSON object in `file`; where there is no such file, what `compute` gives, which is then kept in it.

    Raises:
        ValueError: the file is no JSON object. OSError: it cannot be written.
    """
    if not file.exists():
        found = compute()
        file.parent.mkdir(parents=True, exist_ok=True)
        with creating(file) as stream:
            stream.write((json.dumps(found) + "\n").encode())
    try:
        there = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not readable JSON ({error}); delete it, and it is computed anew") from error
    if not isinstance(there, dict):
        raise ValueError(f"{file} holds no JSON object; delete it, and it is computed anew")
    return there


def arrays(file: pathlib.Path, compute: Callable[[], dict[str, Shaped[np.ndarray, "..."]]]) -> dict[str, np.ndarray]:
    """The same for numeric arrays in an .npz file.

    Raises:
        ValueError: the file is no .npz file. OSError: it cannot be written.
    """
    if not file.exists():
        found = compute()
        file.parent.mkdir(parents=True, exist_ok=True)
        with creating(file) as stream:
            np.savez(stream, **found)  # type: ignore[arg-type]
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is not a readable .npz file ({error}); delete it, and it is computed anew") from error


def other_seeds(folder: pathlib.Path, seeds: Sequence[int]) -> tuple[int, ...]:
    """Seeds that a study's folder holds something of and that are not among these."""
    there = (path.name.removeprefix("seed_") for path in folder.glob("seed_*"))
    return tuple(sorted({int(seed) for seed in there if seed.isdecimal()} - set(seeds)))
