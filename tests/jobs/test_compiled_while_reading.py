"""The main job compiles ahead only what its training needs for sure. Nothing is compiled here."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from examine_jax.jobs.assess import assess
from examine_jax.jobs.assess.settings import AssessSettings, DecisionSettings
from examine_jax.pretraining.recipes import recipe

BATCH = recipe("small").batch_size


def folder(path: pathlib.Path, files: int, pages: int = 1) -> pathlib.Path:
    path.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (files, pages, 8, 8), np.uint8)
    for number, one in enumerate(pixels):
        first, *others = map(Image.fromarray, one)
        first.save(path / f"{number:02}.tif", save_all=True, append_images=others)
    return path


@pytest.mark.parametrize(
    ("images", "pretrain", "finished", "times"),
    [
        ((BATCH + 1, 1), None, False, 1),
        ((3, BATCH), None, False, 0),  # A batch has more images than there are files.
        ((BATCH, 1), (2, 1), False, 0),  # A batch has the two images that are trained on.
        ((2, 1), (BATCH, 1), False, 1),
        ((BATCH, 1), None, True, 0),
    ],
)
def test_a_batch_of_known_size_is_compiled_ahead_once(
    images: tuple[int, int],
    pretrain: tuple[int, int] | None,
    finished: bool,
    times: int,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    if finished:
        (tmp_path / "work" / "encoder").mkdir(parents=True)
    monkeypatch.setattr(assess, "compile_while_reading", lambda *given: asked.append(given))
    with pytest.raises(ValueError, match="budget 1000"):  # which ends the job before the training
        assess.assess_images(
            folder(tmp_path / "images", *images),
            tmp_path / "work",
            AssessSettings(),
            DecisionSettings(budget="1000", reference_images=folder(tmp_path / "clean", BATCH)),
            pretrain_images=pretrain and folder(tmp_path / "others", *pretrain),
            progress=False,
        )
    assert len(asked) == times
