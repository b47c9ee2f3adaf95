"""Qualities of images as valuers: they are called with pixels in place of features."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax.quality.image_quality import IMAGE_QUALITIES
from examine_jax.valuation.valuation import Progress, Valuation
from examine_jax.valuation.valuers.entry import ValuerEntry


@dataclasses.dataclass(frozen=True)
class ImageQuality:
    """One number an image, from its pixels.

    Attributes:
        measure: of pixels uint8 [N, H, W, C], the values [N].
    """

    measure: Callable[[Any], Any]

    def value(
        self,
        features: Any,
        labels: Any = None,
        key: Any = None,
        *,
        on_progress: Progress | None = None,
        state: Any = None,
    ) -> Valuation:
        """As `Valuer.value`, with pixels in place of features."""
        values = self.measure(features)
        if on_progress is not None:
            on_progress(len(features), len(features))
        return Valuation(np.asarray(values, np.float64))


def _entry(name: str, measure: Callable[[Any], Any]) -> ValuerEntry:
    return ValuerEntry(
        name,
        f"{name} of the image",
        lambda options, validation: ImageQuality(measure),
        needs="images",
    )


ENTRIES = tuple(_entry(name, measure) for name, measure in IMAGE_QUALITIES.items())
