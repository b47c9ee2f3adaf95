"""Writes version_0_1/studies/: a tiny folder of each study, as version 0.1.0 writes it.

Run it with a checkout of that version's last commit first on the path: PYTHONPATH=CHECKOUT python
tests/golden/make_version_0_1_study.py
"""

import dataclasses
import pathlib
import shutil

import numpy as np

from examine_jax.evaluation.curves import CurveSettings
from examine_jax.experiments import reproduction
from examine_jax.experiments.byol_tracin import study as byol_tracin
from examine_jax.experiments.byol_tracin.sets import StudySet
from examine_jax.experiments.byol_tracin.settings import study_preset
from examine_jax.experiments.low_resource import study as low_resource
from examine_jax.experiments.low_resource.settings import low_resource_preset
from examine_jax.experiments.sets import LabelledImages
from examine_jax.experiments.settings import SetSizes, experiment_preset
from examine_jax.models.architectures import Architecture
from examine_jax.models.masked_autoencoder import DecoderConfig
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.vit import ViTConfig

FOLDER = pathlib.Path(__file__).parent / "version_0_1" / "studies"
VIT = Architecture(
    ViTConfig(image_size=8, patch_size=4, channels=3, width=12, depth=1, heads=3, mlp_width=16),
    DecoderConfig(width=8, depth=1, heads=2, mlp_width=8),
)
RESNET = Architecture(
    ResNetConfig(image_size=8, channels=3, depths=(1,), width=4, stem="small_image"), None
)


def examine(images: LabelledImages) -> None:
    paper = experiment_preset("paper")
    settings = dataclasses.replace(
        paper,
        sizes=SetSizes(pretraining=16, assessed=10, clean=4, validation=10),
        training=dataclasses.replace(
            paper.training, methods=("mae",), presets=("paper",), network=VIT, steps=2, batch_size=8
        ),
        curves=CurveSettings(step=5, removed=0.6, random_orders=1),
        permutations=4,
        seeds=(0,),
    )
    reproduction.claim_workdir(FOLDER / "examine", images, settings)
    reproduction.run_seed(images, FOLDER / "examine", settings, 0, progress=False)


def byol_study(images: LabelledImages) -> None:
    paper = study_preset("paper")
    settings = dataclasses.replace(
        paper,
        methods=("byol_tracin",),
        network=VIT,
        steps=2,
        batch_size=8,
        fine_tuning=dataclasses.replace(paper.fine_tuning, epochs=1, batch_size=8),
        shares=(0.5, 1.0),
        anchors=2,
        seeds=(0,),
    )
    first, second = (
        StudySet(
            name,
            tuple(f"{name}/{image}" for image in images.names),
            images.pixels[:, :, ::step],
            images.labels,
            images.classes,
            images.groups,
            None,
        )
        for name, step in (("first", 1), ("second", -1))
    )
    (splits,) = byol_tracin.claim_workdir(FOLDER / "byol_tracin", first, second, settings)
    byol_tracin.run_seed(first, second, splits, FOLDER / "byol_tracin", settings, 0, progress=False)
    byol_tracin.gallery(first, splits[0], FOLDER / "byol_tracin", settings, 0)


def low_resource_study(images: LabelledImages) -> None:
    paper = low_resource_preset("paper")
    settings = dataclasses.replace(
        paper,
        methods=("dcl",),
        network=RESNET,
        batch_sizes=(8,),
        table_batch=8,
        k=5,
        steps=2,
        probe=dataclasses.replace(paper.probe, epochs=1),
        probe_learning_rates=(0.01,),
        seeds=(0,),
    )
    low_resource.claim_study(FOLDER / "low_resource", settings)
    list(low_resource.run_set("tiles", images, FOLDER / "low_resource", settings, progress=False))


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(48, dtype=np.int64) // 2 % 2
    groups = np.arange(48) // 2
    np.savez(FOLDER / "images.npz", pixels=pixels, labels=labels, groups=groups)
    images = LabelledImages(
        tuple(f"{number}.png" for number in range(48)), pixels, labels, ("a", "b"), groups
    )
    examine(images)
    byol_study(images)
    low_resource_study(images)
    for study in ("byol_tracin", "low_resource"):
        for weights in (FOLDER / study).rglob("*.safetensors"):
            weights.unlink()  # large, and not read: all results are kept


if __name__ == "__main__":
    main()
