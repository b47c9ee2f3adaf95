"""COCO's metrics against pycocotools, and what a set without truth or predictions gives."""

import contextlib
import dataclasses
import io
import sys

import numpy as np
import pytest

from examine_jax.detection.metrics import CocoSettings, Paired, coco_metrics
from examine_jax.detection.metrics.resampling import coco_matches, weighted_average_precision
from examine_jax.labelled.boxes.box_set import box_areas
from tests.support.detected_boxes import CLASSES, box_set, random_pair


def by_pycocotools(truth, predictions, max_detections=(1, 10, 100), use_classes=True):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def entries(boxes, **columns):
        sides = boxes.corners[:, 2:] - boxes.corners[:, :2]
        return [
            {
                "id": i + 1,
                "image_id": int(boxes.image[i]) + 1,
                "category_id": int(boxes.label[i]) + 1,
                "bbox": [*boxes.corners[i, :2], *sides[i]],
                **{name: values[i] for name, values in columns.items()},
            }
            for i in range(len(boxes))
        ]

    crowd = np.zeros(len(truth), int) if truth.crowd is None else truth.crowd.astype(int)
    area = box_areas(truth) if truth.area is None else truth.area
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO()
        dataset.dataset = {
            "info": {},
            "images": [{"id": i + 1} for i in range(len(truth.images))],
            "categories": [{"id": c + 1, "name": name} for c, name in enumerate(truth.classes)],
            "annotations": entries(truth, area=area, iscrowd=crowd),
        }
        dataset.createIndex()
        detected = dataset.loadRes(entries(predictions, score=predictions.score))
        evaluation = COCOeval(dataset, detected, "bbox")
        evaluation.params.maxDets = list(max_detections)
        evaluation.params.useCats = int(use_classes)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


def mean(values):
    return values[values > -1].mean() if (values > -1).any() else np.nan


CASES = {
    "plain": {},
    "crowds": {"crowds": True},
    "a class without truth": {"absent": 1},
    "many": {"num_truth": 120, "num_false": 300, "images": 12},
    "one image": {"images": 3, "num_truth": 3, "num_false": 4},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("limits", [(1, 10, 100), (2, 5)])
def test_equals_pycocotools(case: str, limits: tuple[int, ...]) -> None:
    truth, predictions = random_pair(len(case), **CASES[case])
    ours = coco_metrics(Paired(truth, predictions), CocoSettings(max_detections=limits))
    precision, recall = by_pycocotools(truth, predictions, limits)
    close = dict(rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.ap, mean(precision[..., 0, -1]), **close)
    np.testing.assert_allclose(ours.ap50, mean(precision[0, ..., 0, -1]), **close)
    np.testing.assert_allclose(ours.ap75, mean(precision[5, ..., 0, -1]), **close)
    for size in range(3):
        np.testing.assert_allclose(
            ours.ap_by_size[size], mean(precision[..., 1 + size, -1]), **close
        )
        np.testing.assert_allclose(ours.ar_by_size[size], mean(recall[..., 1 + size, -1]), **close)
        for c in range(len(CLASSES)):
            np.testing.assert_allclose(
                ours.class_ap_by_size[c, size], mean(precision[:, :, c, 1 + size, -1]), **close
            )
    for d in range(len(limits)):
        np.testing.assert_allclose(ours.ar[d], mean(recall[..., 0, d]), **close)
    for c in range(len(CLASSES)):
        np.testing.assert_allclose(ours.class_ap[c], mean(precision[:, :, c, 0, -1]), **close)
        np.testing.assert_allclose(ours.class_ap50[c], mean(precision[0, :, c, 0, -1]), **close)
        np.testing.assert_allclose(ours.class_ar[c], mean(recall[:, c, 0, -1]), **close)
    _, recall = by_pycocotools(truth, predictions, limits, use_classes=False)
    for d in range(len(limits)):
        np.testing.assert_allclose(ours.class_agnostic_ar[d], mean(recall[..., 0, d]), **close)
    np.testing.assert_allclose(
        ours.class_agnostic_ar_by_size,
        [mean(recall[..., 1 + size, -1]) for size in range(3)],
        **close,
    )


@pytest.mark.parametrize("case", CASES)
def test_weighted_images_count_as_often_as_they_are_repeated(case: str) -> None:
    truth, predictions = random_pair(7 + len(case), **CASES[case])
    paired = Paired(truth, predictions)
    ours = coco_metrics(paired)
    once = np.ones(len(truth.images))
    matches, agnostic = coco_matches(paired), coco_matches(paired, by_class=False)
    np.testing.assert_allclose(
        weighted_average_precision(matches, once), (ours.ap, ours.ap50, ours.ar[-1]), atol=1e-12
    )
    np.testing.assert_allclose(
        weighted_average_precision(agnostic, once)[2], ours.class_agnostic_ar[-1], atol=1e-12
    )
    rng = np.random.default_rng(0)
    for _ in range(3):
        drawn = rng.integers(0, len(truth.images), len(truth.images))
        repeated = [_repeated(boxes, drawn) for boxes in (truth, predictions)]
        whole = coco_metrics(Paired(*repeated))
        weights = np.bincount(drawn, minlength=len(truth.images)).astype(float)
        np.testing.assert_allclose(
            weighted_average_precision(matches, weights),
            (whole.ap, whole.ap50, whole.ar[-1]),
            atol=1e-12,
        )


def _repeated(boxes, drawn):
    """The images of a draw, with new names, since each is named once."""
    rows = [boxes.of_image(i) for i in drawn]
    columns = {
        name: getattr(boxes, name)[np.concatenate(rows)]
        for name in ("label", "corners", "score", "crowd")
        if getattr(boxes, name) is not None
    }
    image = np.repeat(np.arange(len(drawn)), [len(r) for r in rows])
    return dataclasses.replace(
        boxes, images=tuple(f"{i}" for i in range(len(drawn))), image=image, **columns
    )


def test_sizes_are_those_of_the_scaled_boxes() -> None:
    truth, predictions = random_pair(3)
    areas = box_areas(truth) * 0.9
    truth = dataclasses.replace(truth, area=areas)
    ours = coco_metrics(Paired(truth, predictions), CocoSettings(measured_in=(50, 100)))
    halved = dataclasses.replace(
        truth, corners=truth.corners * [0.5, 0.25, 0.5, 0.25], area=areas / 8
    )
    theirs = dataclasses.replace(predictions, corners=predictions.corners * [0.5, 0.25, 0.5, 0.25])
    precision, _ = by_pycocotools(halved, theirs)
    for size in range(3):
        np.testing.assert_allclose(
            ours.ap_by_size[size], mean(precision[..., 1 + size, -1]), atol=1e-12
        )
    assert ours.num_truth_by_size.sum() == len(truth)
    unscaled = coco_metrics(Paired(truth, predictions))
    np.testing.assert_allclose(ours.ap, unscaled.ap, atol=1e-12)


def test_equal_scores_keep_the_order_of_images() -> None:
    truth, predictions = random_pair(5)
    predictions = dataclasses.replace(predictions, score=np.round(predictions.score, 1))
    rows = np.argsort(predictions.image, kind="stable")
    predictions = predictions.take(rows)
    precision, _ = by_pycocotools(truth, predictions)
    paired = Paired(truth, predictions)
    np.testing.assert_allclose(coco_metrics(paired).ap, mean(precision[..., 0, -1]), atol=1e-12)
    np.testing.assert_allclose(
        weighted_average_precision(coco_matches(paired), np.ones(10))[0],
        mean(precision[..., 0, -1]),
        atol=1e-12,
    )


def test_without_predictions_everything_is_missed() -> None:
    truth, predictions = random_pair(0, absent=2)
    ours = coco_metrics(Paired(truth, predictions.take([])))
    assert ours.ap == ours.ap50 == 0
    np.testing.assert_array_equal(ours.class_ap, [0, 0, np.nan])
    np.testing.assert_array_equal(ours.class_agnostic_ar, 0)
    matches = coco_matches(Paired(truth, predictions.take([])))
    assert weighted_average_precision(matches, np.ones(10)) == (0, 0, 0)


def test_without_truth_nothing_is_known() -> None:
    truth, predictions = random_pair(0)
    ours = coco_metrics(Paired(truth.take([]), predictions))
    assert np.isnan([ours.ap, ours.ap50, ours.ap75]).all()
    assert np.isnan(ours.class_ap).all()
    assert np.isnan(ours.ar).all()
    assert not ours.num_truth.any()


def test_the_first_box_can_be_found() -> None:
    """COCO reads an annotation's id of 0 as "not found"."""
    box = [[10, 10, 60, 70]]
    ours = coco_metrics(Paired(box_set(0, 0, box), box_set(0, 0, box, 0.5)))
    assert ours.ap == 1


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="ascending"):
        CocoSettings(max_detections=(10, 1))
    with pytest.raises(ValueError, match="size_bounds"):
        CocoSettings(size_bounds=(10.0, 5.0))


def test_nothing_is_printed(capsys) -> None:
    truth, predictions = random_pair(1)
    coco_metrics(Paired(truth, predictions))
    sys.stdout.flush()
    assert capsys.readouterr() == ("", "")
