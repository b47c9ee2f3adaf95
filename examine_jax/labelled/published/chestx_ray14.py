"""ChestX-ray14: chest radiographs with up to fourteen findings each; groups are patients.

Data_Entry_2017*.csv, images/*.png or images_001 to images_012/images/*.png; with train_val_list.txt
and test_list.txt, or neither.
"""

import pathlib

from examine_jax.labelled.published.layout import (
    Entry,
    LayoutFiles,
    add_entry,
    check_entries,
    check_named,
    check_once,
    needed,
    table_lines,
    table_rows,
)

CLASSES = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)


def read_chestx_ray14(folder: pathlib.Path) -> LayoutFiles:
    """A `Layout`; images have several labels, groups are patients."""
    tables = sorted(folder.glob("Data_Entry_2017*.csv"))
    if len(tables) > 1:
        raise ValueError(
            f"{folder} has two tables of labels, {tables[0].name} and {tables[1].name}; keep one"
        )
    table = tables[0] if tables else needed(folder / "Data_Entry_2017.csv")
    lists = (folder / "train_val_list.txt", folder / "test_list.txt")
    lines = _split_lists(*lists)
    named = set()
    entries: dict[str, Entry] = {}
    for line, row in table_rows(table, ("Image Index", "Finding Labels", "Patient ID")):
        findings = set(row["Finding Labels"].split("|")) - {"No Finding"}
        unknown = sorted(findings - set(CLASSES))
        if unknown:
            known = ", ".join(CLASSES)
            raise ValueError(
                f"{table}, line {line}: unknown class {unknown[0]!r}; there are No Finding, {known}"
            )
        if len(findings) > 0 and "No Finding" in row["Finding Labels"].split("|"):
            raise ValueError(
                f"{table}, line {line}: {row['Finding Labels']!r} is a contradiction; give "
                "findings, or none"
            )
        name = row["Image Index"]
        named.add(name)
        if lines and not any(name in own for own in lines):
            raise ValueError(
                f"{table}, line {line}: {name} is neither in {lists[0].name} nor in "
                f"{lists[1].name}; add it to one"
            )
        label = tuple(int(known in findings) for known in CLASSES)
        entry = Entry(label, row["Patient ID"], name in lines[1] if lines else None)
        add_entry(entries, table, line, pathlib.PurePosixPath(name).stem, entry)
    for path, own in zip(lists, lines):
        check_named(path, own, named, table)
    folders = [
        path for path in [folder / "images", *sorted(folder.glob("images_[0-9]*"))] if path.is_dir()
    ]
    return LayoutFiles(
        check_entries(entries, table), CLASSES, folders or [needed(folder / "images")]
    )


def _split_lists(training: pathlib.Path, testing: pathlib.Path) -> tuple[dict[str, int], ...]:
    """{image: line} of both lists of the official split, training first; () without lists."""
    if not training.exists() and not testing.exists():
        return ()
    for there, absent in ((training, testing), (testing, training)):
        if not absent.exists():
            raise ValueError(
                f"{there} is half of the official split: add {absent.name}, or remove this one to "
                "have images tested on at random"
            )
    lines: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for own, path in zip(lines, (training, testing)):
        for line, (name, *_) in table_lines(path):
            check_once(own, path, line, name)
            if path == testing and name in lines[0]:
                raise ValueError(
                    f"{testing}, line {line}: {name} is in line {lines[0][name]} of "
                    f"{training.name} too; remove it from one"
                )
    return lines
