"""The whole study on VinDr-CXR in miniature: DICOM files, three readers, a tiny network."""

import csv
import dataclasses
import pathlib
from typing import Any

import pytest

from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.geometry.anchors import AnchorSettings
from examine_jax.detection.geometry.roi_sampling import RoISampling
from examine_jax.detection.post_processing import DetectionSettings
from examine_jax.detection.proposals import ProposalSettings
from examine_jax.detection.targets import ANCHOR_TARGETS, ROI_TARGETS
from examine_jax.models import ResNetConfig
from examine_jax.studies import detection
from examine_jax.studies.detection.results import RANDOM, WITH
from examine_jax.studies.detection.sets import DetectionSource
from examine_jax.studies.detection.settings import DetectionStudySettings, detection_preset
from tests.support.vindr_miniature import vindr

TINY = FasterRCNN(
    encoder=ResNetConfig(image_size=64, channels=3, depths=(1, 1, 1, 1), width=8),
    height=64,
    width=64,
    classes=("any",),
    anchors=AnchorSettings(sizes=((16.0,), (32.0,), (48.0,)), strides=(8, 16, 32)),
    anchor_targets=dataclasses.replace(ANCHOR_TARGETS, samples=32),
    roi_targets=dataclasses.replace(ROI_TARGETS, samples=16),
    proposals=ProposalSettings(candidates=32, test_candidates=32, most=16, test_most=16),
    roi=RoISampling(canonical_size=32),
    detections=DetectionSettings(candidates=48, most=20),
    pyramid_channels=16,
    box_head_width=32,
)


def miniature(preset: str = "paper", **changes: Any) -> DetectionStudySettings:
    given = {
        "network": TINY,
        "shares": (1.0, 0.5),
        "seeds": (0,),
        "steps": 4,
        "pretrain_steps": 2,
        **changes,
    }
    return dataclasses.replace(detection_preset(preset), **given)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DetectionSource:
    folder = tmp_path_factory.mktemp("vindr")
    vindr(folder)
    return DetectionSource(folder / "train", folder / "annotations" / "annotations_train.csv")


@pytest.mark.study
def test_the_papers_study_runs_whole_and_is_not_done_twice(
    source: DetectionSource, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = detection.run(miniature(), source, tmp_path, progress=False)
    assert [(one.share, one.row) for one in results] == [
        (1.0, RANDOM),
        (0.5, WITH),
        (0.5, RANDOM),
    ]
    assert all(one.diverged is None for one in results)
    page = (tmp_path / "detection.html").read_text()
    for text in ("Table I", "Table II", "R8 and R9", "Figure 3", "not in the paper: temperature"):
        assert text in page
    for name in ("figure_1_readers", "figure_1_fused", "figure_3", "labels_ap"):
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
    with (tmp_path / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["labelled"] for row in rows] == ["24", "12", "12"]
    assert not list(tmp_path.rglob("checkpoints"))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this was done already")

    monkeypatch.setattr("examine_jax.studies.detection.fine_tuning.train_detector", refuse)
    monkeypatch.setattr("examine_jax.studies.detection.self_supervision.train_and_save", refuse)
    again = detection.run(miniature(), source, tmp_path, progress=False)
    assert [one.figures for one in again] == [one.figures for one in results]
    with pytest.raises(ValueError, match="temperature"):
        detection.run(miniature(temperature=0.1), source, tmp_path, progress=False)
