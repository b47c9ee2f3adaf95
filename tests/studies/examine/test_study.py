"""The paper's preset runs in miniature, from TFDS to the page.

A killed run goes on and ends the same.
"""

import dataclasses
import pathlib

import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets", reason="PCam comes through examine-jax[tfds]")

import tensorflow_datasets as tfds

from examine_jax.evaluation.curves import CURVE_KINDS, CurveSettings
from examine_jax.labelled.sets import LabelledImages, LabelledSource, read_labelled
from examine_jax.models.architectures import Architecture
from examine_jax.models.masked_autoencoder import DecoderConfig
from examine_jax.models.vit import ViTConfig
from examine_jax.scoring import examine
from examine_jax.studies.examine.page import write_page
from examine_jax.studies.examine.results import ExamineSeedResults
from examine_jax.studies.examine.settings import ExperimentSettings, SetSizes, examine_preset
from examine_jax.studies.examine.study import check_folder, run_seed

TINY = Architecture(
    ViTConfig(image_size=24, patch_size=8, channels=3, width=16, depth=1, heads=2, mlp_width=16),
    DecoderConfig(width=16, depth=1, heads=2, mlp_width=16),
)
VALUERS = ("examine", "loo", "tmc_shapley")


def miniature() -> ExperimentSettings:
    paper = examine_preset("paper")
    return dataclasses.replace(
        paper,
        sizes=SetSizes(pretraining=32, assessed=20, clean=8, validation=24),
        training=dataclasses.replace(paper.training, network=TINY, steps=3, batch_size=8),
        curves=CurveSettings(step=10, removed=0.6, random_orders=1),
        permutations=4,
        seeds=(0,),
    )


@pytest.fixture(scope="module")
def images() -> LabelledImages:
    with tfds.testing.mock_data(num_examples=90):
        return read_labelled(LabelledSource("tfds:patch_camelyon"), image_size=24, channels=3)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="module")
def found(images: LabelledImages, workdir: pathlib.Path) -> ExamineSeedResults:
    check_folder(workdir, images, miniature())
    return run_seed(images, workdir, miniature(), 0, progress=False)


@pytest.mark.study
def test_every_figure_of_the_paper_has_its_data(found: ExamineSeedResults) -> None:
    assert found.sizes == {
        "pretraining": 32,
        "assessed": 20,
        "clean": 8,
        "valued_on": 24,
        "measured_on": 24,
    }
    np.testing.assert_array_equal(np.unique(found.level, return_counts=True)[1], [4] * 5)
    assert tuple(found.gaps) == (
        "mae",
        "autoencoder",
        "simclr",
        "byol",
        "untrained mae",
        "colour statistics",
    )
    assert tuple(found.values) == VALUERS
    for choosing in CURVE_KINDS:
        assert set(found.curves[choosing]) == {"random", *VALUERS}
    assert all(record["steps"] == 3 for record in found.trainings.values())
    assert found.fits["loo"] == 21
    assert found.fits["examine"] == 0
    assert all(seconds > 0 for seconds in found.seconds.values())


@pytest.mark.study
def test_examine_values_are_those_of_the_main_encoders_features(
    found: ExamineSeedResults, workdir: pathlib.Path
) -> None:
    features = np.load(workdir / "seed_0" / "features.npz")["assessed"]
    np.testing.assert_allclose(
        found.values["examine"], -np.asarray(examine(features).gap), rtol=1e-6
    )
    np.testing.assert_allclose(found.gaps["mae"], -found.values["examine"], rtol=1e-6)


@pytest.mark.study
def test_leave_one_out_adds_up_with_the_curves_ends(found: ExamineSeedResults) -> None:
    """Both curves of removing begin with all rows, both of adding end with all."""
    for which, place in (("remove", 0), ("add", -1)):
        ends = {
            curve.worth[place]
            for c in CURVE_KINDS
            if c.startswith(which)
            for curve in found.curves[c].values()
        }
        assert len(ends) == 1


@pytest.mark.study
def test_a_killed_run_goes_on_and_ends_the_same(
    found: ExamineSeedResults, images: LabelledImages, workdir: pathlib.Path
) -> None:
    folder = workdir / "seed_0"
    trained = {file: file.stat().st_mtime_ns for file in folder.glob("*/training.json")}
    assert len(trained) == 4
    # As it lies when killed in the middle of TMC: no values yet, the state of half of the
    # permutations.
    (folder / "values" / "tmc_shapley.json").unlink()
    (folder / "values" / "state" / "tmc_shapley-values.json").unlink()
    for file in folder.glob("curves_*.json"):
        file.unlink()
    state = folder / "values" / "state" / "tmc_shapley.npz"
    whole = state.read_bytes()
    with np.load(state) as stored:
        parts = dict(stored)
    half = len(parts["indices"]) // 2
    assert half
    np.savez(
        state,
        **(parts | {name: parts[name][:half] for name in ("indices", "contributions", "fits")}),
    )
    again = run_seed(images, workdir, miniature(), 0, progress=False)
    assert state.read_bytes() == whole
    assert trained == {file: file.stat().st_mtime_ns for file in folder.glob("*/training.json")}
    for name in VALUERS:
        np.testing.assert_array_equal(again.values[name], found.values[name])
        for choosing in CURVE_KINDS:
            np.testing.assert_array_equal(
                again.curves[choosing][name].worth, found.curves[choosing][name].worth
            )


@pytest.mark.study
def test_further_valuers_keep_what_is_there(
    found: ExamineSeedResults, images: LabelledImages, workdir: pathlib.Path
) -> None:
    more = dataclasses.replace(
        miniature(), valuers=("examine", "loo", "tmc_shapley", "leverage"), seeds=(0, 1)
    )
    check_folder(workdir, images, more)
    again = run_seed(images, workdir, more, 0, progress=False)
    np.testing.assert_array_equal(again.values["loo"], found.values["loo"])
    assert "leverage" in again.curves["add_best"]
    assert again.seconds["loo"] == found.seconds["loo"]


@pytest.mark.study
def test_a_folder_of_another_experiment_is_refused(
    found: ExamineSeedResults, images: LabelledImages, workdir: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match="preprocessing: none there, zscore here"):
        check_folder(workdir, images, dataclasses.replace(miniature(), preprocessing="zscore"))
    other = dataclasses.replace(images, labels=1 - images.labels)
    with pytest.raises(ValueError, match="images"):
        check_folder(workdir, other, miniature())


@pytest.mark.study
def test_the_page_says_every_choice_that_the_paper_leaves_open(
    found: ExamineSeedResults, images: LabelledImages, tmp_path: pathlib.Path
) -> None:
    page = write_page(tmp_path, [found, found], images, miniature(), source="PCam", device="cpu")
    text = page.read_text(encoding="utf-8")
    for said in (
        "not in the paper",
        "V is defined by",
        "variance",
        "even",
        "step of the curves",
        "preprocessing",
        "hits=6",
    ):
        assert said in text
    assert "No groups are known" in text
    assert "measured on the images that define V" in text
    for figure in (
        "fig_2a",
        "fig_2b",
        "fig_3",
        "noise_separation",
        "agreement",
        "running_times",
        "wrong_labels",
    ):
        assert (tmp_path / f"{figure}.png").stat().st_size > 5000
    rows = (tmp_path / "areas.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["valuer", "random", *VALUERS]
