"""Weights in several safetensors files, with the index that lists them."""

import pathlib
from typing import Any

from examine_jax.models.weights.configuration import read_json
from examine_jax.models.weights.tensors import Tensors, read_tensors


def read_shards(index: pathlib.Path) -> Tensors:
    """Reads the tensors of all files that a model.safetensors.index.json lists.

    Raises:
        ValueError: the index is damaged, lists a tensor twice, a file outside its folder, a file
            that is missing or a tensor that its file lacks; a file holds a tensor that the index
            does not give to it; or as `read_tensors`. The message names it.
    """
    content = read_json(index)
    places = content.get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ValueError(f"{index} has no weight_map from tensors to files")
    for name, file in places.items():
        if not isinstance(file, str) or pathlib.PurePath(file).name != file or "\\" in file:
            raise ValueError(
                f"{index}: the tensor {name} is in {file!r}, which is no name of a file in the "
                "same folder"
            )
    files = sorted(set(places.values()))
    missing = [file for file in files if not (index.parent / file).is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ValueError(
            f"{index} lists {', '.join(missing[:3])}{more}, which the folder lacks: download "
            f"{'it' if len(missing) == 1 else 'them'}"
        )
    arrays: dict[str, Any] = {}
    others: dict[str, str] = {}
    half = None
    for file in files:
        shard = read_tensors(index.parent / file)
        for name in shard.arrays:
            if places.get(name) != file:
                given = f"gives it to {places[name]}" if name in places else "does not list it"
                raise ValueError(f"{shard.where} holds the tensor {name}; {index.name} {given}")
        arrays |= shard.arrays
        others |= shard.others
        half = half or shard.half
    # Whole numbers, such as counters, are listed and not read.
    return Tensors(arrays, str(index), half, others)
