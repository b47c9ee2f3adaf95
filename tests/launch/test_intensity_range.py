"""--intensity_range and --dicom_window: the encoder's folder keeps them for later images."""

import json
import pathlib

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")

from examine_jax.images import load_folder
from examine_jax.jobs.embed import embedded
from tests.images.decoding.test_dicom import grey
from tests.support.commands import run_here
from tests.support.tiny_architecture import TINY

QUICK = (f"--architecture={TINY}", "--steps=2", "--batch_size=4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Four slices, each with two windows that differ from the others'."""
    root = tmp_path_factory.mktemp("slices")
    generator = np.random.default_rng(0)
    for index in range(4):
        values = generator.integers(0, 1000, (16, 16)).astype(np.uint16)
        window = {"WindowCenter": [100 + 200 * index, 500], "WindowWidth": [50, 800]}
        grey(12, values, **window).save_as(root / f"{index}.dcm")
    return root


@pytest.mark.parametrize("command", ["assess", "pretrain"])
@pytest.mark.parametrize(
    ("flag", "settings"),
    [
        ("--intensity_range=-100,900", {"intensity_range": (-100.0, 900.0)}),
        ("--dicom_window=2", {"dicom_window": 2}),
    ],
)
def test_an_encoder_reads_later_images_as_those_of_its_training(
    folder: pathlib.Path, tmp_path: pathlib.Path, command: str, flag: str, settings: dict
) -> None:
    code, printed = run_here(
        command, f"--images={folder}", f"--workdir={tmp_path}", "--device=cpu", flag, *QUICK
    )
    assert code == 0, printed
    expected = load_folder(folder, image_size=16, **settings).pixels
    assert not np.array_equal(expected, load_folder(folder, image_size=16).pixels)
    encoder = tmp_path / "encoder"
    assert np.array_equal(embedded(folder, encoder, progress=False).images, expected)
    asked = embedded(folder, encoder, intensity_range=(0.0, 5000.0), progress=False).images
    assert asked.max() <= 52
    if command == "assess":
        config = json.loads((tmp_path / "config.json").read_text())
        assert config | json.loads(json.dumps(settings)) == config


@pytest.mark.parametrize("command", ["assess", "pretrain"])
def test_images_that_are_no_dicom_files_refuse_the_range(
    tmp_path: pathlib.Path, command: str
) -> None:
    code, printed = run_here(command, f"--workdir={tmp_path}", "--intensity_range=0,1", *QUICK)
    assert code == 1
    assert "for DICOM files in folders" in printed


def test_a_range_of_one_number_is_refused(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    code, printed = run_here(
        "assess", f"--images={folder}", f"--workdir={tmp_path}", "--intensity_range=5", *QUICK
    )
    assert code == 1
    assert "intensity_range" in printed
    assert "Traceback" not in printed
