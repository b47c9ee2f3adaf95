"""Reads a matrix of DICOM files that are made from nothing, and holds each to what was written.

python -m benchmarks.quality.dicom_matrix [--folder=FILES] [--output=TABLE.csv]

A cell is a transfer syntax, bits a sample, sign, photometric interpretation, planar configuration
and number of frames. What is lossless is held to the values that were written, as grey levels of
the whole range and of 256 levels in its middle. What is lossy is held to a second decoder (Pillow,
OpenJPH), or to the values that were written within the codec's own bound.
"""

import pathlib
import tempfile
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from absl import app, flags

from benchmarks.quality.dicom_cells import (
    EXACT,
    SIZE,
    Cell,
    bit_cells,
    disagreeing_signs,
    grey_cells,
    write,
)
from benchmarks.quality.dicom_colour_cells import colour_cells, compressed_colours, palettes
from examine_jax.images import load_folder


def cells() -> Iterator[Cell]:
    """The matrix."""
    for count in (1, 3):
        for bits in (8, 10, 12, 16):
            for signed in (False, True):
                for photometric in ("MONOCHROME2", "MONOCHROME1"):
                    yield from grey_cells(bits, signed, photometric, count)
        yield from bit_cells(count)
        for bits in (8, 12, 16):
            for planar in (0, 1):
                yield from colour_cells(bits, planar, count)
        yield from compressed_colours(count)
        yield from palettes(count)
    yield from disagreeing_signs()


# (file, channels, range of grey values) -> uint8 [frames, SIZE, SIZE, channels].
Reader = Callable[[pathlib.Path, int, tuple[float, float] | None], np.ndarray]


def by_folder(
    path: pathlib.Path, channels: int, intensity_range: tuple[float, float] | None
) -> np.ndarray:
    """What `load_folder` reads of the folder that holds this file alone.

    Raises:
        ValueError: nothing, or not all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = load_folder(
            path.parent, image_size=SIZE, channels=channels, intensity_range=intensity_range
        )
    if images.skipped:
        raise ValueError(images.skipped[0].reason)
    return images.pixels


def problem(cell: Cell, path: pathlib.Path, read: Reader = by_folder) -> str:
    """How the file of a cell is read wrongly; empty: it is right."""
    for shown, intensity_range in _expected(cell):
        try:
            pixels = read(path, shown.shape[-1], intensity_range)
        except ValueError as error:
            return f"not read: {error}"
        difference = np.abs(pixels - 255 * shown)
        if difference.max() > cell.tolerance:
            share = 100 * (difference > cell.tolerance).mean()
            return f"wrong: up to {difference.max():.1f} levels, {share:.0f} % of the values"
    return ""


def _expected(cell: Cell) -> Iterator[tuple[np.ndarray, tuple[float, float] | None]]:
    """(pixels from 0 to 1, the range that shows them so) of a cell."""
    values = cell.values.astype(np.float64)
    if values.ndim == 4:
        palette = cell.tags["PhotometricInterpretation"] == "PALETTE COLOR"
        bits = 8 * cell.values.itemsize if palette else int(str(cell.tags["BitsStored"]))
        yield values / (2**bits - 1), None
        return
    low, high = float(values.min()), float(values.max())
    ranges = {(low, high)}
    if cell.tolerance <= EXACT and high > 1:
        middle = np.rint((low + high) / 2)
        ranges.add((float(max(low, middle - 127)), float(min(high, middle + 128))))
    for black, white in ranges:
        shown = np.clip((values - black) / (white - black), 0, 1)
        inverted = cell.tags["PhotometricInterpretation"] == "MONOCHROME1"
        yield (1 - shown if inverted else shown)[..., None], (black, white)


def run(wanted: Iterator[Cell], keep: pathlib.Path | None = None) -> list[tuple[str, str]]:
    """(name, problem) of each cell.

    Args:
        wanted: the cells.
        keep: a folder that keeps their files.
    """
    found = []
    for number, cell in enumerate(wanted):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.dcm"
            write(cell, path)
            found.append((cell.name, problem(cell, path)))
            if keep is not None:
                (keep / f"{number:04}.dcm").write_bytes(path.read_bytes())
                np.save(keep / f"{number:04}.npy", cell.values)
    return found


def main(_: list[str]) -> None:
    folder = flags.FLAGS.folder
    if folder:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    lines = run(cells(), pathlib.Path(folder) if folder else None)
    wrong = [line for line in lines if line[1]]
    for name, what in wrong:
        print(f"{name}: {what}")
    not_read = sum(what.startswith("not read") for _, what in wrong)
    print(
        f"{len(lines)} cells; {len(lines) - len(wrong)} right, {not_read} not read, "
        f"{len(wrong) - not_read} wrong"
    )
    if flags.FLAGS.output:
        from examine_jax.reporting.tables import write_table

        write_table(flags.FLAGS.output, ("cell", "problem"), lines)


if __name__ == "__main__":
    flags.DEFINE_string("folder", None, "Keeps the files, with the values as .npy.")
    flags.DEFINE_string("output", None, "A CSV file.")
    app.run(main)
