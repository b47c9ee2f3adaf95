"""What the files beside published sets say of their images: labels, groups and splits, a reader a layout (`official_layouts`)."""

import csv
import dataclasses
import pathlib
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

_MAX_BYTES = 2**30
ISIC_2019_CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
ISIC_2016_CLASSES = ("benign", "malignant")
CHESTX_RAY14_CLASSES = (
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
SHENZHEN_CLASSES = ("normal", "tuberculosis")


@dataclasses.dataclass(frozen=True)
class Entry:
    label: int | tuple[int, ...]
    group: str | None = None
    tested: bool | None = None


Found = tuple[dict[str, Entry], tuple[str, ...], Sequence[pathlib.Path]]


def _isic_2019(folder: pathlib.Path) -> Found:
    truth = _needed(folder / "ISIC_2019_Training_GroundTruth.csv")
    metadata = folder / "ISIC_2019_Training_Metadata.csv"
    lesions: dict[str, str] = {}
    lines: dict[str, int] = {}
    if metadata.exists():
        for line, row in _rows(metadata, ("image", "lesion_id")):
            _once(lines, metadata, line, row["image"])
            lesions[row["image"]] = row["lesion_id"]
    entries: dict[str, Entry] = {}
    for line, row in _rows(truth, ("image", *ISIC_2019_CLASSES)):
        unknown = [name for name in row if name not in ("image", "UNK", *ISIC_2019_CLASSES)]
        if unknown:
            raise ValueError(f"{truth}: unknown class {unknown[0]!r}; there are {', '.join(ISIC_2019_CLASSES)}")
        given = [name for name in row if name != "image" and _marked(truth, line, name, row[name])]
        if len(given) != 1 or given == ["UNK"]:
            said = ", ".join(given) or "none"
            raise ValueError(f"{truth}, line {line}: {row['image']} needs one of the known classes, has {said}")
        _add(
            entries,
            truth,
            line,
            row["image"],
            Entry(ISIC_2019_CLASSES.index(given[0]), lesions.get(row["image"]) or None),
        )
    if metadata.exists():
        untold = entries.keys() - lines.keys()
        if untold:
            # Taken for lesions of their own they might lie on both sides of a split.
            raise ValueError(
                f"{metadata}: {len(untold)} images of {truth.name} have no row: {listed(untold)}; "
                "give the whole file (is it cut short?), or add rows, with an empty lesion_id where none is known"
            )
        _check_named(metadata, lines, entries, truth)
    return _whole(entries, truth), ISIC_2019_CLASSES, [_needed(folder / "ISIC_2019_Training_Input")]


def _isic_2016(folder: pathlib.Path) -> Found:
    entries: dict[str, Entry] = {}
    parts = ["Training"]
    # One of the two is an official split that lacks the other, which is then asked for below.
    if any((folder / f"ISBI2016_ISIC_Part3_Test_{name}").exists() for name in ("Data", "GroundTruth.csv")):
        parts.append("Test")
    for part in parts:
        truth = _needed(folder / f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv")
        codes = {"benign": 0, "malignant": 1, "0.0": 0, "1.0": 1, "0": 0, "1": 1}
        for line, cells in _lines(truth):
            if len(cells) != 2 or cells[1] not in codes:
                raise ValueError(
                    f"{truth}, line {line}: unknown class in {','.join(cells)!r}; there are benign, malignant (0.0, 1.0)"
                )
            _add(
                entries,
                truth,
                line,
                cells[0],
                Entry(codes[cells[1]], tested=part == "Test" if len(parts) > 1 else None),
            )
    folders = [_needed(folder / f"ISBI2016_ISIC_Part3_{part}_Data") for part in parts]
    return _whole(entries, folder), ISIC_2016_CLASSES, folders


def _chestx_ray14(folder: pathlib.Path) -> Found:
    tables = sorted(folder.glob("Data_Entry_2017*.csv"))
    if len(tables) > 1:
        raise ValueError(f"{folder} has two tables of labels, {tables[0].name} and {tables[1].name}; keep one")
    table = tables[0] if tables else _needed(folder / "Data_Entry_2017.csv")
    lists = (folder / "train_val_list.txt", folder / "test_list.txt")
    lines = _split_lists(*lists)
    named = set()
    entries: dict[str, Entry] = {}
    for line, row in _rows(table, ("Image Index", "Finding Labels", "Patient ID")):
        findings = set(row["Finding Labels"].split("|")) - {"No Finding"}
        unknown = sorted(findings - set(CHESTX_RAY14_CLASSES))
        if unknown:
            known = ", ".join(CHESTX_RAY14_CLASSES)
            raise ValueError(f"{table}, line {line}: unknown class {unknown[0]!r}; there are No Finding, {known}")
        if len(findings) > 0 and "No Finding" in row["Finding Labels"].split("|"):
            raise ValueError(
                f"{table}, line {line}: {row['Finding Labels']!r} is a contradiction; give findings, or none"
            )
        name = row["Image Index"]
        named.add(name)
        if lines and not any(name in own for own in lines):
            raise ValueError(
                f"{table}, line {line}: {name} is neither in {lists[0].name} nor in {lists[1].name}; add it to one"
            )
        label = tuple(int(known in findings) for known in CHESTX_RAY14_CLASSES)
        entry = Entry(label, row["Patient ID"], name in lines[1] if lines else None)
        _add(entries, table, line, pathlib.PurePosixPath(name).stem, entry)
    for path, own in zip(lists, lines):
        _check_named(path, own, named, table)
    folders = [path for path in [folder / "images", *sorted(folder.glob("images_[0-9]*"))] if path.is_dir()]
    return _whole(entries, table), CHESTX_RAY14_CLASSES, folders or [_needed(folder / "images")]


def _split_lists(training: pathlib.Path, testing: pathlib.Path) -> tuple[dict[str, int], ...]:
    """{image: line} of the two lists of the official split; nothing where there are none."""
    if not training.exists() and not testing.exists():
        return ()
    for there, absent in ((training, testing), (testing, training)):
        if not absent.exists():
            raise ValueError(
                f"{there} is half of the official split: add {absent.name}, or remove this one to have images tested on at random"
            )
    lines: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for own, path in zip(lines, (training, testing)):
        for line, (name, *_) in _lines(path):
            _once(own, path, line, name)
            if path == testing and name in lines[0]:
                raise ValueError(
                    f"{testing}, line {line}: {name} is in line {lines[0][name]} of {training.name} too; remove it from one"
                )
    return lines


def _shenzhen(folder: pathlib.Path) -> Found:
    images, table = _needed(folder / "CXR_png"), folder / "shenzhen_metadata.csv"
    if table.exists():
        named = [(f"{table}, line {line}", row["study_id"]) for line, row in _rows(table, ("study_id",))]
    else:
        named = [(str(images), path.name) for path in sorted(images.glob("*.png"))]
    entries: dict[str, Entry] = {}
    for where, name in named:
        stem = name.removesuffix(".png")
        match = re.fullmatch(r"CHNCXR_\d+_(\d)", stem)
        if match is None or match[1] not in "01":
            raise ValueError(
                f"{where}: {name!r} tells no known class; files are CHNCXR_NNNN_0.png (normal) or CHNCXR_NNNN_1.png"
            )
        if stem in entries:
            raise ValueError(f"{where}: a second row for {name!r}; keep one")
        entries[stem] = Entry(int(match[1]))
    return _whole(entries, images), SHENZHEN_CLASSES, [images]


LAYOUTS: Mapping[str, Callable[[pathlib.Path], Found]] = {
    "isic_2019": _isic_2019,
    "isic_2016": _isic_2016,
    "chestx_ray14": _chestx_ray14,
    "shenzhen": _shenzhen,
}


def _needed(path: pathlib.Path) -> pathlib.Path:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; unpack the set's files below {path.parent}, under their own names")
    return path


def _rows(path: pathlib.Path, columns: Sequence[str]) -> Iterable[tuple[int, dict[str, str]]]:
    """(line, {column: cell}) of a CSV file with a header."""
    header: list[str] | None = None
    for line, cells in _lines(path):
        if header is None:
            header = cells
            absent = [column for column in columns if column not in header]
            if absent:
                raise ValueError(f"{path}: no column {absent[0]!r}; the columns are {', '.join(header)}")
            continue
        if len(cells) < len(header) and any(column in header[len(cells) :] for column in columns):
            raise ValueError(f"{path}, line {line} is cut short: it has fewer columns than the header")
        named = [(name, cell) for name, cell in zip(header, [*cells, *[""] * len(header)]) if name]
        yield line, dict(named)


def _lines(path: pathlib.Path) -> Iterable[tuple[int, list[str]]]:
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} is no plain file, or larger than {_MAX_BYTES} bytes; name the set's own file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            for cells in reader:
                if any(cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}; give the set's CSV file, in UTF-8") from error


def _marked(path: pathlib.Path, line: int, name: str, text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{path}, line {line}: {text!r} is no number; classes are marked by 1.0 and 0.0") from None
    if value not in (0, 1):
        raise ValueError(f"{path}, line {line}: {name} is {text}; classes are marked by 1.0 and 0.0, give one of them")
    return value == 1


def _add(entries: dict[str, Entry], path: pathlib.Path, line: int, name: str, entry: Entry) -> None:
    if name in entries:
        raise ValueError(f"{path}, line {line}: a second row for {name!r}; keep one")
    entries[name] = entry


def _once(lines: dict[str, int], path: pathlib.Path, line: int, name: str) -> None:
    if name in lines:
        raise ValueError(f"{path}, line {line}: a second row for {name!r}, which is in line {lines[name]}; keep one")
    lines[name] = line


def _check_named(path: pathlib.Path, lines: Mapping[str, int], known: Container[str], table: pathlib.Path) -> None:
    """That a file names no image (and line) that the table of labels lacks."""
    strangers = [name for name in lines if name not in known]
    if strangers:
        raise ValueError(
            f"{path}, line {lines[strangers[0]]}: {len(strangers)} images have no row in {table.name}: {listed(strangers)}; "
            "add those rows, or remove these"
        )


def _whole(entries: dict[str, Entry], path: pathlib.Path) -> dict[str, Entry]:
    if not entries:
        raise ValueError(f"{path} names no image")
    return entries


def listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
