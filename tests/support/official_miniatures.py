"""Published sets in miniature, in their own layout: noise with a colour a class."""

import csv
import pathlib
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from examine_jax.labelled.published.chestx_ray14 import CLASSES as CHESTX_RAY14_CLASSES
from examine_jax.labelled.published.isic_2019 import CLASSES as ISIC_2019_CLASSES


def draw(path: pathlib.Path, code: int, *, grey: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
    shades = rng.integers(0, 128, (28, 28, 3)) + np.array([40, 16, 25]) * np.array(
        [code % 2, code % 3, code % 5]
    )
    image = Image.fromarray(shades.astype(np.uint8))
    (image.convert("L") if grey else image).save(path)


def write(path: pathlib.Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def isic_2019(folder: pathlib.Path, a_class: int = 6) -> None:
    classes = (*ISIC_2019_CLASSES, "UNK")
    truth: list[list[object]] = [["image", *classes]]
    metadata: list[list[object]] = [
        ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    ]
    for number in range(a_class * len(ISIC_2019_CLASSES)):
        name, code = f"ISIC_{number:07d}", number % len(ISIC_2019_CLASSES)
        draw(folder / "ISIC_2019_Training_Input" / f"{name}.jpg", code)
        truth.append([name, *(float(place == code) for place in range(len(classes)))])
        metadata.append(
            [
                name,
                "55.0",
                "anterior torso",
                f"HAM_{number % 24:05d}" if number >= 8 else "",
                "female",
            ]
        )
    (folder / "ISIC_2019_Training_Input" / "LICENSE.txt").write_text("CC-BY-NC")
    write(folder / "ISIC_2019_Training_GroundTruth.csv", truth)
    write(folder / "ISIC_2019_Training_Metadata.csv", metadata)


def isic_2016(folder: pathlib.Path, training: int = 16, test: int = 8) -> None:
    number = 0
    for part, count, words in (
        ("Training", training, ("benign", "malignant")),
        ("Test", test, ("0.0", "1.0")),
    ):
        rows = []
        for _ in range(count):
            name = f"ISIC_{number:07d}"
            draw(folder / f"ISBI2016_ISIC_Part3_{part}_Data" / f"{name}.jpg", number % 2)
            rows.append([name, words[number % 2]])
            number += 1
        write(folder / f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv", rows)


def chestx_ray14(folder: pathlib.Path, a_class: int = 6) -> None:
    rows: list[list[object]] = [
        ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", ""]
    ]
    split: dict[bool, list[str]] = {False: [], True: []}
    for number in range(a_class * len(CHESTX_RAY14_CLASSES)):
        patient, code = number // 2, number // 2 % 14
        name = f"{patient:08d}_{number % 2:03d}.png"
        draw(folder / f"images_{1 + number % 2:03d}" / "images" / name, code, grey=True)
        second = f"|{CHESTX_RAY14_CLASSES[(code + 1) % 14]}" if number % 4 == 1 else ""
        rows.append([name, f"{CHESTX_RAY14_CLASSES[code]}{second}", number % 2, patient, 58, ""])
        split[number >= 4 * 14].append(name)
    for number in range(10):
        name = f"{900 + number:08d}_000.png"
        draw(folder / "images_001" / "images" / name, 0, grey=True)
        rows.append([name, "No Finding", 0, 900 + number, 31, ""])
        split[number % 2 == 1].append(name)
    write(folder / "Data_Entry_2017.csv", rows)
    (folder / "train_val_list.txt").write_text("\n".join(split[False]) + "\n")
    (folder / "test_list.txt").write_text("\n".join(split[True]) + "\n")


def shenzhen(folder: pathlib.Path, a_class: int = 10) -> None:
    rows: list[list[object]] = [["study_id", "sex", "age", "findings"]]
    for number in range(2 * a_class):
        name = f"CHNCXR_{number + 1:04d}_{number % 2}.png"
        draw(folder / "CXR_png" / name, number % 2, grey=True)
        rows.append([name, "Male", "45", "normal" if number % 2 == 0 else "PTB"])
    write(folder / "shenzhen_metadata.csv", rows)
