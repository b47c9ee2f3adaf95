"""The histology tiles of lc25000_96, split by group: a quarter of the groups is held out."""

import csv
import dataclasses
import pathlib

import numpy as np

from examine_jax.images import load_folder

_ASSESSED = 500


@dataclasses.dataclass(frozen=True, eq=False)
class HistologyTiles:
    """Tiles and their split.

    Attributes:
        pixels: uint8 [N, H, W, 3].
        label: [N] class numbers.
        held: [N] whether the tile's group is held out.
        assessed: row numbers of 500 held-out tiles.
    """

    pixels: np.ndarray
    label: np.ndarray
    held: np.ndarray
    assessed: np.ndarray


def read_tiles(folder: pathlib.Path, image_size: int, seed: int) -> HistologyTiles:
    """Reads the tiles and groups.csv, whose columns are file, class and group."""
    images = load_folder(folder, image_size=image_size)
    with (folder / "groups.csv").open(newline="") as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    groups = np.array([rows[name]["group"] for name in images.names])
    _, label = np.unique([rows[name]["class"] for name in images.names], return_inverse=True)
    generator = np.random.default_rng(seed)
    held_groups = generator.permutation(np.unique(groups))[: len(np.unique(groups)) // 4]
    held = np.isin(groups, held_groups)
    assessed = generator.permutation(np.flatnonzero(held))[:_ASSESSED]
    return HistologyTiles(images.pixels, label.astype(np.int32), held, assessed)
