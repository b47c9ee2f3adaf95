"""The Shenzhen chest radiographs: normal, or tuberculosis.

CXR_png/CHNCXR_NNNN_L.png, L being 0 (normal) or 1 (tuberculosis); where shenzhen_metadata.csv
exists, its study_id names the images.
"""

import pathlib
import re

from examine_jax.labelled.published.layout import (
    Entry,
    LayoutFiles,
    check_entries,
    needed,
    table_rows,
)

CLASSES = ("normal", "tuberculosis")


def read_shenzhen(folder: pathlib.Path) -> LayoutFiles:
    """A `Layout`."""
    images, table = needed(folder / "CXR_png"), folder / "shenzhen_metadata.csv"
    if table.exists():
        named = [
            (f"{table}, line {line}", row["study_id"])
            for line, row in table_rows(table, ("study_id",))
        ]
    else:
        named = [(str(images), path.name) for path in sorted(images.glob("*.png"))]
    entries: dict[str, Entry] = {}
    for where, name in named:
        stem = name.removesuffix(".png")
        match = re.fullmatch(r"CHNCXR_\d+_(\d)", stem)
        if match is None or match[1] not in "01":
            raise ValueError(
                f"{where}: {name!r} names no known class; files are CHNCXR_NNNN_0.png (normal) or "
                "CHNCXR_NNNN_1.png"
            )
        if stem in entries:
            raise ValueError(f"{where}: a second row for {name!r}; keep one")
        entries[stem] = Entry(int(match[1]))
    return LayoutFiles(check_entries(entries, images), CLASSES, [images])
