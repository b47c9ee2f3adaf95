"""The forms of a transformer block's MLP: an activation, or a gate."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float
from examine_jax.models.layers import gelu


@dataclasses.dataclass(frozen=True)
class MLPForm:
    """What stands between an MLP's two dense layers.

    Attributes:
        activation: the function of the hidden values, or of the gate.
        gated: whether the first dense layer is twice as wide. The hidden values are then
            activation(first half) * second half.
    """

    activation: Callable[[Array], Array]
    gated: bool = False

    def __call__(self, hidden: Float[Array, "*rows values"]) -> Float[Array, "*rows width"]:
        if not self.gated:
            return self.activation(hidden)
        gate, values = jnp.split(hidden, 2, axis=-1)
        return self.activation(gate) * values


def gelu_tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """GELU by tanh (Hendrycks and Gimpel, arXiv:1606.08415); differs from `gelu` by up to 5e-4."""
    return jax.nn.gelu(x, approximate=True)


def quick_gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x * sigmoid(1.702 x), as OpenAI's CLIP has it; differs from `gelu` by up to 0.02."""
    return x * jax.nn.sigmoid(1.702 * x)


# A new form is a line here. The gated ones are Shazeer's (arXiv:2002.05202).
MLP_FORMS: dict[str, MLPForm] = {
    "gelu": MLPForm(gelu),
    "gelu_tanh": MLPForm(gelu_tanh),
    "quick_gelu": MLPForm(quick_gelu),
    "silu": MLPForm(jax.nn.silu),
    "relu": MLPForm(jax.nn.relu),
    "swiglu": MLPForm(jax.nn.silu, gated=True),
    "geglu": MLPForm(gelu, gated=True),
    "geglu_tanh": MLPForm(gelu_tanh, gated=True),
}
