"""Detectors on the test images of BCCD, against the original boxes and against TXL-PBC's.

python -m benchmarks.quality.detection_bccd --data=BCCD --workdir=OUT --output=F.json --seeds=0,1,2

BCCD holds images/, annotations.json and annotations_txl.json (COCO; each image has its split). Each
seed trains the preset small on the training images, into OUT/seed_K; a killed run goes on. Half of
TXL-PBC's boxes are missing from the original ones: these are the noise that training learns.
"""

import argparse
import json
import os
import pathlib
import time

import numpy as np

from examine_jax.common.atomic_files import write_text
from examine_jax.detection.boxed_images import join_boxes
from examine_jax.detection.detector_folder import load_detector
from examine_jax.detection.metrics import MetricSettings, evaluate
from examine_jax.detection.prediction import predict
from examine_jax.images import load_images
from examine_jax.jobs.detect_train.detect_train import train_on_boxes
from examine_jax.jobs.detect_train.settings import DetectTrainSettings
from examine_jax.reporting.page import package_versions

_TRUTHS = {"original": "annotations.json", "txl_pbc": "annotations_txl.json"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "workdir", "output"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", default="0,1,2")
    given = parser.parse_args()
    given.workdir.mkdir(parents=True, exist_ok=True)
    splits = {
        entry["file_name"]: entry["split"]
        for entry in json.loads((given.data / "annotations.json").read_text())["images"]
    }
    training = _part(given.data / "annotations.json", splits, "train", given.workdir)
    rows = []
    for seed in map(int, given.seeds.split(",")):
        folder = given.workdir / f"seed_{seed}"
        seconds = folder / "cpu_seconds.txt"
        if not (folder / "detector").exists():
            begin = time.process_time()
            train_on_boxes(DetectTrainSettings(given.data / "images", training, folder, seed=seed))
            seconds.write_text(f"{time.process_time() - begin:.0f}")
        row: dict[str, object] = {"seed": seed}
        if seconds.exists():
            row["cpu_seconds"] = float(seconds.read_text())
        for name, file in _TRUTHS.items():
            truth = _part(given.data / file, splits, "test", given.workdir)
            row[name] = _measured(folder / "detector", given.data / "images", truth)
        rows.append(row)
        print(json.dumps(row), flush=True)
        record = {
            "what": "BCCD, preset small, trained on the 205 training images, measured on the test "
            "images",
            "cores": os.cpu_count(),
            "versions": package_versions(),
            "mean_ap50": {
                name: float(np.mean([one[name]["ap50"] for one in rows]))  # type: ignore[index]
                for name in _TRUTHS
            },
            "seeds": rows,
        }
        write_text(given.output, json.dumps(record, indent=1) + "\n")


def _part(
    file: pathlib.Path, splits: dict[str, str], part: str, folder: pathlib.Path
) -> pathlib.Path:
    """The file's images of one split with their boxes, as a file in `folder`."""
    document = json.loads(file.read_text())
    images = [entry for entry in document["images"] if splits.get(entry["file_name"]) == part]
    ids = {entry["id"] for entry in images}
    boxes = [entry for entry in document["annotations"] if entry["image_id"] in ids]
    made = folder / f"{file.stem}_{part}.json"
    write_text(made, json.dumps({**document, "images": images, "annotations": boxes}))
    return made


def _measured(
    detector: pathlib.Path, images: pathlib.Path, truth: pathlib.Path
) -> dict[str, object]:
    loaded = load_detector(detector)
    method = loaded.method
    boxed = join_boxes(
        load_images(images, image_size=(method.height, method.width)),
        truth,
        classes=method.classes,
    )
    assert boxed.images.stored_sizes is not None
    found = predict(
        method, loaded.params, loaded.state, boxed.images.pixels, names=boxed.images.names
    ).scaled_to_sizes(boxed.images.stored_sizes)
    metrics = evaluate(
        boxed.boxes.with_classes(method.classes), found, MetricSettings(bootstrap_draws=200)
    )
    interval = metrics.intervals["ap50"]
    return {
        "images": metrics.num_images,
        "boxes": len(boxed.boxes),
        "ap": metrics.coco.ap,
        "ap50": metrics.coco.ap50,
        "ap50_interval": [interval.low, interval.high],
        "cpm": metrics.froc.cpm,
        "ap50_by_class": {
            name: float(value) for name, value in zip(method.classes, metrics.coco.class_ap50)
        },
    }


if __name__ == "__main__":
    main()
