"""The whole study on VinDr-CXR in miniature: DICOM files, three readers, a tiny network."""

import csv
import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.geometry.anchors import AnchorSettings
from examine_jax.detection.geometry.roi_sampling import RoISampling
from examine_jax.detection.post_processing import DetectionSettings
from examine_jax.detection.proposals import ProposalSettings
from examine_jax.detection.targets import ANCHOR_TARGETS, ROI_TARGETS
from examine_jax.encoders.save import save_encoder
from examine_jax.models import ResNetConfig
from examine_jax.studies import detection
from examine_jax.studies.detection.results import RANDOM, WITH, WITHOUT
from examine_jax.studies.detection.self_supervision import simclr
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
    monkeypatch.setattr("examine_jax.studies.detection.self_supervision.pretrain", refuse)
    again = detection.run(miniature(), source, tmp_path, progress=False)
    assert [one.figures for one in again] == [one.figures for one in results]
    with pytest.raises(ValueError, match="temperature"):
        detection.run(miniature(temperature=0.1), source, tmp_path, progress=False)


@pytest.mark.study
def test_small_from_an_encoder_with_negatives_and_patients(
    tmp_path: pathlib.Path,
) -> None:
    """Boxes of one reader on oblong images; the paired rows from the encoder, and from nothing."""
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    rows, groups = ["image,class,x1,y1,x2,y2"], ["image,group"]
    for number in range(30):
        pixels = rng.integers(0, 90, (48, 80, 3), dtype=np.uint8)
        name = f"{number:02d}.png"
        if number % 6:
            x, y = int(rng.integers(0, 50)), int(rng.integers(0, 20))
            pixels[y : y + 24, x : x + 24] = 220
            rows.append(f"{name},square,{x},{y},{x + 24},{y + 24}")
        else:
            rows.append(f"{name},,,,,")
        groups.append(f"{name},p{number // 2}")
        Image.fromarray(pixels).save(tmp_path / "images" / name)
    (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "groups.csv").write_text("\n".join(groups) + "\n")
    network = dataclasses.replace(TINY, height=64, width=96)
    settings = miniature("small", network=network, shares=(1.0, 0.4), draws=5, pretrain_size=32)
    method = simclr(settings, network)
    params, state = method.init(jax.random.key(5), {})
    save_encoder(tmp_path / "encoder", method, params, state, {})
    results = detection.run(
        settings,
        DetectionSource(
            tmp_path / "images", tmp_path / "boxes.csv", groups=tmp_path / "groups.csv"
        ),
        tmp_path / "out",
        encoder=tmp_path / "encoder",
        progress=False,
    )
    assert [(one.share, one.row) for one in results] == [
        (1.0, WITHOUT),
        (1.0, RANDOM),
        (0.4, WITH),
        (0.4, WITHOUT),
        (0.4, RANDOM),
    ]
    figures = results[0].figures
    assert set(figures["class_ap"]) == {"square"}
    assert figures["negative_images"] >= 1
    assert figures["ap_low"] <= figures["ap"] <= figures["ap_high"]
    page = (tmp_path / "out" / "detection.html").read_text()
    assert "the same start alone" in page
    assert "SimCLR" in page
