"""BYOL-TracIn's paper preset runs in miniature, from the official layouts to the page.

A killed run goes on and ends the same.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from examine_jax.encoders import load_encoder
from examine_jax.labelled.sets import LabelledSource
from examine_jax.models.architectures import Architecture
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.vit import ViTConfig
from examine_jax.pretraining import Phase
from examine_jax.pretraining.extra_positives import FalseNegatives
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.studies.byol_tracin.page import cell, write_page
from examine_jax.studies.byol_tracin.results import ByolTracInSeedResults
from examine_jax.studies.byol_tracin.sets import StudySet, StudySource, read_set
from examine_jax.studies.byol_tracin.settings import (
    COLOURS,
    METHODS,
    UNTRAINED,
    StudySettings,
    byol_tracin_preset,
)
from examine_jax.studies.byol_tracin.study import check_folder, expected_time, gallery, run_seed
from examine_jax.studies.byol_tracin.training import resolve
from tests.support import official_miniatures as miniatures
from tests.support.diverging import diverging

TINY = Architecture(
    ViTConfig(image_size=16, patch_size=8, channels=3, width=16, depth=1, heads=2, mlp_width=16),
    None,
)
Sets = tuple[StudySet, StudySet]


def miniature(methods: tuple[str, ...] = METHODS) -> StudySettings:
    paper = byol_tracin_preset("paper")
    return dataclasses.replace(
        paper,
        methods=methods,
        network=TINY,
        steps=2,
        batch_size=16,
        fine_tuning=dataclasses.replace(paper.fine_tuning, epochs=1, batch_size=8),
        anchors=2,
        seeds=(0,),
    )


def read(folder: pathlib.Path, *layouts: str) -> Sets:
    sets = []
    for layout in layouts:
        getattr(miniatures, layout)(folder / layout)
        sets.append(
            read_set(
                StudySource(LabelledSource(folder / layout), layout), image_size=16, channels=3
            )
        )
    return sets[0], sets[1]


@pytest.fixture(scope="module", autouse=True)
def programs_compile_fast_and_run_slowly() -> Iterator[None]:
    """Two steps of each of eight methods: nearly all of the time is the compiler's."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def skin(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    return read(tmp_path_factory.mktemp("skin"), "isic_2019", "isic_2016")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def found(skin: Sets, workdir: pathlib.Path) -> ByolTracInSeedResults:
    (splits,) = check_folder(workdir, *skin, miniature())
    return run_seed(*skin, splits, workdir, miniature(), 0, progress=False)


@pytest.mark.study
def test_every_row_of_the_papers_tables_has_its_figures(found: ByolTracInSeedResults) -> None:
    assert tuple(found.semi_supervised) == (UNTRAINED, COLOURS, *METHODS) == tuple(found.transfer)
    for by_share in found.semi_supervised.values():
        assert tuple(by_share) == (0.1, 0.5, 1.0)
        for one in by_share.values():
            assert set(one) == {"bma", "auc", "average_precision"}
            assert all(0 <= value <= 1 for value in one.values())
    assert all(record["steps"] == 2 for record in found.trainings.values())


@pytest.mark.study
def test_the_upper_bounds_extra_positives_are_right_and_chance_is_known(
    found: ByolTracInSeedResults,
) -> None:
    assert found.trainings["byol_sup"]["extra_positives_right"] == 1
    for name in ("byol_fs", "byol_fs_pretrained", "byol_tracin", "byol_tracin_pretrained"):
        assert 0 <= found.trainings[name]["extra_positives_right"] <= 1
        assert found.trainings[name]["extra_positives"] == 1
        assert (
            0 < found.trainings[name]["extra_positives_chance"] < 0.3
        )  # eight classes of about equal size
    assert "extra_positives" not in found.trainings["byol_ft"]


@pytest.mark.study
def test_encoders_are_plain_byols_that_need_neither_labels_nor_scorer(
    found: ByolTracInSeedResults, workdir: pathlib.Path
) -> None:
    encoder = load_encoder(workdir / "seed_0" / "byol_tracin_pretrained" / "encoder")
    assert isinstance(encoder.method, BYOL)
    assert encoder.embed(np.zeros((2, 16, 16, 3), np.uint8)).shape == (2, 16)


@pytest.mark.study
def test_a_killed_run_does_what_is_missing_alone_and_ends_the_same(
    found: ByolTracInSeedResults, skin: Sets, workdir: pathlib.Path
) -> None:
    folder = workdir / "seed_0"
    # One killed between two results, the other as soon as its encoder was trained.
    names = (
        "transfer.json",
        "training.json",
        "labels_0.1.json",
        "labels_0.5.json",
        "labels_1.json",
    )
    gone = [folder / "byol" / "transfer.json", *(folder / "byol_fs" / name for name in names)]
    kept = {
        path: path.stat().st_mtime_ns
        for path in workdir.rglob("*")
        if path.is_file() and "byol_fs" not in path.parts
    }
    for path in gone:
        kept.pop(path, None)
        path.unlink()
    (splits,) = check_folder(workdir, *skin, miniature())
    again = run_seed(*skin, splits, workdir, miniature(), 0, progress=False)
    assert again.transfer == found.transfer
    assert again.semi_supervised == found.semi_supervised
    assert again.trainings["byol_fs"]["final_loss"] == found.trainings["byol_fs"]["final_loss"]
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


@pytest.mark.study
def test_the_page_has_tables_charts_and_the_gallery(
    found: ByolTracInSeedResults, skin: Sets, workdir: pathlib.Path
) -> None:
    splits = check_folder(workdir, *skin, miniature())
    shown = gallery(skin[0], splits[0][0], workdir, miniature(), 0)
    assert shown is not None
    assert shown.encoder == "byol_tracin"
    assert [method.rows.shape for method in shown.methods] == [(2, 3), (2, 3)]
    assert all((method.rows != shown.anchors[:, None]).all() for method in shown.methods)
    assert all((np.diff(method.scores, axis=1) <= 0).all() for method in shown.methods)
    page = write_page(workdir, [found, found], *skin, miniature(), shown, device="a test")
    text = page.read_text()
    assert (
        "not learned (" in text
    )  # byol itself, were it no better; the same seed twice has no deviation
    assert "0.408(.007)" in text
    for name in (
        "semi_supervised_bma.csv",
        "transfer.csv",
        "extra_positives.csv",
        "extra_positives.png",
        "paper.csv",
        "likes.png",
    ):
        assert (workdir / name).stat().st_size > 0


@pytest.mark.study
def test_a_method_that_diverges_is_told_and_the_study_goes_on(
    skin: Sets, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = miniature(("byol", "byol_fs_pretrained", "byol_ft"))
    (splits,) = check_folder(tmp_path, *skin, settings)
    with diverging(BYOL, monkeypatch):
        found = run_seed(*skin, splits, tmp_path, settings, 0, progress=False)
    assert ["diverged" in found.trainings[name] for name in settings.methods] == [True, True, False]
    assert (
        "no scorer, as byol diverged: the loss is nan at step 1"
        in found.trainings["byol_fs_pretrained"]["diverged"]
    )
    assert "diverged" in found.transfer["byol"]
    assert "bma" in found.transfer["byol_ft"]
    shown = gallery(skin[0], splits[0], tmp_path, settings, 0)
    assert shown is not None
    assert shown.encoder == "byol_ft"
    text = write_page(tmp_path, [found], *skin, settings, shown, device="a test").read_text()
    assert "diverged in 1 of 1 seeds" in text
    assert "the pre-training of byol diverged (the loss is nan at step 1" in text
    # Also when the command goes on: the same training would diverge again.
    again = run_seed(*skin, splits, tmp_path, settings, 0, progress=False)
    assert again.trainings == found.trainings


@pytest.mark.study
def test_the_time_is_said_beforehand(
    found: ByolTracInSeedResults, skin: Sets, workdir: pathlib.Path
) -> None:
    splits = check_folder(workdir, *skin, miniature())
    (workdir / "byol_step.json").write_text('{"seconds_a_step": 900}')
    said = expected_time(workdir, skin[0], splits, miniature())
    assert said.startswith("1 seeds x 8 pre-trainings of 30.0 min or more ")
    assert said.endswith("less what is done already")
    assert "2 steps of 16 images" in said


def test_all_methods_train_for_the_steps_that_minutes_of_byol_pay_for(
    skin: Sets, tmp_path: pathlib.Path
) -> None:
    settings = dataclasses.replace(miniature(), steps=None, minutes=2.0)
    (tmp_path / "byol_step.json").write_text('{"seconds_a_step": 7}')
    for name in ("byol", "byol_tracin", "byol_ft"):
        _, training = resolve(name, skin[0].pixels, tmp_path, settings, 0)
        assert training.phases == (Phase(steps=18),)  # 120 seconds are 17 steps and a bit
        assert training.batch_size == 16


def test_few_labels_get_as_many_steps_as_many() -> None:
    settings = dataclasses.replace(miniature(), fine_tuning_steps=12)
    assert [settings.tuning(images).epochs for images in (3, 8, 24, 100, 800)] == [12, 12, 4, 1, 1]
    assert miniature().tuning(100).epochs == 1


@pytest.mark.study
def test_a_scorer_that_does_not_fit_is_refused_before_anything_is_written(
    found: ByolTracInSeedResults, skin: Sets, workdir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    own = dataclasses.replace(miniature(), scorer=str(workdir / "seed_0" / "byol" / "encoder"))
    assert check_folder(tmp_path / "fits", *skin, own)
    larger = Architecture(dataclasses.replace(TINY.encoder, image_size=24), None)
    for settings in (
        dataclasses.replace(own, network=larger),
        dataclasses.replace(own, scorer=str(tmp_path / "nowhere")),
    ):
        with pytest.raises(ValueError, match=r"takes images of 16 px|is not an encoder's folder"):
            check_folder(tmp_path / "out", *skin, settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.study
def test_a_scorer_trained_anew_is_another_study(
    found: ByolTracInSeedResults, skin: Sets, workdir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(workdir / "seed_0" / "byol" / "encoder", tmp_path / "scorer")
    settings = dataclasses.replace(miniature(), scorer=str(tmp_path / "scorer"))
    check_folder(tmp_path / "out", *skin, settings)
    shutil.rmtree(tmp_path / "scorer")
    shutil.copytree(workdir / "seed_0" / "byol_ft" / "encoder", tmp_path / "scorer")
    with pytest.raises(ValueError, match="another run"):
        check_folder(tmp_path / "out", *skin, settings)


@pytest.mark.parametrize(
    "change",
    [
        {"weight": -1.0},
        {"scored": "frist"},
        {"extra_views": "all"},
        {"batch_size": 1},
        {"minutes": float("nan"), "steps": None},
        {"learning_rate": 0.0},
        {"concentration": -1.0},
        {"steps": 0},
    ],
)
def test_settings_out_of_range_are_refused_at_once(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        dataclasses.replace(miniature(), **change)


def test_the_unknown_settings_reach_their_methods(skin: Sets, tmp_path: pathlib.Path) -> None:
    own = dataclasses.replace(
        miniature(),
        false_negatives=FalseNegatives(2, 0.5),
        concentration=3.0,
        weight=0.5,
        learning_rate=0.25,
    )
    method, training = resolve("byol_fnc", skin[0].pixels, tmp_path, own, 0)
    assert (method.choice, method.weight, training.schedule.learning_rate) == (
        FalseNegatives(2, 0.5),
        0.5,
        0.25,
    )
    assert resolve("byol_ft", skin[0].pixels, tmp_path, own, 0)[0].concentration == 3.0


@pytest.mark.study
def test_the_same_folder_takes_no_other_study(
    found: ByolTracInSeedResults, skin: Sets, workdir: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match="another run"):
        check_folder(workdir, *skin, dataclasses.replace(miniature(), weight=0.5))


@pytest.mark.study
def test_chest_images_of_several_labels_run_whole(tmp_path: pathlib.Path) -> None:
    chest = read(tmp_path, "chestx_ray14", "shenzhen")
    # A network with batch norms, as the paper's: in LARS, under a scorer and in fine-tuning.
    network = Architecture(
        ResNetConfig(image_size=16, channels=3, depths=(1,), width=8, stem="small_image"), None
    )
    settings = dataclasses.replace(
        miniature(("byol", "byol_tracin_pretrained", "byol_sup")), network=network
    )
    splits = check_folder(tmp_path / "out", *chest, settings)
    one = run_seed(*chest, splits[0], tmp_path / "out", settings, 0, progress=False)
    assert set(one.semi_supervised["byol_sup"][0.1]) == {"auc", "average_precision"}
    assert set(one.transfer["byol_sup"]) == {"bma", "auc", "average_precision"}
    assert one.sizes["pre-training"] + one.sizes["test"] == 94
    assert (
        one.trainings["byol_sup"]["extra_positives"] < 1
        or one.trainings["byol_sup"]["extra_positives_right"] == 1
    )
    shown = gallery(chest[0], splits[0][0], tmp_path / "out", settings, 0)
    assert write_page(tmp_path / "out", [one], *chest, settings, shown, device="a test").exists()


def test_a_cell_says_what_has_not_learned() -> None:
    assert cell([0.4, 0.6], [0.5, 0.5]) == "not learned (0.500 ± 0.141)"
    assert cell([0.9, 0.9], [0.5, 0.5]) == "0.900 ± 0.000"
    assert cell([0.25], [0.5]) == "0.250"
