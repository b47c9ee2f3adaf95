"""Images of a mini-batch and the nearest others by an encoder: the poster's figure."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Int
from examine_jax.encoders import Encoder
from examine_jax.pretraining import two_views
from examine_jax.pretraining.extra_positives import SimilarPositive, TracInPositive
from examine_jax.pretraining.scorer import scorer_evidence
from examine_jax.reporting.charts.neighbour_galleries import Neighbours

SHOWN = 3


def nearest_in_batch(
    encoder: Encoder, pixels: Any, choice: TracInPositive, *, anchors: int, seed: int
) -> tuple[Int[np.ndarray, " a"], tuple[Neighbours, Neighbours]]:
    """Finds the three nearest others of a batch's first images, by TracIn and by features.

    Args:
        encoder: a BYOL, in evaluation mode.
        pixels: [B, H, W, C].
        choice: how TracIn compares two images.
        anchors: how many of the first images.
        seed: of the views.

    Returns:
        The places of the anchors in the batch, and their nearest images by both measures.

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
