"""The folder of a trained network: config.json and model.safetensors."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from examine_jax.common.atomic_folders import writing_folder
from examine_jax.common.shapes import PyTree

WEIGHTS = "model.safetensors"
_FLOATS = ("F32", "F64", "BF16", "F16")


def write_folder(
    folder: pathlib.Path,
    tensors: Mapping[str, np.ndarray],
    files: Mapping[str, Mapping[str, Any]],
    kind: str,
    *,
    weights: str = WEIGHTS,
) -> None:
    """Writes a file of tensors and JSON files, whole or not at all.

    Args:
        folder: where; an existing folder of the kind is replaced.
        tensors: by name.
        files: JSON files by name; one is config.json.
        kind: what the folder is, for messages: "an encoder's".
        weights: the name of the file of tensors.

    Raises:
        OSError: the folder cannot be written.
        ValueError: a file, or a folder without config.json, is in the way.
    """
    if (
        folder.exists()
        and not (folder / "config.json").is_file()
        and not (folder.is_dir() and not any(folder.iterdir()))
    ):
        raise ValueError(f"{folder} exists and is not {kind} folder; choose another name")
    with writing_folder(folder) as temporary:
        # transformers reads no file that does not say of which framework it is.
        save_file(dict(tensors), temporary / weights, metadata={"format": "pt"})
        for name, content in files.items():
            (temporary / name).write_text(json.dumps(content, indent=2) + "\n")


def read_tensors(file: pathlib.Path, wanted: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The tensors of a .safetensors file, which must have these names and shapes and no others.

    Args:
        file: the file.
        wanted: by name, anything with the tensor's `shape` and `dtype`.

    Raises:
        ValueError: a tensor is missing, not used, of another shape, or holds no floating-point
            numbers where those are wanted; the message names it; or the file is unreadable.
    """
    try:
        with safe_open(file, framework="numpy") as stored:
            names = set(stored.keys())
            if unused := sorted(names - wanted.keys()):
                raise ValueError(
                    f"{file} holds the tensor {unused[0]}, which config.json does not "
                    "use: the two files belong to different networks"
                )
            for name, leaf in wanted.items():
                if name not in names:
                    raise ValueError(f"{file} lacks the tensor {name} {list(leaf.shape)}")
                shape = tuple(stored.get_slice(name).get_shape())
                if shape != tuple(leaf.shape):
                    raise ValueError(
                        f"{file}: the tensor {name} is {list(shape)}, config.json asks for "
                        f"{list(leaf.shape)}"
                    )
                kind = stored.get_slice(name).get_dtype()
                if jax.numpy.issubdtype(leaf.dtype, np.floating) and kind not in _FLOATS:
                    raise ValueError(
                        f"{file}: the tensor {name} is {kind}, config.json asks for floating-point "
                        f"numbers ({', '.join(_FLOATS)}); take the file as it was written"
                    )
            return {
                name: stored.get_tensor(name).astype(leaf.dtype, copy=False)
                for name, leaf in wanted.items()
            }
    except SafetensorError as error:
        raise ValueError(
            f"{file} is not a readable safetensors file: {error}; if it was copied, do that again"
        ) from error


def tensor_names(params: PyTree, state: PyTree) -> dict[str, Any]:
    """The leaves of a network's parameters and state by their names in the file."""
    leaves, _ = jax.tree_util.tree_flatten_with_path((params, state))
    prefix = ("params", "state")
    return {
        f"{prefix[path[0].idx]}.{jax.tree_util.keystr(path[1:], simple=True, separator='.')}": leaf
        for path, leaf in leaves
    }
