"""What is done to features before they are scored. It changes the score, so it is a named setting of every job."""

import dataclasses
from typing import Literal

import numpy as np

from examine_jax.common.shapes import Float

Preprocessing = Literal["none", "l2", "zscore"]
PREPROCESSINGS: tuple[Preprocessing, ...] = ("none", "l2", "zscore")


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Mean and standard deviation of each feature over some set of images, float64."""

    mean: Float[np.ndarray, " d"]
    deviation: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, features: Float[np.ndarray, "n d"]) -> "FeatureStatistics":
        exact = features.astype(np.float64)
        return cls(exact.mean(0), exact.std(0))


def preprocess(
    features: Float[np.ndarray, "n d"], kind: Preprocessing, reference: FeatureStatistics | None = None
) -> Float[np.ndarray, "n d"]:
    """Features as they will be scored, in their own dtype.

    Args:
        features: [N, D].
        kind: "none": as they are (the paper's equation 3); "l2": each row over its Euclidean norm (zero rows stay zero);
            "zscore": each feature less its mean over its standard deviation (constant features become zero).
        reference: for "zscore", the statistics to use: those of the images that the encoder was trained on say how unusual an image is
            to it. None: those of `features` themselves.

    Raises:
        ValueError: an unknown kind, or a reference of another width.
    """
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
            f"the reference statistics are of {len(reference.mean)} features, these rows have {features.shape[1]}; "
            "take both from the same encoder"
        )
    # A feature that does not vary says nothing; float32 leaves its deviation at rounding, not at zero.
    floor = 1e-6 * max(float(np.max(reference.deviation, initial=0)), float(np.finfo(np.float32).tiny))
    varies = reference.deviation > floor
    scale = np.where(varies, 1 / np.where(varies, reference.deviation, 1), 0)
    return ((features - reference.mean) * scale).astype(features.dtype)
