"""The study's page and tables, from figures that are made up."""

import csv
import functools
import pathlib

import numpy as np
import pytest

from examine_jax.detection.agreement import reader_agreement
from examine_jax.images import ImageSet
from examine_jax.labelled.boxes import BoxSet
from examine_jax.studies.detection.page import write_page
from examine_jax.studies.detection.results import RANDOM, WITH, WITHOUT, RowResult, measured
from examine_jax.studies.detection.sets import Split, StudyImages
from examine_jax.studies.detection.settings import detection_preset
from examine_jax.studies.detection.tables import gain_text, gains, table_1

CLASSES = ("Cardiomegaly", "never")


def study_images() -> StudyImages:
    names = tuple(f"{index}.dicom" for index in range(10))
    boxes = BoxSet(
        names,
        np.full((10, 2), 32),
        CLASSES,
        np.repeat(np.arange(9), 2),  # the last image is negative
        np.zeros(18, int),
        np.tile([[2.0, 2, 20, 20], [3, 2, 21, 20]], (9, 1)),
        reader=np.tile([0, 1], 9),
        readers=("R8", "R9"),
    )
    fused = BoxSet(names, boxes.sizes, CLASSES, np.arange(9), np.zeros(9, int), boxes.corners[::2])
    pixels = np.full((10, 32, 32, 3), 90, np.uint8)
    return StudyImages(ImageSet(names, pixels), boxes, fused, np.arange(10), None)


@functools.cache
def perfect() -> dict:
    """What `measured` gives for detections that are the truth."""
    images = study_images()
    truth = images.boxes
    found = BoxSet(
        truth.images,
        truth.sizes,
        CLASSES,
        truth.image,
        truth.label,
        truth.corners,
        score=np.linspace(0.6, 0.9, 9),
    )
    return measured(truth, found, detection_preset("paper"), None, 0)


def results() -> list[RowResult]:
    rows = [(1.0, WITHOUT, 0.30), (0.5, WITH, 0.32), (0.5, WITHOUT, 0.28), (0.5, RANDOM, 0.10)]
    return [
        RowResult(
            seed,
            share,
            row,
            int(7 * share),
            {**perfect(), "ap": ap + 0.01 * seed},
            {},
            pathlib.Path(),
        )
        for seed in (0, 1)
        for share, row, ap in rows
    ]


def test_perfect_detections_have_perfect_figures() -> None:
    found = perfect()
    for name in ("ap", "ap50", "ar", "class_ar", "voc_map", "cpm", "best_overlap"):
        assert found[name] == pytest.approx(1.0), name
    assert found["class_ap"] == {"Cardiomegaly": pytest.approx(1.0), "never": None}
    assert found["unmatched_share"] == found["false_alarms"] == 0
    assert found["image_auroc"] == 1.0
    assert found["negative_images"] == 1


def test_gains_are_paired_by_seed() -> None:
    assert gain_text([(0.3, 0.2), (0.4, 0.5)]) == "+0.000 (1 of 2, not clear)"
    assert gain_text([(0.3, 0.2), (0.4, 0.3)]) == "+0.100 (2 of 2, clear)"
    assert gain_text([(0.3, 0.2)]) == "+0.100 (1 of 1)"
    assert gain_text([]) == "unknown"
    rows = {row[:2]: row[2] for row in gains(results()).rows}
    assert rows["50%", f"less {WITHOUT}"] == "+0.040 (2 of 2, clear)"
    assert rows["50%", f"less {RANDOM}"] == "+0.220 (2 of 2, clear)"


def test_the_papers_numbers_stand_beside_the_rows_that_they_belong_to() -> None:
    rows = {row[:2]: row for row in table_1(results()).rows}
    assert rows["100%", WITHOUT][8] == "0.129"
    assert rows["50%", WITH][8] == "0.109"
    assert rows["50%", WITHOUT][8] == rows["50%", RANDOM][8] == ""
    assert rows["50%", WITH][3] == "0.325 ± 0.007"


def test_the_page_has_tables_figures_and_a_verdict(tmp_path: pathlib.Path) -> None:
    images = study_images()
    split = Split(np.arange(7), np.arange(7, 8), np.arange(8, 10))
    diverged = RowResult(1, 0.5, RANDOM, 3, {}, {}, tmp_path, "the loss is NaN at step 3")
    page = write_page(
        tmp_path,
        [*results()[:-1], diverged],
        images,
        {0: split, 1: split},
        reader_agreement(images.readers, num_draws=5),
        detection_preset("paper"),
        balance=(("Cardiomegaly", 7, 9.0), ("never", 0, 0.0)),
        start="coco.safetensors",
        device="cpu",
    )
    text = page.read_text()
    for part in (
        "50% labelled +0.040 (2 of 2, clear)",
        "50% with it reach 100% with the same start alone",
        "R8 and R9",
        "the loss is NaN at step 3",
        "2 of 3 seeds are done",
        "coco.safetensors",
        "patients&#39; data",
    ):
        assert part in text, part
    with (tmp_path / "results.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 8
    with (tmp_path / "table_2.csv").open(newline="") as stream:
        assert next(csv.DictReader(stream))["matched IoU"].startswith("0.895 (0.895")
