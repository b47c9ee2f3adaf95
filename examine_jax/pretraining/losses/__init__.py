"""The methods' losses: functions of embeddings that other code can use on their own."""

from examine_jax.pretraining.losses.contrastive import Directions, decoupled_contrastive, nt_xent
from examine_jax.pretraining.losses.similarity import (
    cosine,
    embedding_deviation,
    negative_cosine,
    normalise,
    normalised_regression,
)
from examine_jax.pretraining.losses.variance_covariance import (
    covariance_penalty,
    invariance,
    variance_hinge,
)

__all__ = [
    "Directions",
    "cosine",
    "covariance_penalty",
    "decoupled_contrastive",
    "embedding_deviation",
    "invariance",
    "negative_cosine",
    "normalise",
    "normalised_regression",
    "nt_xent",
    "variance_hinge",
]
