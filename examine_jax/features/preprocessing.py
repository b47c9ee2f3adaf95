"""Preprocessing of features before scoring: a setting of every job, since it changes the score."""

import dataclasses
from typing import Literal

import numpy as np

from examine_jax.common.byte_order import native
from examine_jax.common.shapes import Float

Preprocessing = Literal["none", "l2", "zscore"]
PREPROCESSINGS: tuple[Preprocessing, ...] = ("none", "l2", "zscore")


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Each feature's mean and standard deviation over a set of images, float64."""

    mean: Float[np.ndarray, " d"]
    deviation: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, features: Float[np.ndarray, "n d"]) -> "FeatureStatistics":
        """The statistics of these rows."""
        exact = features.astype(np.float64)
        return cls(exact.mean(0), exact.std(0))


def preprocess(
    features: Float[np.ndarray, "n d"],
    kind: Preprocessing,
    reference: FeatureStatistics | None = None,
) -> Float[np.ndarray, "n d"]:
    """Preprocesses features for scoring; keeps their dtype.

    Args:
        features: [N, D].
        kind: "none": unchanged (the paper's equation 3). "l2": each row divided by its Euclidean
            norm; zero rows stay zero. "zscore": each feature less its mean, divided by its standard
            deviation; constant features become zero.
        reference: the statistics for "zscore". With those of the encoder's training images, the
            score says how unusual an image is for the encoder. None: those of `features`.

    Returns:
        [N, D].

    Raises:
        ValueError: an unknown kind, or a reference of another width.
    """
    features = native(features)
    if kind == "none":
        return features
    if kind == "l2":
        norm = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
        return (features / np.where(norm > 0, norm, 1)).astype(features.dtype)
    if kind != "zscore":
        raise ValueError(f"preprocessing {kind!r} is none of {', '.join(PREPROCESSINGS)}")
    reference = FeatureStatistics.of(features) if reference is None else reference
    if reference.mean.shape != features.shape[1:]:
        raise ValueError(
            f"the reference statistics are of {len(reference.mean)} features, these rows have "
            f"{features.shape[1]}; "
            "take both from the same encoder"
        )
    scale = inverse_deviations(reference.mean, reference.deviation)
    return ((features - reference.mean) * scale).astype(features.dtype)


def inverse_deviations(
    mean: Float[np.ndarray, " d"], deviation: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " d"]:
    """1 / deviation of each column, and 0 for constant ones, which carry no information.

    The deviation of a constant column in float32 is rounding, not exactly 0. So a column is
    constant if its deviation is at most a millionth of its own mean's magnitude. Other columns do
    not matter: each may have its own unit.
    """
    floor = 1e-6 * np.maximum(np.abs(mean), float(np.finfo(np.float32).tiny))
    varies = deviation > floor
    return np.where(varies, 1 / np.where(varies, deviation, 1), 0)
