"""Smaller learning rates for earlier layers of an encoder.

Source:
    Bao et al., BEiT, arXiv:2106.08254; the layers are numbered as in timm.
"""

import jax
import optax

from examine_jax.common.shapes import PyTree
from examine_jax.models.layer_numbers import layer_numbers


def with_layer_decay(
    optimiser: optax.GradientTransformation, decay: float | None
) -> optax.GradientTransformation:
    """An optimiser whose learning rate is smaller in earlier layers; None: the optimiser itself.

    Raises:
        ValueError: decay is not above 0 and at most 1.
    """
    if decay is None:
        return optimiser
    if not 0 < decay <= 1:
        raise ValueError(f"layer_decay must be above 0 and at most 1, got {decay}")
    return optax.chain(optimiser, scale_by_layer(decay))


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
