"""The study runs on the official folders in miniature, from the files to the page.

What is done is not done again.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from examine_jax.encoders import load_encoder
from examine_jax.labelled.published.file_names import read_authors_folder
from examine_jax.labelled.sets import LabelledImages, LabelledSource, read_labelled
from examine_jax.models.architectures import Architecture
from examine_jax.models.resnet import ResNetConfig
from examine_jax.pretraining.methods.dcl import DCL
from examine_jax.studies.low_resource.page import write_page
from examine_jax.studies.low_resource.set_description import describe
from examine_jax.studies.low_resource.settings import LowResourceSettings, low_resource_preset
from examine_jax.studies.low_resource.splits import divide
from examine_jax.studies.low_resource.study import check_folder, check_set_folder, run_set
from tests.support.diverging import diverging

CONTROLS = ("random initialisation", "colour statistics")
TINY = Architecture(
    ResNetConfig(image_size=16, channels=3, depths=(1,), width=8, stem="small_image"), None
)


def miniature(preset: str) -> LowResourceSettings:
    whole = low_resource_preset(preset)
    return dataclasses.replace(
        whole,
        network=TINY,
        batch_sizes=(4, 8),
        table_batch=8,
        ablated=("breast",),
        k=5,
        steps=2,
        minutes=None,
        probe=dataclasses.replace(whole.probe, epochs=1),
        probe_learning_rates=(0.01, 0.5),
        probe_batch_size=8,
        seeds=(0,),
    )


def save(folder: pathlib.Path, name: str, seed: int) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)


@pytest.fixture(scope="module", autouse=True)
def programs_compile_fast_and_run_slowly() -> Iterator[None]:
    """A few steps of each of many trainings: nearly all of the time is the compiler's."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LabelledImages]:
    folder = tmp_path_factory.mktemp("official")
    for slide in range(12):
        kind, tumour = ("benign", "B_A") if slide % 2 else ("malignant", "M_DC")
        for image in range(3):
            patient = f"14-{100 + slide}"
            for zoom in (100, 400):
                name = f"SOB_{tumour.replace('_', '_')}-{patient}-{zoom}-{image:03d}.png"
                save(
                    folder,
                    f"breast/{kind}/SOB/x/SOB_{tumour}_{patient}/{zoom}X/{name}",
                    10 * slide + image,
                )
    for number in range(16):
        save(folder, f"pneumonia/train/NORMAL/IM-{number:04d}-0001.jpeg", number)
        save(folder, f"pneumonia/test/PNEUMONIA/person{number}_virus_{number}.jpeg", number)
    return {
        name: read_authors_folder(str(folder / name), name, image_size=16, channels=3)
        for name in ("breast", "pneumonia")
    }


def test_the_official_folders_are_read_at_400x_with_groups(sets: dict[str, LabelledImages]) -> None:
    assert len(sets["breast"].names) == 36
    assert sets["breast"].classes == ("benign", "malignant")
    assert describe(sets["breast"]).groups == 12
    assert describe(sets["pneumonia"]).classes == {"normal": 16, "pneumonia": 16}


def test_groups_stay_whole_unless_the_papers_random_split_is_asked_for(
    sets: dict[str, LabelledImages],
) -> None:
    images = sets["breast"]
    assert images.groups is not None
    parts = dataclasses.astuple(divide("a", images, miniature("paper"), 0))
    assert sum(map(len, parts)) == 36
    assert sum(len(np.unique(images.groups[rows])) for rows in parts) == 12
    torn = dataclasses.astuple(
        divide("a", images, dataclasses.replace(miniature("paper"), keep_groups=False), 0)
    )
    assert sum(len(np.unique(images.groups[rows])) for rows in torn) > 12


@pytest.mark.study
def test_a_run_ends_on_the_page_and_is_not_done_again(
    sets: dict[str, LabelledImages], tmp_path: pathlib.Path
) -> None:
    settings = dataclasses.replace(
        miniature("paper"), methods=("dcl",), batch_sizes=(8,), probe_batch_size=None
    )
    images = sets["breast"]
    check_folder(tmp_path, settings)
    found = list(run_set("breast", images, tmp_path, settings, progress=False))
    assert [one.name for one in found] == [*CONTROLS, "dcl"]
    assert found[-1].training["steps"] == 2
    assert all(len(one.figures["probes"]) == 2 for one in found)
    assert all(one.figures["k"] == 5 for one in found)

    text = write_page(
        tmp_path, found, {"breast": describe(images)}, settings, device="cpu"
    ).read_text()
    assert "0.837 / 0.829" not in text  # the paper's DCL on breast, at a batch of 64
    assert "0.939 / 0.939" in text  # its probe
    assert "k = 5, uniform votes" in text
    assert "not judged: one seed" in text
    for name in ("table_1.csv", "table_2.csv", "table_3.csv", "sweep.csv"):
        assert (tmp_path / name).exists(), name
    for name in ("fig_3.png", "fig_4_breast.png", "imbalance.png"):
        assert (tmp_path / name).exists(), name

    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/seed_0/*/*.json")}
    again = list(run_set("breast", images, tmp_path, settings, progress=False))
    assert [one.figures for one in again] == [one.figures for one in found]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/seed_0/*/*.json")} == before
    with pytest.raises(ValueError, match="holds another run"):
        check_folder(tmp_path, dataclasses.replace(settings, k=7))

    # Batch sizes and ImageNet's network may come later: the controls' probes get the same choices,
    # the rest stays.
    more = dataclasses.replace(settings, batch_sizes=(4, 8))
    supervised = load_encoder(tmp_path / "breast" / "seed_0" / "dcl_8" / "encoder")
    check_folder(tmp_path, more)
    found = list(run_set("breast", images, tmp_path, more, imagenet=supervised, progress=False))
    assert [one.name for one in found] == [*CONTROLS, "ImageNet transfer", "dcl", "dcl"]
    assert all(
        {probe["batch_size"] for probe in one.figures["probes"]} == {4, 8} for one in found[:3]
    )
    assert found[0].figures["probes"][2:] == again[0].figures["probes"]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    text = write_page(tmp_path, found, {"breast": describe(images)}, more, device="cpu").read_text()
    assert "0.916 / 0.915" in text  # the paper's transfer row, table 3
    other = dataclasses.replace(
        supervised, params=jax.tree.map(lambda leaf: leaf + 1, supervised.params)
    )
    with pytest.raises(ValueError, match="holds another run"):
        next(run_set("breast", images, tmp_path, more, imagenet=other, progress=False))


@pytest.fixture(scope="module")
def colorectal() -> LabelledImages:
    tfds = pytest.importorskip(
        "tensorflow_datasets", reason="colorectal_histology comes through examine-jax[tfds]"
    )
    with tfds.testing.mock_data(num_examples=120):
        return read_labelled(LabelledSource("tfds:colorectal_histology"), image_size=16, channels=3)


def test_colorectal_comes_through_tfds(colorectal: LabelledImages) -> None:
    division = divide("a", colorectal, miniature("paper"), 0)
    assert len(division.training) + len(division.validation) + len(division.test) == 120


@pytest.mark.study
@pytest.mark.parametrize("preset", ["paper", "released_code"])
def test_the_preset_runs_whole_on_all_three_sets(
    sets: dict[str, LabelledImages], colorectal: LabelledImages, tmp_path: pathlib.Path, preset: str
) -> None:
    settings = dataclasses.replace(
        miniature(preset), batch_sizes=(8,), steps=1, probe_learning_rates=(0.01,)
    )
    everything = {
        "breast": sets["breast"],
        "colorectal": colorectal,
        "pneumonia": sets["pneumonia"],
    }
    check_folder(tmp_path, settings)
    found = [
        one
        for name, images in everything.items()
        for one in run_set(name, images, tmp_path, settings, progress=False)
    ]
    methods = ("dcl", "simclr", "simsiam", "vicreg")
    assert [(one.set_name, one.name) for one in found] == [
        (name, row) for name in everything for row in (*CONTROLS, *methods)
    ]
    described = {name: describe(images) for name, images in everything.items()}
    text = write_page(tmp_path, found, described, settings, device="cpu").read_text()
    assert "12 trainings" in text or ">12<" in text
    for name in everything:
        assert (tmp_path / f"fig_4_{name}.png").exists()


@pytest.mark.study
def test_a_training_that_diverges_is_told_and_the_study_goes_on(
    sets: dict[str, LabelledImages], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(miniature("paper"), methods=("dcl", "simclr"), batch_sizes=(8,))
    with diverging(DCL, monkeypatch):
        found = list(run_set("breast", sets["breast"], tmp_path, settings, progress=False))
    assert [(one.name, one.diverged is None) for one in found[2:]] == [
        ("dcl", False),
        ("simclr", True),
    ]
    text = write_page(
        tmp_path, found, {"breast": describe(sets["breast"])}, settings, device="cpu"
    ).read_text()
    assert "dcl at a batch of 8 diverged and is in no table (the loss is nan at step 1" in text
    # Also when the command goes on: the same training would diverge again.
    again = list(run_set("breast", sets["breast"], tmp_path, settings, progress=False))
    assert [one.diverged for one in again] == [one.diverged for one in found]


def test_a_set_whose_folder_holds_other_images_is_refused_before_any_training(
    sets: dict[str, LabelledImages], tmp_path: pathlib.Path
) -> None:
    check_set_folder("breast", sets["breast"], tmp_path)
    with pytest.raises(ValueError, match="holds another run"):
        check_set_folder("breast", sets["pneumonia"], tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ("dcl", "mae")}, "choose a ViT architecture, or another method"),
        ({"preset": "released_code", "methods": ("dcl", "byol")}, "byol"),
        ({"minutes": float("nan"), "steps": None}, "training must be above 0"),
        ({"probe_learning_rates": (0.01, float("nan"))}, "learning rates"),
    ],
)
def test_settings_that_a_late_training_could_not_have_are_refused_at_once(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(miniature("paper"), **change)


def test_a_batch_larger_than_the_training_images_is_refused_before_anything_is_written(
    sets: dict[str, LabelledImages], tmp_path: pathlib.Path
) -> None:
    settings = dataclasses.replace(miniature("paper"), batch_sizes=(8, 64))
    with pytest.raises(ValueError, match="a batch of 64 out of"):
        next(run_set("breast", sets["breast"], tmp_path, settings))
    assert not list(tmp_path.iterdir())
