"""Smaller learning rates for earlier layers of an encoder.

Source:
    Bao et al., BEiT, arXiv:2106.08254; the layers are numbered as in timm.
"""

import jax
import optax

from examine_jax.common.shapes import PyTree
from examine_jax.models.layer_numbers import layer_numbers


def scale_by_layer(decay: float) -> optax.GradientTransformation:
    """Multiplies each update by decay ** (last layer - layer).

    After an optimiser, this equals a learning rate of each layer's own, weight decay included.

    Args:
        decay: in (0, 1].
    """

    def init(params: PyTree) -> optax.EmptyState:
        layer_numbers(params)  # refuses a network without numbered blocks
        return optax.EmptyState()

    def update(
        updates: PyTree, state: optax.EmptyState, params: PyTree | None = None
    ) -> tuple[PyTree, optax.EmptyState]:
        numbers, last = layer_numbers(updates)
        scaled = jax.tree.map(
            lambda leaf, number: leaf * decay ** (last - number), updates, numbers
        )
        return scaled, state

    return optax.GradientTransformation(init, update)
