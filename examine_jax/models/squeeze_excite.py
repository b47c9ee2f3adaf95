"""Squeeze and excitation: channels weighted by what the whole map holds.

Source:
    Hu et al., arXiv:1709.01507.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models.transformer import Dense


class SqueezeExcite(nn.Module):
    """x * sigmoid(expand(activation(reduce(mean of x)))); parameters: reduce, expand."""

    hidden: int
    activation: Callable[[Array], Array]
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns width"]
    ) -> Float[Array, "batch rows columns width"]:
        mean = x.astype(jnp.float32).mean(axis=(1, 2))
        hidden = self.activation(Dense(self.hidden, self.dtype, name="reduce")(mean))
        weights = jax.nn.sigmoid(Dense(x.shape[-1], self.dtype, name="expand")(hidden))
        return x * weights[:, None, None, :]
