"""An encoder's folder as the scorer of another training (BYOL-TracIn's "-pretrained")."""

import os
import pathlib

from examine_jax.encoders.save import read_encoder
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.methods.byol_tracin import BYOLTracIn
from examine_jax.pretraining.registry import known_settings
from examine_jax.pretraining.scorer import Scorer


def load_scorer(folder: str | os.PathLike[str]) -> Scorer:
    """Reads the encoder of a BYOL, with its heads and its target, to choose extra positives.

    Raises:
        ValueError: the folder is no encoder's, or another method's.
        OSError: it cannot be read.
    """
    encoder = read_encoder(pathlib.Path(folder), known_settings())
    method = encoder.method.byol if isinstance(encoder.method, BYOLTracIn) else encoder.method
    if not isinstance(method, BYOL):
        raise ValueError(
            f"{folder} holds a {type(method).__name__}'s encoder; a scorer is a BYOL's"
        )
    return Scorer(os.fspath(folder), method, encoder.params, encoder.state)
