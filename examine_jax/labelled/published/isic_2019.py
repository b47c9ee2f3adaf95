"""ISIC 2019: dermoscopic images of eight classes.

ISIC_2019_Training_Input/*.jpg, ISIC_2019_Training_GroundTruth.csv (a column a class, one of them 1)
and, for the lesions, ISIC_2019_Training_Metadata.csv (a row an image; an empty lesion_id: the image
is its own lesion).
"""

import pathlib

from examine_jax.labelled.published.layout import (
    Entry,
    LayoutFiles,
    add_entry,
    check_entries,
    check_named,
    check_once,
    listed,
    needed,
    table_rows,
)

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")


def read_isic_2019(folder: pathlib.Path) -> LayoutFiles:
    """A `Layout`; groups are lesions."""
    truth = needed(folder / "ISIC_2019_Training_GroundTruth.csv")
    metadata = folder / "ISIC_2019_Training_Metadata.csv"
    lesions: dict[str, str] = {}
    lines: dict[str, int] = {}
    if metadata.exists():
        for line, row in table_rows(metadata, ("image", "lesion_id")):
            check_once(lines, metadata, line, row["image"])
            lesions[row["image"]] = row["lesion_id"]
    entries: dict[str, Entry] = {}
    for line, row in table_rows(truth, ("image", *CLASSES)):
        unknown = [name for name in row if name not in ("image", "UNK", *CLASSES)]
        if unknown:
            raise ValueError(
                f"{truth}: unknown class {unknown[0]!r}; there are {', '.join(CLASSES)}"
            )
        given = [name for name in row if name != "image" and _marked(truth, line, name, row[name])]
        if len(given) != 1 or given == ["UNK"]:
            marked = ", ".join(given) or "none"
            raise ValueError(
                f"{truth}, line {line}: {row['image']} needs one of the known classes, has {marked}"
            )
        add_entry(
            entries,
            truth,
            line,
            row["image"],
            Entry(CLASSES.index(given[0]), lesions.get(row["image"]) or None),
        )
    if metadata.exists():
        without_row = entries.keys() - lines.keys()
        if without_row:
            # As lesions of their own, images of one lesion could be on both sides of a split.
            raise ValueError(
                f"{metadata}: {len(without_row)} images of {truth.name} have no row: "
                f"{listed(without_row)}; "
                "give the whole file (is it cut short?), or add rows, with an empty lesion_id "
                "where none is known"
            )
        check_named(metadata, lines, entries, truth)
    return LayoutFiles(
        check_entries(entries, truth), CLASSES, [needed(folder / "ISIC_2019_Training_Input")]
    )


def _marked(path: pathlib.Path, line: int, name: str, text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(
            f"{path}, line {line}: {text!r} is no number; classes are marked by 1.0 and 0.0"
        ) from None
    if value not in (0, 1):
        raise ValueError(
            f"{path}, line {line}: {name} is {text}; classes are marked by 1.0 and 0.0, give one "
            "of them"
        )
    return value == 1
