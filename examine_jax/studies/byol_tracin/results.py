"""What one seed of BYOL-TracIn's study yields, and its gallery."""

import dataclasses
from typing import Any

import numpy as np

from examine_jax.common.shapes import Int
from examine_jax.reporting.charts.neighbour_galleries import Neighbours

LEFT_OUT = "left out, being test images after the transfer"
"""The size under this name: training images that the second set tests on."""


@dataclasses.dataclass(frozen=True, eq=False)
class ByolTracInSeedResults:
    """Results of one repetition.

    Attributes:
        seed: of the splits and the trainings.
        sizes: images of each part.
        semi_supervised: by row (controls first, then methods) and share of the labels: figures by
            name, or "diverged" with the reason.
        transfer: by row: the same.
        trainings: by method: steps, final_loss, seconds, cpu_seconds; for methods with extra
            positives also the share of images that have one, the share of right ones, and the share
            by chance, over the last quarter of the training. Or "diverged" with the reason.
    """

    seed: int
    sizes: dict[str, int]
    semi_supervised: dict[str, dict[float, dict[str, Any]]]
    transfer: dict[str, dict[str, Any]]
    trainings: dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
    """Anchor images of a batch and their nearest images by two measures.

    Attributes:
        rows: [B] row numbers of the batch's images in their set.
        anchors: [A] the anchors' places in the batch.
        methods: the nearest images by each measure.
        encoder: the name of the method whose encoder compared the images.
    """

    rows: Int[np.ndarray, " b"]
    anchors: Int[np.ndarray, " a"]
    methods: tuple[Neighbours, ...]
    encoder: str
