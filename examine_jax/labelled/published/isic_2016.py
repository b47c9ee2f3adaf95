"""ISIC 2016, part 3: dermoscopic images, benign or malignant.

ISBI2016_ISIC_Part3_Training_Data/*.jpg, ISBI2016_ISIC_Part3_Training_GroundTruth.csv (no header;
benign, malignant); with ISBI2016_ISIC_Part3_Test_Data and ..._Test_GroundTruth.csv (0.0, 1.0), or
neither.
"""

import pathlib

from examine_jax.labelled.published.layout import (
    Entry,
    LayoutFiles,
    add_entry,
    check_entries,
    needed,
    table_lines,
)

CLASSES = ("benign", "malignant")


def read_isic_2016(folder: pathlib.Path) -> LayoutFiles:
    """A `Layout`."""
    entries: dict[str, Entry] = {}
    parts = ["Training"]
    # If only one of the two is there, the official split is incomplete, and the other is asked for
    # below.
    if any(
        (folder / f"ISBI2016_ISIC_Part3_Test_{name}").exists()
        for name in ("Data", "GroundTruth.csv")
    ):
        parts.append("Test")
    for part in parts:
        truth = needed(folder / f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv")
        codes = {"benign": 0, "malignant": 1, "0.0": 0, "1.0": 1, "0": 0, "1": 1}
        for line, cells in table_lines(truth):
            if len(cells) != 2 or cells[1] not in codes:
                raise ValueError(
                    f"{truth}, line {line}: unknown class in {','.join(cells)!r}; there are "
                    "benign, malignant (0.0, 1.0)"
                )
            add_entry(
                entries,
                truth,
                line,
                cells[0],
                Entry(codes[cells[1]], tested=part == "Test" if len(parts) > 1 else None),
            )
    folders = [needed(folder / f"ISBI2016_ISIC_Part3_{part}_Data") for part in parts]
    return LayoutFiles(check_entries(entries, folder), CLASSES, folders)
