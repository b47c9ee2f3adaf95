"""The images to label as a data set that FiftyOne reads."""

import dataclasses
import json
import os
import pathlib

from examine_jax.common.atomic_files import write_text
from examine_jax.reporting.hand_over.chosen import ChosenImages

FOLDER = "fiftyone"
FILES = ("data.json", "labels.json")


@dataclasses.dataclass(frozen=True)
class FiftyOne:
    """fiftyone/labels.json and fiftyone/data.json: a FiftyOneImageClassificationDataset.

    The images have no labels yet. Their keys are 0001, 0002, … in the order of labelling, which
    FiftyOne keeps; data.json gives each image's file. It is read by
    `fiftyone.Dataset.from_dir(dataset_dir="OUT/fiftyone", data_path="data.json",
    dataset_type=fiftyone.types.FiftyOneImageClassificationDataset)`.

    Source: FiftyOne's documentation of FiftyOneImageClassificationDataset.
    """

    needs_files: bool = True

    def write(self, workdir: pathlib.Path, chosen: ChosenImages) -> None:
        folder = workdir / FOLDER
        folder.mkdir(exist_ok=True)
        files = {}
        for image in chosen.images:
            assert image.file is not None  # needs_files
            files[f"{image.order:0{_digits(chosen)}}"] = os.fsencode(
                os.path.abspath(image.file)
            ).decode("utf-8", errors="backslashreplace")
        labels = {"classes": None, "labels": dict.fromkeys(files)}
        for name, content in zip(FILES, (files, labels), strict=True):
            write_text(folder / name, json.dumps(content, indent=1) + "\n")

    def remove(self, workdir: pathlib.Path) -> None:
        for name in FILES:
            (workdir / FOLDER / name).unlink(missing_ok=True)


def _digits(chosen: ChosenImages) -> int:
    """FiftyOne sorts the keys as texts, so all are of one length."""
    return max(4, len(str(len(chosen.images))))
