"""This version reads study folders of version 0.1.0.

It computes nothing again, and it writes the page.
"""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest

from examine_jax.evaluation.curves import CurveSettings
from examine_jax.labelled.sets import LabelledImages
from examine_jax.models.architectures import Architecture
from examine_jax.models.masked_autoencoder import DecoderConfig
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.vit import ViTConfig
from examine_jax.studies.byol_tracin import page as byol_tracin_page
from examine_jax.studies.byol_tracin import study as byol_tracin_study
from examine_jax.studies.byol_tracin.sets import StudySet
from examine_jax.studies.byol_tracin.settings import byol_tracin_preset
from examine_jax.studies.examine import page as examine_page
from examine_jax.studies.examine import study as examine_study
from examine_jax.studies.examine.settings import SetSizes, examine_preset
from examine_jax.studies.low_resource import page as low_resource_page
from examine_jax.studies.low_resource import study as low_resource_study
from examine_jax.studies.low_resource.set_description import describe
from examine_jax.studies.low_resource.settings import low_resource_preset

STUDIES = pathlib.Path(__file__).parents[1] / "golden" / "version_0_1" / "studies"
VIT = Architecture(
    ViTConfig(image_size=8, patch_size=4, channels=3, width=12, depth=1, heads=3, mlp_width=16),
    DecoderConfig(width=8, depth=1, heads=2, mlp_width=8),
)
RESNET = Architecture(
    ResNetConfig(image_size=8, channels=3, depths=(1,), width=4, stem="small_image"), None
)


@pytest.fixture(scope="module")
def images() -> LabelledImages:
    with np.load(STUDIES / "images.npz") as stored:
        parts = dict(stored)
    names = tuple(f"{number}.png" for number in range(len(parts["labels"])))
    return LabelledImages(names, parts["pixels"], parts["labels"], ("a", "b"), parts["groups"])


def examine(images: LabelledImages, workdir: pathlib.Path) -> pathlib.Path:
    paper = examine_preset("paper")
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
    examine_study.check_folder(workdir, images, settings)
    results = [examine_study.run_seed(images, workdir, settings, 0, progress=False)]
    return examine_page.write_page(
        workdir, results, images, settings, source="tiles", device="a test"
    )


def byol_tracin(images: LabelledImages, workdir: pathlib.Path) -> pathlib.Path:
    paper = byol_tracin_preset("paper")
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
    sets = [
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
    ]
    (splits,) = byol_tracin_study.check_folder(workdir, *sets, settings)
    results = [byol_tracin_study.run_seed(*sets, splits, workdir, settings, 0, progress=False)]
    shown = byol_tracin_study.gallery(sets[0], splits[0], workdir, settings, 0)
    return byol_tracin_page.write_page(workdir, results, *sets, settings, shown, device="a test")


def low_resource(images: LabelledImages, workdir: pathlib.Path) -> pathlib.Path:
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
    low_resource_study.check_folder(workdir, settings)
    results = list(low_resource_study.run_set("tiles", images, workdir, settings, progress=False))
    return low_resource_page.write_page(
        workdir, results, {"tiles": describe(images)}, settings, device="a test"
    )


@pytest.mark.parametrize("study", [examine, byol_tracin, low_resource])
def test_folders_are_read_and_nothing_is_computed_again(
    study, images: LabelledImages, tmp_path: pathlib.Path
) -> None:  # type: ignore[no-untyped-def]
    workdir = tmp_path / study.__name__
    shutil.copytree(STUDIES / study.__name__, workdir)
    stored = {file: file.read_bytes() for file in workdir.rglob("*") if file.is_file()}
    page = study(images, workdir)
    text = page.read_text(encoding="utf-8")
    assert "1 seed" in text or "seeds" in text
    beside = {"html", "png", "csv"}
    left = {file for file in workdir.rglob("*") if file.is_file() and file.suffix[1:] not in beside}
    assert left == set(stored)
    assert all(file.read_bytes() == content for file, content in stored.items())
