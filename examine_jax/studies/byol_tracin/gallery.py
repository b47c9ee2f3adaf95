"""An image of a mini-batch and those that an encoder takes for its likes: the poster's figure."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Int
from examine_jax.encoders import Encoder
from examine_jax.pretraining import two_views
from examine_jax.pretraining.extra_positives import SimilarPositive, TracInPositive
from examine_jax.pretraining.methods.byol_tracin import scorer_evidence
from examine_jax.reporting.charts.neighbour_gallery import Neighbours

SHOWN = 3


def likes(
    encoder: Encoder, pixels: Any, choice: TracInPositive, *, anchors: int, seed: int
) -> tuple[Int[np.ndarray, " a"], tuple[Neighbours, Neighbours]]:
    """The first images of a batch [B, H, W, C] and, by TracIn and by feature similarity, the three others of it that score highest.

    The encoder is a BYOL, in evaluation mode; the views are drawn from the seed.

    Raises:
        ValueError: fewer than four images.
    """
    method: Any = encoder.method
    if len(pixels) <= SHOWN:
        raise ValueError(f"{len(pixels)} images are too few for a gallery of {SHOWN} neighbours")
    variables = {"params": encoder.params, **encoder.state}
    batch = {"image": jnp.asarray(pixels), "index": jnp.arange(len(pixels))}
    first, second = two_views.make_views(
        method.augmentation, method.pixels, method.encoder, batch, jax.random.key(seed)
    )
    evidence = scorer_evidence(method, variables, first, second, None)
    shown = np.arange(min(anchors, len(pixels)))
    return shown, (
        _best("TracIn", np.array(choice.scores(evidence)), shown),
        _best("feature similarity", np.array(SimilarPositive().scores(evidence)), shown),
    )


def _best(name: str, scores: np.ndarray, anchors: np.ndarray) -> Neighbours:
    np.fill_diagonal(scores, -np.inf)
    rows = np.argsort(-scores[anchors], axis=1, kind="stable")[:, :SHOWN]
    return Neighbours(name, rows, np.take_along_axis(scores[anchors], rows, axis=1))
