"""Heads that turn features into logits."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from examine_jax.common.shapes import Array, Float


@dataclasses.dataclass(frozen=True)
class ClassifierHead:
    """A head: features to logits.

    Attributes:
        hidden: the width of a hidden layer, followed by batch norm and leaky ReLU; None for a
            single linear layer.
        negative_slope: the slope of the leaky ReLU below zero; the default is PyTorch's.
    """

    hidden: int | None = 512
    negative_slope: float = 0.01

    def module(self, num_classes: int) -> "_Head":
        return _Head(self.hidden, self.negative_slope, num_classes)


PAPER_HEAD = ClassifierHead()
LINEAR_HEAD = ClassifierHead(hidden=None)


class _Head(nn.Module):
    hidden: int | None
    negative_slope: float
    num_classes: int

    @nn.compact
    def __call__(
        self, features: Float[Array, "b d"], *, train: bool = False
    ) -> Float[Array, "b classes"]:
        x = features.astype(jnp.float32)
        if self.hidden is not None:
            # No bias: batch norm cancels it, and Adam would turn the rounding in its gradient
            # into a random walk.
            x = _dense(self.hidden, x.shape[-1], "hidden", use_bias=False)(x)
            x = _BatchNorm(name="norm")(x, train=train)
            x = nn.leaky_relu(x, self.negative_slope)
        return _dense(self.num_classes, x.shape[-1], "logits")(x)


class _BatchNorm(nn.Module):
    """PyTorch's batch norm: its running variance divides by B - 1, where Flax's divides by B."""

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], *, train: bool) -> Float[Array, "b d"]:
        width = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (width,))
        bias = self.param("bias", nn.initializers.zeros, (width,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, width)
        running_variance = self.variable("batch_stats", "var", jnp.ones, width)
        mean, variance = running_mean.value, running_variance.value
        if train:
            if len(x) < 2:
                raise ValueError(
                    "a batch of one image: the probe's batch norm needs two at least; choose a "
                    "larger batch_size"
                )
            mean, variance = x.mean(axis=0), x.var(axis=0)
            running_mean.value = 0.9 * running_mean.value + 0.1 * mean
            running_variance.value = 0.9 * running_variance.value + 0.1 * variance * len(x) / (
                len(x) - 1
            )
        return (x - mean) * (jax.lax.rsqrt(variance + 1e-5) * scale) + bias


def _dense(width: int, inputs: int, name: str, use_bias: bool = True) -> nn.Dense:
    # torch.nn.Linear's initialisation: weights and biases uniform in +-1/sqrt(inputs).
    def uniform(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -(inputs**-0.5), inputs**-0.5)

    return nn.Dense(width, kernel_init=uniform, bias_init=uniform, use_bias=use_bias, name=name)
