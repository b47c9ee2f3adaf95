"""Encoders measured on the same images, and what is said of their differences."""

import dataclasses
import math

import numpy as np
import pytest

from examine_jax.encoders import Encoder
from examine_jax.evaluation.adaptation import (
    EncoderMeasures,
    _auroc_error,
    compared,
    measure_encoder,
)

RANDOM = np.random.default_rng(0)
# Two classes that differ in colour, so that colours alone tell them apart.
LABELS = np.repeat([0, 1], 20)
GREY = RANDOM.integers(60, 90, (40, 8, 8, 3))
PIXELS = (GREY + 80 * LABELS[:, None, None, None]).astype(np.uint8)


class Means(Encoder):
    """Means and deviations of the channels; it has no network to compile."""

    def __init__(self) -> None:
        pass

    def embed(self, images, **_):
        values = images / np.float32(255)
        rows = [values.mean(axis=(1, 2)), values.std(axis=(1, 2))]
        return np.concatenate(rows, axis=1).astype(np.float32)


class Constant(Means):
    def embed(self, images, **_):
        return super().embed(images) * 0 + 1


@pytest.fixture(scope="module")
def measured() -> EncoderMeasures:
    return measure_encoder(Means(), PIXELS, LABELS)


def test_all_is_measured_with_labels(measured: EncoderMeasures) -> None:
    assert measured.num_images == 40
    assert measured.num_tested == 20
    assert measured.knn == measured.probe == 1
    assert 1 < measured.rank_me <= 6
    assert measured.noise_correlation > 0
    assert set(measured.by_artefact) == {
        *("defocus", "motion", "jpeg", "noise", "overexposed", "underexposed")
    }
    assert len(measured.measures()) == 7


def test_images_without_a_label_are_measured_too() -> None:
    labels = np.where(np.isin(np.arange(40), [*range(6), *range(34, 40)]), LABELS, -1)
    measured = measure_encoder(Means(), PIXELS, labels, most=30)
    assert (measured.num_images, measured.num_tested) == (30, 6)


def test_without_labels_nothing_is_said_of_classes(measured: EncoderMeasures) -> None:
    for labels in (np.full(40, -1), np.where(np.arange(40) == 0, 0, -1), np.zeros(40, int)):
        without = measure_encoder(Means(), PIXELS, labels)
        assert (without.knn, without.probe, without.num_tested) == (None, None, 0)
        assert len(without.measures()) == 5
    assert compared(without, measured)[0] == ()


def test_patients_are_on_one_side_of_the_test() -> None:
    groups = np.arange(40) // 20  # one patient a class: nothing can be tested
    found = measure_encoder(Means(), PIXELS, LABELS, groups)
    assert found.knn is None


def test_what_is_worse_is_said_plainly(measured: EncoderMeasures) -> None:
    after = dataclasses.replace(measured, knn=0.6, rank_me=measured.rank_me + 1)
    worse, better = compared(measured, after)
    assert worse == ("balanced accuracy of nearest neighbours: 1.000 -> 0.600",)
    assert len(better) == 1
    slightly = dataclasses.replace(measured, probe=0.95)
    assert compared(measured, slightly)[0][0].endswith("(may be chance)")
    assert compared(measured, measured) == ((), ())


def test_a_collapsed_encoder_is_measured_too(measured: EncoderMeasures) -> None:
    found = measure_encoder(Constant(), PIXELS, LABELS)
    assert found.rank_me == pytest.approx(1, abs=1e-3)
    assert math.isnan(found.noise_correlation)
    assert found.artefact_auroc == 0.5
    assert compared(measured, found)[0]


def test_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="too few to compare"):
        measure_encoder(Means(), PIXELS[:7])


def test_the_error_of_an_area_is_that_of_resampling() -> None:
    clean, spoilt = RANDOM.normal(size=(1000, 40)), RANDOM.normal(1.0, size=(1000, 80))
    areas = (clean[:, :, None] < spoilt[:, None]).mean(axis=(1, 2))
    assert _auroc_error(float(areas.mean()), 80, 40) == pytest.approx(areas.std(), rel=0.15)
