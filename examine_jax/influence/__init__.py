"""TracIn: which training images a model's predictions come from.

Exact for a whole model's parameters, or in closed form for a last layer's.
"""

from examine_jax.influence.influences import Extremes, InfluenceBlock, Influences
from examine_jax.influence.last_layer import (
    LayerPass,
    cross_entropy_gradients,
    gradient_products,
    last_layer_self_influence,
    last_layer_tracin,
    normalised_regression_gradients,
)
from examine_jax.influence.mislabelled import flip_labels, precision_at
from examine_jax.influence.whole_model import Checkpoint, self_influence, tracin

__all__ = [
    "Checkpoint",
    "Extremes",
    "InfluenceBlock",
    "Influences",
    "LayerPass",
    "cross_entropy_gradients",
    "flip_labels",
    "gradient_products",
    "last_layer_self_influence",
    "last_layer_tracin",
    "normalised_regression_gradients",
    "precision_at",
    "self_influence",
    "tracin",
]
