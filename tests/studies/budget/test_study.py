"""The study runs on a small labelled folder, from the files to the page.

What is done is not done again.
"""

import csv
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from examine_jax.encoders import load_encoder
from examine_jax.labelled.sets import LabelledImages, LabelledSource, read_labelled
from examine_jax.models.architectures import Architecture
from examine_jax.models.resnet import ResNetConfig
from examine_jax.studies import budget
from examine_jax.studies.budget.pools import budgets, divide, spoilt
from examine_jax.studies.budget.settings import BudgetSettings, budget_preset

TINY = Architecture(
    ResNetConfig(image_size=16, channels=3, depths=(1,), width=8, stem="small_image"), None
)


def miniature(**changes: Any) -> BudgetSettings:
    return dataclasses.replace(
        BudgetSettings(
            strategies=("k_means_medoids", "random"),
            budgets=(0.1, 0.2),
            least_per_class=2,
            artefact_share=0.25,
            image_size=24,
            network=TINY,
            steps=2,
            minutes=None,
            seeds=(0,),
        ),
        **changes,
    )


@pytest.fixture(scope="module", autouse=True)
def programs_compile_fast_and_run_slowly() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Three classes of 20 images, which differ in colour; two images a group."""
    home = tmp_path_factory.mktemp("budget")
    rng = np.random.default_rng(0)
    rows = ["image,group"]
    for number, name in enumerate("abc"):
        (home / "images" / name).mkdir(parents=True)
        for index in range(20):
            pixels = rng.integers(60, 140, (24, 24, 3), dtype=np.uint8)
            pixels[..., number] += 60
            Image.fromarray(pixels).save(home / "images" / name / f"{index:02d}.png")
            rows.append(f"{name}/{index:02d}.png,{name}{index // 2}")
    (home / "groups.csv").write_text("\n".join(rows) + "\n")
    return home


@pytest.fixture(scope="module")
def images(folder: pathlib.Path) -> LabelledImages:
    source = LabelledSource(folder / "images", groups=folder / "groups.csv")
    return read_labelled(source, image_size=24, channels=3)


def test_a_split_has_every_class_and_keeps_groups_whole(images: LabelledImages) -> None:
    settings = miniature()
    first, second = divide(images, settings, 0), divide(images, settings, 1)
    assert len(first.pool) + len(first.test) == 60
    assert len(first.pool) == pytest.approx(42, abs=3)
    assert images.groups is not None
    assert not set(images.groups[first.pool]) & set(images.groups[first.test])
    assert set(images.labels[first.test]) == {0, 1, 2}
    assert not np.array_equal(first.pool, second.pool)


def test_budgets_have_a_least_number_of_labels_a_class() -> None:
    settings = miniature(budgets=(0.01, 0.02, 0.05, 0.1), least_per_class=3)
    assert budgets(2800, 5, settings) == (28, 56, 140, 280)
    assert budgets(437, 2, settings) == (6, 9, 22, 44)
    assert budgets(100, 5, settings) == (15, 15, 15, 15)


def test_a_pool_is_spoilt_by_the_named_share(images: LabelledImages) -> None:
    pixels = images.pixels[:40]
    changed, kind = spoilt(pixels, miniature(artefacts="histology"), 0)
    assert (kind >= 0).sum() == 10
    np.testing.assert_array_equal((changed != pixels).any(axis=(1, 2, 3)), kind >= 0)
    again, _ = spoilt(pixels, miniature(artefacts="histology"), 0)
    np.testing.assert_array_equal(changed, again)


def test_a_budget_above_the_pool_is_refused_before_anything_is_written(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match="a budget of 60 labels is above the pool's 4"):
        budget.run(
            miniature(least_per_class=20),
            LabelledSource(folder / "images"),
            tmp_path / "out",
            progress=False,
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoders": ("simclr", "resnet")}, "encoders simclr, resnet"),
        ({"encoders": ()}, "encoders \\(none\\)"),
        ({"strategies": ("best",)}, "unknown strategy 'best'"),
        ({"strategies": ()}, "one at least"),
        ({"budgets": (0.1, 0.05)}, "ascending"),
        ({"budgets": (0.0, 0.1)}, "above 0"),
        ({"budgets": (0.1, 1.5)}, "below 1"),
        ({"artefacts": "mri"}, "artefacts 'mri'"),
        ({"artefact_share": 1.0}, "artefact_share 1.0"),
        ({"artefact_share": float("nan")}, "artefact_share nan"),
        ({"test_share": 0.0}, "test_share 0.0"),
        ({"strength": 0.0}, "strength 0.0"),
        ({"regularisation": 0.0}, "regularisation 0.0"),
        ({"minutes": 1.0}, "either steps or minutes"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"encoders": ("mae",)}, "choose a ViT architecture"),
    ],
)
def test_settings_are_refused_at_once(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        miniature(**change)


def test_presets() -> None:
    assert budget_preset("full").seeds == tuple(range(10))
    assert budget_preset("small").minutes == 1.0
    with pytest.raises(ValueError, match="no preset is named 'paper'"):
        budget_preset("paper")


@pytest.mark.study
def test_a_run_ends_on_the_page_and_is_not_done_again(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source = LabelledSource(folder / "images", groups=folder / "groups.csv")
    settings = miniature()
    found = budget.run(settings, source, tmp_path, progress=False)
    page = (tmp_path / "budget.html").read_text()
    assert "k_means_medoids + usability" in page
    for name in ("curves", "against_random", "cost_of_artefacts", "wasted", "usability"):
        assert (tmp_path / f"{name}.csv").exists(), name
    for name in ("curves_simclr.png", "curves_colours.png"):
        assert (tmp_path / name).exists(), name
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    # Two encoders, two budgets; four ways in the clean pool, six in the spoilt one.
    assert len(rows) == 2 * 2 * (4 + 6)
    for row in rows:
        assert 0 <= float(row["balanced_accuracy"]) <= 1
        if row["condition"] == "clean" or row["way"].endswith("+ truth"):
            assert row["wasted"] == "0"
    # Colours tell these classes apart.
    best = [
        float(row["balanced_accuracy"])
        for row in rows
        if (row["condition"], row["encoder"]) == ("clean", "colours")
    ]
    assert np.mean(best) > 0.8

    stored = [*tmp_path.glob("seed_0/*/*/*"), *tmp_path.glob("clean/*")]
    before = {file: file.stat().st_mtime_ns for file in stored if file.is_file()}
    again = budget.run(settings, source, tmp_path, progress=False)
    assert again == found
    assert {file: file.stat().st_mtime_ns for file in before} == before

    # Strategies, encoders and seeds may come later; other settings may not change.
    more = dataclasses.replace(
        settings, encoders=("colours",), strategies=("k_centre", "random"), seeds=(0, 1)
    )
    more_found = budget.run(more, source, tmp_path, progress=False)
    assert {one.seed for one in more_found} == {0, 1}
    assert {file: file.stat().st_mtime_ns for file in before} == before
    with pytest.raises(ValueError, match="holds another run"):
        budget.run(dataclasses.replace(settings, strength=1.0), source, tmp_path, progress=False)

    # A given encoder takes the place of the trainings, and its features are the same.
    encoder = tmp_path / "seed_0" / "clean" / "simclr" / "encoder"
    assert load_encoder(encoder).image_size == 16
    given = budget.run(
        dataclasses.replace(settings, artefact_share=0.0),
        source,
        tmp_path / "given",
        encoder=encoder,
        progress=False,
    )
    assert {one.encoder for one in given} == {"given", "colours"}
    assert not (tmp_path / "given" / "steps").exists()

    def accuracies(results: Any, name: str) -> list[Any]:
        return [
            one.balanced_accuracy
            for one in results
            if isinstance(one, budget.study.BudgetResult)
            and (one.condition, one.encoder) == ("clean", name)
        ]

    assert accuracies(given, "given") == accuracies(found, "simclr")
