"""Detectors as their users train and apply them: one whole run on a few pictures, and refusals."""

import csv
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from examine_jax.labelled.boxes.reading import read_boxes
from tests.support.commands import run_here

CLASSES = ("disc", "=square")
HEADER = ["image", "class", "score", "x_min", "y_min", "x_max", "y_max"]


def picture(seed):
    """(an image of 48 x 96 with a bright square, its box)."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 60, (48, 96, 3), dtype=np.uint8)
    x, y = generator.integers(4, 60), generator.integers(4, 20)
    pixels[y : y + 20, x : x + 24] = 250
    return pixels, (int(x), int(y), 24, 20)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with five images and the COCO file of four of them; one has no box."""
    root = tmp_path_factory.mktemp("data")
    images = root / "images"
    images.mkdir()
    entries, annotations = [], []
    for place in range(5):
        pixels, box = picture(place)
        name = f"<b>{place}.png"
        Image.fromarray(pixels).save(images / name)
        if place < 4:
            entries.append({"id": place + 1, "file_name": name, "width": 96, "height": 48})
        if place < 3:
            category = 1 + place % 2
            annotations.append(
                {"id": place, "image_id": place + 1, "category_id": category, "bbox": box}
            )
    annotations.append({"id": 9, "image_id": 1, "category_id": 1, "bbox": [5, 5, 0, 10]})
    (images / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    categories = [{"id": 1, "name": CLASSES[0]}, {"id": 2, "name": CLASSES[1]}]
    document = {"images": entries, "categories": categories, "annotations": annotations}
    (root / "boxes.json").write_text(json.dumps(document))
    return root


def train(data, workdir, *more):
    return run_here(
        "detect_train",
        f"--images={data / 'images'}",
        f"--boxes={data / 'boxes.json'}",
        f"--workdir={workdir}",
        "--image_size=64",
        "--batch_size=2",
        *more,
    )


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    code, printed = train(
        data,
        workdir,
        "--steps=2",
        f"--validation_boxes={data / 'boxes.json'}",
        "--validate_every=2",
        "--repeat_threshold=.4",
    )
    assert code == 0, printed
    return workdir, printed


def test_a_training_says_what_it_is_trained_on(trained):
    workdir, printed = trained
    assert "3 boxes of 2 classes on 4 images, 1 of them without a box" in printed
    assert "disc: 2 boxes on 2 images, 2 an epoch with repetitions" in printed
    assert "of the boxes have one of IoU .5 or more" in printed
    skipped = {row["image"]: row["reason"] for row in rows(workdir / "skipped.csv")}
    assert "annotation 9" in skipped["<b>0.png"]
    assert "does not name" in skipped["<b>4.png"]
    assert "torn.png" in skipped
    assert (workdir / "boxes.png").read_bytes().startswith(b"\x89PNG")
    history = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in history] == [1, 2]
    assert 0 <= history[-1]["validation_ap50"] <= 1
    page = (workdir / "training.html").read_text()
    assert "The boxes that were trained on" in page
    assert "<b>0.png" not in page


def test_the_same_command_again_trains_nothing_anew(data, trained):
    workdir, _ = trained
    before = (workdir / "detector" / "model.safetensors").read_bytes()
    code, printed = train(data, workdir, "--steps=2", "--repeat_threshold=.4")
    assert code == 0, printed
    assert (workdir / "detector" / "model.safetensors").read_bytes() == before


def rows(file):
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def detected(data, trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("found") / "p.csv"
    flags = (
        f"--images={data / 'images'}",
        f"--detector={trained[0] / 'detector'}",
        f"--output={output}",
        "--least_score=0",
        f"--boxes={data / 'boxes.json'}",
        "--bootstrap_draws=20",
    )
    code, printed = run_here("detect", *flags)
    assert code == 0, printed
    return output, printed


def test_detections_are_in_the_images_own_pixels(detected):
    output, _ = detected
    found = rows(output)
    assert list(found[0]) == HEADER
    corners = np.array([[float(row[name]) for name in HEADER[3:]] for row in found])
    assert corners.min() >= 0
    assert corners[:, [0, 2]].max() <= 96
    assert corners[:, [0, 2]].max() > 64
    assert corners[:, [1, 3]].max() <= 48
    assert {row["class"] for row in found} <= set(CLASSES)
    assert {row["image"] for row in found} == {f"<b>{place}.png" for place in range(5)}


def test_detections_are_measured_on_the_named_images(detected):
    output, printed = detected
    page = output.with_suffix(".html").read_text()
    assert "Against 3 true boxes on 4 images" in page
    assert "Metrics by class" in page
    assert "detections on 5 images" in printed
    assert (output.with_suffix(".skipped.csv")).exists()


def test_detections_are_read_back_as_boxes(data, detected):
    found, problems = read_boxes(detected[0])
    assert found.score is not None
    assert set(found.classes) <= set(CLASSES)
    assert not problems


def test_no_detection_leaves_a_header(data, trained, tmp_path):
    output = tmp_path / "none.csv"
    code, printed = run_here(
        "detect",
        f"--images={data / 'images'}",
        f"--detector={trained[0] / 'detector'}",
        f"--output={output}",
        "--least_score=1",
    )
    assert code == 0, printed
    assert output.read_text().splitlines() == [",".join(HEADER)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--encoder=a", "--init=b.safetensors"], "give one of them"),
        (["--image_size=64,50"], "multiples of 32"),
        (["--image_size=64,64,64"], "multiples of 32"),
        (["--learning_rate=0"], "must be positive"),
        (["--validate_every=5"], "needs --validation_boxes"),
        (["--batch_size=9"], "choose a batch size up to 4"),
        (["--frozen_stages=1", "--steps=1"], "keep random weights"),
        (["--boxes=none.json"], "none.json"),
        (["--encoder=none"], "none"),
    ],
)
def test_a_training_that_cannot_be_is_refused_in_one_line(data, tmp_path, flags, message):
    code, printed = train(data, tmp_path / "run", *flags)
    assert code == 1
    assert message in printed.splitlines()[-1]
    assert "Traceback" not in printed
    assert not (tmp_path / "run" / "detector").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output=p.txt"], "must end in .csv or .json"),
        (["--output=p.csv", "--format=coco"], "is written to .json"),
        (["--output=nowhere/p.csv"], "there is no folder nowhere"),
        (["--output=p.csv", "--groups=g.csv"], "give --boxes=PATH too"),
        (["--output=p.csv", "--detector=."], "is not a detector's folder"),
    ],
)
def test_detections_that_cannot_be_are_refused_in_one_line(data, tmp_path, flags, message):
    code, printed = run_here(
        "detect", f"--images={data / 'images'}", f"--detector={tmp_path}", *flags
    )
    assert code == 1
    assert message in printed.splitlines()[-1]


def test_a_file_that_is_read_is_not_replaced(data, trained):
    boxes = data / "boxes.json"
    before = boxes.read_bytes()
    code, printed = run_here(
        "detect",
        f"--images={data / 'images'}",
        f"--detector={trained[0] / 'detector'}",
        f"--output={boxes}",
        f"--boxes={boxes}",
    )
    assert code == 1
    assert "boxes.json" in printed
    assert boxes.read_bytes() == before


def test_images_without_any_box_train_nothing(data, tmp_path):
    document = json.loads((data / "boxes.json").read_text())
    (tmp_path / "none.json").write_text(json.dumps({**document, "annotations": []}))
    code, printed = train(data, tmp_path / "run", f"--boxes={tmp_path / 'none.json'}")
    assert code == 1
    assert "no box" in printed.splitlines()[-1]
    assert not pathlib.Path(tmp_path / "run" / "detector").exists()


def test_coco_results_have_the_ids_of_the_truth(data, trained, tmp_path):
    document = json.loads((data / "boxes.json").read_text())
    moved = {
        "images": [{**entry, "id": 10 * entry["id"]} for entry in document["images"]],
        "categories": [{**entry, "id": 7 * entry["id"]} for entry in document["categories"]],
        "annotations": [
            {
                **entry,
                "id": entry["id"] + 1,
                "image_id": 10 * entry["image_id"],
                "category_id": 7 * entry["category_id"],
                "iscrowd": 0,
                "area": 1.0,
            }
            for entry in document["annotations"][:3]
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(moved))
    code, printed = run_here(
        "detect",
        f"--images={data / 'images'}",
        f"--detector={trained[0] / 'detector'}",
        f"--output={tmp_path / 'p.json'}",
        "--least_score=0",
        f"--boxes={tmp_path / 'truth.json'}",
        "--bootstrap_draws=0",
    )
    assert code == 0, printed
    from pycocotools.coco import COCO

    truth = COCO(str(tmp_path / "truth.json"))
    found = truth.loadRes(str(tmp_path / "p.json"))
    assert {entry["image_id"] for entry in found.anns.values()} == {10, 20, 30, 40}
    assert {entry["category_id"] for entry in found.anns.values()} <= {7, 14}
