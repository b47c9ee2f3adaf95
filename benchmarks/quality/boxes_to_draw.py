"""Which images to draw boxes on: does `select` beat random?

python -m benchmarks.quality.boxes_to_draw --study=OUT --images=DIR --boxes=B.json --output=F.json

OUT is a finished `launch.reproduce detection` of the preset small. For each of its seeds and small
shares, as many training images as the study labelled at random are chosen by `select` from features
of the encoder that the study trained without labels. The same detector is trained on them for the
same steps, from random weights, and measured on the same test images. A killed run goes on.
"""

import argparse
import dataclasses
import json
import os
import pathlib

import numpy as np

import examine_jax
from examine_jax.common.atomic_files import write_text
from examine_jax.encoders import load_encoder
from examine_jax.images import load_images
from examine_jax.reporting.page import package_versions
from examine_jax.studies.common.training_length import trained_once
from examine_jax.studies.detection.fine_tuning import fine_tune
from examine_jax.studies.detection.results import RANDOM, WITH
from examine_jax.studies.detection.sets import DetectionSource, Split, divide, read_images
from examine_jax.studies.detection.settings import detection_preset
from examine_jax.studies.detection.study import folder_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("study", "images", "boxes", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--shares", default="0.2,0.1")
    parser.add_argument("--steps", type=int, default=600)
    given = parser.parse_args()
    seeds = tuple(map(int, given.seeds.split(",")))
    shares = tuple(map(float, given.shares.split(",")))
    settings = detection_preset("small")
    settings = dataclasses.replace(settings, shares=shares, seeds=seeds, steps=given.steps)
    study = pathlib.Path(given.study)
    images = read_images(DetectionSource(given.images, given.boxes), settings, progress=True)
    rows = []
    for seed in seeds:
        split = divide(images, settings, seed)
        pretraining = folder_of(study, seed, shares[-1], WITH) / "pretraining"
        encoder = load_encoder(pretraining / "encoder")
        square = load_images(given.images, image_size=encoder.image_size)
        place = {name: row for row, name in enumerate(square.names)}
        own = [place[images.images.names[row]] for row in split.training]
        features = encoder.embed(square.pixels[own])
        for share in shares:
            at_random = split.labelled(share)
            chosen = split.training[examine_jax.select(features, len(at_random)).indices]
            folder = study / "boxes_to_draw" / f"seed_{seed}" / f"labelled_{share:g}"
            part = Split(chosen, split.validation, split.test)
            found = _trained(folder, images, part, settings, seed)
            there = json.loads(
                (folder_of(study, seed, share, RANDOM) / "training.json").read_text()
            )
            counts = [
                int(images.boxes.counts()[part].sum()) for part in (np.asarray(chosen), at_random)
            ]
            rows.append(
                {
                    "seed": seed,
                    "share": share,
                    "images": len(at_random),
                    "boxes_chosen": counts[0],
                    "boxes_random": counts[1],
                    **{
                        f"{name}_{way}": one["figures"][name]
                        for way, one in (("chosen", found), ("random", there))
                        for name in ("ap", "ap50")
                    },
                }
            )
            print(rows[-1], flush=True)
            write_text(
                given.output,
                json.dumps(
                    {
                        "versions": package_versions(),
                        "cores": os.cpu_count(),
                        "steps": given.steps,
                        "rows": rows,
                    },
                    indent=1,
                ),
            )


def _trained(folder, images, split, settings, seed):  # type: ignore[no-untyped-def]
    detector = settings.detector(images.boxes.select(split.training), fit_anchors=True)

    def train():  # type: ignore[no-untyped-def]
        return fine_tune(folder, detector, images, split, 1.0, settings, seed, None, True)

    return trained_once(folder, train)


if __name__ == "__main__":
    main()
