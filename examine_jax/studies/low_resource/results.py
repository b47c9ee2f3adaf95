"""What one encoder on one split of a set is worth."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, Int
from examine_jax.studies.common import kept

RANDOM_INITIALISATION, COLOURS = "random initialisation", "colour statistics"
"""The controls' names."""


@dataclasses.dataclass(frozen=True, eq=False)
class RunResults:
    """Results of one encoder on one split.

    Attributes:
        set_name, seed: of the images and of their split.
        name: of a method or of a control.
        batch_size: of the pre-training; None for a control.
        figures: as `classify` returns them; empty if the training diverged.
        training: steps, final_loss, seconds, cpu_seconds; empty for a control.
        file: the .npz file with the test images' `features` and `labels`.
        diverged: why the training stopped, if its loss became NaN or infinite; else None.
    """

    set_name: str
    seed: int
    name: str
    batch_size: int | None
    figures: dict[str, Any]
    training: dict[str, float]
    file: pathlib.Path
    diverged: str | None = None

    def test_features(self) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]:
        """Reads the features and labels of the test images."""
        stored = kept.arrays(self.file, dict)
        return stored["features"], stored["labels"]
