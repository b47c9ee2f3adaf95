"""An encoder before and after its adaptation, and one that is trained from scratch as long."""

import dataclasses
import pathlib
import sys
from collections.abc import Mapping

import numpy as np

from examine_jax.common.shapes import Int
from examine_jax.encoders import Encoder
from examine_jax.encoders.base import Base
from examine_jax.encoders.train import train_and_save
from examine_jax.evaluation.adaptation import EncoderMeasures, compared, measure_encoder
from examine_jax.pretraining import Method, NonFiniteLossError, PretrainSettings
from examine_jax.training.columns import Columns
from examine_jax.training.method import IMAGE

FROZEN, ADAPTED, SCRATCH = "frozen", "adapted", "from scratch"


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Measures of encoders on the same images.

    Attributes:
        measures: by what the encoder is: frozen, adapted, from scratch.
        diverged: why there is no encoder from scratch; None: there is one.
    """

    measures: Mapping[str, EncoderMeasures]
    diverged: str | None = None

    @property
    def worse(self) -> tuple[str, ...]:
        """Where the adapted encoder is worse than the frozen one."""
        return compared(self.measures[FROZEN], self.measures[ADAPTED])[0]

    @property
    def better(self) -> tuple[str, ...]:
        """Where the adapted encoder is better than the frozen one."""
        return compared(self.measures[FROZEN], self.measures[ADAPTED])[1]

    @property
    def worse_than_scratch(self) -> tuple[str, ...]:
        """Where the adapted encoder is worse than the one from scratch."""
        if SCRATCH not in self.measures:
            return ()
        return compared(self.measures[SCRATCH], self.measures[ADAPTED])[0]


def compare_encoders(
    base: Base,
    adapted: Encoder,
    method: Method,
    columns: Columns,
    labels: Int[np.ndarray, " n"] | None,
    training: PretrainSettings,
    scratch: pathlib.Path,
    *,
    progress: bool,
) -> Comparison:
    """Trains an encoder from scratch, and measures it, the base and the adapted one.

    Args:
        base, adapted: the encoder before and after.
        method: that adapted it; the same network is trained from scratch.
        columns: the training set.
        labels: a class of each image, -1 where it is not known; None: there are none.
        training: how it was adapted.
        scratch: the folder of the training from scratch; the same call again continues it.
        progress: shows it on stderr.
    """
    if progress:
        print(
            "for the comparison: the same network from scratch (--nocompare leaves it out)",
            file=sys.stderr,
        )
    encoders, diverged = {FROZEN: base.encoder, ADAPTED: adapted}, None
    try:
        encoders[SCRATCH], _ = train_and_save(
            method,
            (columns,),
            dataclasses.replace(training, layer_decay=None),
            scratch,
            architecture=base.name,
            progress=progress,
        )
    except NonFiniteLossError as error:
        diverged = str(error)
    images = columns[IMAGE]
    measures = {
        name: measure_encoder(encoder, images, labels, seed=training.seed)
        for name, encoder in encoders.items()
    }
    return Comparison(measures, diverged)
