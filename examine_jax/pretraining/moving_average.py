"""A moving average of parameters whose decay rises over training, as BYOL's target network."""

import dataclasses

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, PyTree, Shaped


@dataclasses.dataclass(frozen=True)
class MovingAverage:
    """average <- decay average + (1 - decay) parameters.

    At the k-th update decay = 1 - (1 - start) (cos(pi k / steps) + 1) / 2: it rises from `start` at
    k = 0 to 1 at k = steps, where the average no longer changes.

    Attributes:
        start: the first decay; 0.99 for 100 to 300 epochs of ImageNet, 0.996 for 1000
            (deepmind-research).
        steps: the length of the whole training.

    Source: Grill et al., arXiv:2006.07733, section 3.2.
    """

    start: float
    steps: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= 1:
            raise ValueError(f"MovingAverage: start must lie between 0 and 1, got {self.start}")
        if self.steps < 1:
            raise ValueError(f"MovingAverage: steps must be at least 1, got {self.steps}")

    def decay(self, updates: Shaped[Array, ""]) -> Float[Array, ""]:
        """The decay after that many updates (0 at the first one), float32.

        It is 1 from `steps` on.
        """
        progress = jnp.minimum(updates, self.steps) / self.steps
        return 1 - (1 - self.start) * (jnp.cos(jnp.pi * progress) + 1) / 2

    def update(self, average: PyTree, params: PyTree, updates: Shaped[Array, ""]) -> PyTree:
        """Moves the average towards the parameters, which have the same tree."""
        share = 1 - self.decay(updates)
        return jax.tree.map(lambda old, new: old + share * (new - old), average, params)
