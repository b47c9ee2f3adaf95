"""How often images with rare classes are repeated in training."""

import dataclasses

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.labelled.boxes.box_set import BoxSet


@dataclasses.dataclass(frozen=True)
class RepeatFactors:
    """Images with rare classes occur more often.

    A class on the share f of the images has the factor max(1, sqrt(threshold / f)); an image has
    the largest factor of its classes, and 1 without a box.

    Attributes:
        threshold: classes on a smaller share of the images are repeated. The paper has .4.
        whole: whether factors are rounded up to whole numbers (mmdetection, the paper's code).
            Otherwise each epoch draws anew how often an image occurs (LVIS, detectron2).

    Source: Gupta et al., LVIS, arXiv:1908.03195, appendix B; Bencevic et al., arXiv:2206.00344,
        section III.A, whose third formula has a product where LVIS has the maximum.
    """

    threshold: float = 0.4
    whole: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(
                f"RepeatFactors: threshold={self.threshold}; give a share of the images, above 0 "
                "and up to 1"
            )

    def of(self, boxes: BoxSet) -> Float[np.ndarray, " images"]:
        """The factor of each image, at least 1."""
        shares = images_by_class(boxes) / max(len(boxes.images), 1)
        with np.errstate(divide="ignore"):
            by_class = np.maximum(1.0, np.sqrt(self.threshold / shares))
        factors = np.ones(len(boxes.images))
        np.maximum.at(factors, boxes.image, by_class[boxes.label])
        # A rounding above a whole number is no reason for one more.
        return np.ceil(factors - 1e-9) if self.whole else factors


def images_by_class(boxes: BoxSet) -> Int[np.ndarray, " classes"]:
    """The number of images on which each class has a box."""
    pairs = np.unique(np.stack([boxes.image, boxes.label], axis=1), axis=0)
    return np.bincount(pairs[:, 1], minlength=len(boxes.classes))


def repeated_images_by_class(
    boxes: BoxSet, factors: Float[np.ndarray, " images"]
) -> Float[np.ndarray, " classes"]:
    """As `images_by_class`, each image counted as often as an epoch repeats it on average."""
    pairs = np.unique(np.stack([boxes.image, boxes.label], axis=1), axis=0)
    return np.bincount(pairs[:, 1], factors[pairs[:, 0]], minlength=len(boxes.classes))
