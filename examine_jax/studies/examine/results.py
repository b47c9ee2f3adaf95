"""The results of one seed of EXAMINE's study."""

import dataclasses

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.evaluation.curves import Curve, CurveKind
from examine_jax.evaluation.label_errors import LabelErrorCurve


@dataclasses.dataclass(frozen=True, eq=False)
class ExamineSeedResults:
    """Results of one repetition.

    Attributes:
        seed: the seed of the sets, the noise, the trainings and the valuers.
        sizes: the number of images in each set.
        level: [A] the level of the noise that was added to each assessed image.
        gaps: [A] by encoder: the trained methods in their order, then the controls.
        values: [A] by valuer, computed from the main encoder's features; higher is better.
        seconds, fits: by valuer: its time, and the number of models that it fitted.
        curves: by experiment and by valuer, including random.
        detections: the curve of wrong labels found, by valuer.
        trainings: by method: steps, final_loss, seconds, cpu_seconds.
    """

    seed: int
    sizes: dict[str, int]
    level: Float[np.ndarray, " a"]
    gaps: dict[str, Float[np.ndarray, " a"]]
    values: dict[str, Float[np.ndarray, " a"]]
    seconds: dict[str, float]
    fits: dict[str, float]
    curves: dict[CurveKind, dict[str, Curve]]
    detections: dict[str, LabelErrorCurve]
    trainings: dict[str, dict[str, float]]
