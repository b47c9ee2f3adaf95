"""VinDr-CXR as PhysioNet and Kaggle hand it out.

PhysioNet: annotations/annotations_train.csv (image_id, rad_id, class_name, x_min, …; three readers
an image) and annotations_test.csv (the consensus, without rad_id). Kaggle: train.csv with class_id,
where 14 is "No finding". The rows of "No finding" have no coordinates (in the contest's truth
0 0 1 1). Image ids are names without a suffix; coordinates are in the pixels of the original DICOM
files, whose sizes come from the images' headers, since the tables do not have them.
"""

import os
import pathlib

from examine_jax.common.csv_lines import csv_header
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.csv_boxes import find_columns, read_csv_boxes
from examine_jax.labelled.boxes.gathering import SizeOf
from examine_jax.labelled.boxes.problems import Problem

KAGGLE_CLASSES = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Nodule/Mass",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
)
TABLES = ("annotations_train.csv", "annotations_test.csv", "train.csv")


def read_vindr(
    path: str | os.PathLike[str], size_of: SizeOf, classes: tuple[str, ...] | None
) -> tuple[BoxSet, tuple[Problem, ...]]:
    """Reads a table of VinDr-CXR, or the folder that holds one. A `Read` of the registry."""
    table = find_table(path)
    names = {}
    if find_columns(csv_header(table)).get("class", "").strip().lower() == "class_id":
        names = {str(code): name for code, name in enumerate(KAGGLE_CLASSES)}
        names["14"] = "No finding"
    return read_csv_boxes(table, size_of, classes, class_names=names)


def find_table(path: str | os.PathLike[str]) -> pathlib.Path:
    """The table of boxes in a folder, or in its sub-folder `annotations`; or the file itself.

    Raises:
        ValueError: the folder has none, or several.
    """
    place = pathlib.Path(path)
    if not place.is_dir():
        return place
    found = [
        folder / name
        for folder in (place, place / "annotations")
        for name in TABLES
        if (folder / name).is_file()
    ]
    if len(found) != 1:
        several = f"several tables, {', '.join(file.name for file in found)}: name one of them"
        raise ValueError(f"{place}: {several if found else f'none of {TABLES}'}")
    return found[0]
