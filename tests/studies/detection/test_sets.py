"""Splits, rows and settings of the detection study, without any training."""

import dataclasses
import pathlib

import numpy as np
import pytest

from examine_jax.images import ImageSet
from examine_jax.images.augmentation import Flip
from examine_jax.labelled.boxes import BoxSet
from examine_jax.studies.detection import published
from examine_jax.studies.detection.fine_tuning import Start, find_start
from examine_jax.studies.detection.results import RANDOM, WITH, WITHOUT
from examine_jax.studies.detection.self_supervision import pretrain_settings, simclr
from examine_jax.studies.detection.sets import Split, StudyImages, divide
from examine_jax.studies.detection.settings import DetectionStudySettings, detection_preset
from examine_jax.studies.detection.study import rows_of


def images(count: int = 50, groups: np.ndarray | None = None) -> StudyImages:
    """One box an image; their lines are in reversed order."""
    names = tuple(f"{index:04d}.png" for index in range(count))
    boxes = BoxSet(
        names,
        np.full((count, 2), 512),
        ("a", "b"),
        np.arange(count),
        np.arange(count) % 2,
        np.tile([10.0, 10, 60, 60], (count, 1)),
        line=np.arange(count)[::-1],
    )
    pixels = np.zeros((count, 8, 8, 3), np.uint8)
    return StudyImages(ImageSet(names, pixels), boxes, boxes, np.arange(count)[::-1], groups)


def settings(**changes: object) -> DetectionStudySettings:
    return dataclasses.replace(detection_preset("paper"), **changes)


def test_the_released_split_has_the_papers_numbers_and_order() -> None:
    split = divide(images(4394), settings(split="released"), 0)
    assert [len(part) for part in (split.training, split.validation, split.test)] == [
        3075,
        440,
        879,
    ]
    assert split.training[:2].tolist() == [4393, 4392]  # first in the file
    for share, row in published.TABLE_1.items():
        assert len(split.labelled(share)) == row[-1]
    assert len(split.unlabelled(0.1)) == 2767


def test_a_smaller_share_lies_in_a_larger_one_and_meets_no_unlabelled_image() -> None:
    split = divide(images(), settings(), 3)
    for larger, smaller in ((1.0, 0.5), (0.5, 0.3), (0.3, 0.1)):
        assert set(split.labelled(smaller)) <= set(split.labelled(larger))
    for share in (0.1, 0.5, 0.9):
        assert not set(split.labelled(share)) & set(split.unlabelled(share))
    parts = np.concatenate([split.training, split.validation, split.test])
    assert sorted(parts.tolist()) == list(range(50))
    other = divide(images(), settings(), 4)
    assert not np.array_equal(split.test, other.test)
    assert np.array_equal(split.test, divide(images(), settings(), 3).test)


def test_no_patient_is_in_two_parts() -> None:
    groups = np.array([f"p{index // 3}" for index in range(50)])
    for seed in range(5):
        split = divide(images(groups=groups), settings(), seed)
        parts = [set(groups[part]) for part in (split.training, split.validation, split.test)]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        assert len(split.training) == pytest.approx(35, abs=3)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a share of 0.1 of 7 training images is 0 images"):
        divide(images(10), settings(), 0)
    with pytest.raises(ValueError, match="0 are training images"):
        divide(images(1), settings(), 0)


def test_each_share_has_its_paired_rows() -> None:
    start = Start(init=pathlib.Path("coco.safetensors"))
    paper = settings()
    assert rows_of(paper, 0.5, None) == (WITH, RANDOM)
    assert rows_of(paper, 1.0, None) == (RANDOM,)
    assert rows_of(paper, 0.5, start) == (WITH, WITHOUT, RANDOM)
    assert rows_of(paper, 1.0, start) == (WITHOUT, RANDOM)
    assert rows_of(detection_preset("released_code"), 0.5, start) == (WITHOUT,)
    with pytest.raises(ValueError, match="give one"):
        find_start("encoder", "init")


def test_views_and_training_are_the_papers() -> None:
    paper = settings()
    method = simclr(paper, paper.template(("a",)))
    crop, flip, blur, noise = method.augmentation.first.steps  # type: ignore[attr-defined]
    assert (crop.size, crop.scale) == (512, (0.2, 1.0))
    assert flip == Flip()
    assert (blur.kernel_size, blur.sigma, blur.probability) == (21, (0.1, 2.0), 1.0)
    assert noise.share == (0.125, 0.25)
    training = pretrain_settings(paper, 1000, 0)
    assert training.batch_size == 8
    rate = training.learning_rate((100,))
    assert rate.at(0) == pytest.approx(1e-3)
    assert rate.at(100) == pytest.approx(0, abs=1e-9)
    constant = pretrain_settings(detection_preset("released_code"), 1000, 0).learning_rate((100,))
    assert constant.at(99) == pytest.approx(1e-3)
    with pytest.raises(ValueError, match="1 unlabelled images"):
        pretrain_settings(paper, 1, 0)


def test_only_small_fits_its_anchors_to_the_labelled_boxes() -> None:
    own = images().boxes
    assert detection_preset("small").detector(own, fit_anchors=True).anchors.sizes[0][0] > 30
    paper = detection_preset("paper")
    assert paper.detector(own, fit_anchors=True).anchors == paper.template(("a",)).anchors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shares": (0.5, 1.0)}, "from 1 downwards"),
        ({"shares": ()}, "from 1 downwards"),
        ({"shares": (1.5,)}, "from 1 downwards"),
        ({"seeds": ()}, "give at least one"),
        ({"blur_kernel": 20}, "must be odd"),
        ({"temperature": 0.0}, "temperature must be above 0"),
    ],
)
def test_wrong_settings_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="no preset is named"):
        detection_preset("large")


def test_a_split_never_loses_more_than_one_image() -> None:
    for count in (1, 7, 30, 3075):
        split = Split(np.arange(count), np.arange(0), np.arange(0))
        for share in (0.1, 0.2, 0.3, 0.7, 0.9):
            used = len(split.labelled(share)) + len(split.unlabelled(share))
            assert count - 1 <= used <= count
