"""Reads image files of every kind, made from nothing, and counts those with the right values.

    python -m benchmarks.quality.file_matrix [--shown=20]

Each is read at its own size, so that no resize is between what was written and what is read. The
cells and their right values are in tests/support. A kind that is skipped counts as wrong.
"""

import collections
import pathlib
import tempfile
import warnings
from collections.abc import Sequence

import numpy as np
from absl import app, flags

from tests.support.raster_cells import all_rasters
from tests.support.tiff_cells import SIZE, Cell, all_tiffs

_SHOWN = flags.DEFINE_integer("shown", 20, "How many wrong cells are printed.")


def problem(cell: Cell, folder: pathlib.Path) -> str | None:
    """What is wrong with how a cell is read; None: nothing."""
    path = folder / f"image.{cell.suffix}"
    path.unlink(missing_ok=True)
    cell.write(path)
    channels = cell.right.shape[-1]
    try:
        read = decoded(path, channels)
    except Exception as error:
        return f"not read: {error}"
    if read.shape != cell.right.shape:
        read = np.broadcast_to(read, cell.right.shape)
    off = np.abs(read.astype(np.float64) - cell.right).max()
    return None if off <= cell.tolerance else f"off by {off:g}"


def decoded(path: pathlib.Path, channels: int) -> np.ndarray:
    """The values of a file before they become bytes, as the decoder of a folder gives them."""
    from examine_jax.images.decoding.decoder import ImageDecoder
    from examine_jax.images.decoding.parallel import Budget

    return ImageDecoder(SIZE, channels, None, 10**8, 2**30, Budget(10**8))(str(path)).pixels


def main(_: Sequence[str]) -> None:
    warnings.simplefilter("ignore")
    right: collections.Counter[str] = collections.Counter()
    total: collections.Counter[str] = collections.Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for cells in (all_tiffs(), all_rasters()):
            for cell in cells:
                kind = cell.name.partition(",")[0]
                total[kind] += 1
                found = problem(cell, pathlib.Path(folder))
                right[kind] += found is None
                if found is not None:
                    wrong.append(f"{cell.name}: {found}")
    for line in wrong[: _SHOWN.value]:
        print(line)
    for kind, count in total.items():
        print(f"{kind}: {right[kind]} of {count} right")
    print(f"all: {right.total()} of {total.total()} right")


if __name__ == "__main__":
    app.run(main)
