"""The small networks behind an encoder that self-supervised losses look at: projectors, predictors, expanders."""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float

OutputNorm = Literal["none", "plain", "scaled"]


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """A perceptron: dense, batch norm, ReLU for each width but the last; the last one dense alone, or with a batch norm.

    Attributes:
        widths: outputs of the dense layers; the last one is the head's.
        hidden_bias: whether the hidden dense layers have a bias, which the batch norm after them cancels (BYOL's and VICReg's have one).
        output_bias: whether the last dense layer has a bias.
        output_norm: what follows the last dense layer: "none"; "plain": a batch norm without parameters (SimSiam's projector); "scaled":
            one with a scale and no shift (SimCLR's).
    """

    widths: tuple[int, ...]
    hidden_bias: bool = False
    output_bias: bool = True
    output_norm: OutputNorm = "none"

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"HeadConfig: widths must be one or more positive numbers, got {self.widths}")
        if self.output_norm not in ("none", "plain", "scaled"):
            raise ValueError(f"HeadConfig: output_norm must be 'none', 'plain' or 'scaled', got {self.output_norm!r}")

    def module(self, dtype: str = "float32") -> "Head":
        """The head, computing in `dtype` ("float32" or "bfloat16"); its parameters are float32 always."""
        return Head(self, jnp.dtype(dtype))


class Head(nn.Module):
    """Features [B, F] to embeddings [B, widths[-1]], float32.

    Batch norms keep running averages with a momentum of 0.9, epsilon 1e-5; with train=True they use the batch's own statistics.
    """

    config: HeadConfig
    dtype: Any

    @nn.compact
    def __call__(self, features: Float[Array, "batch features"], *, train: bool = False) -> Float[Array, "batch width"]:
        config = self.config

        def batch_norm(name: str, use_scale: bool = True, use_bias: bool = True) -> nn.BatchNorm:
            return nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                epsilon=1e-5,
                dtype=self.dtype,
                use_scale=use_scale,
                use_bias=use_bias,
                name=name,
            )

        x = features
        for i, width in enumerate(config.widths[:-1]):
            x = nn.Dense(width, use_bias=config.hidden_bias, dtype=self.dtype, name=f"dense_{i}")(x)
            x = nn.relu(batch_norm(f"norm_{i}")(x))
        last = len(config.widths) - 1
        x = nn.Dense(config.widths[-1], use_bias=config.output_bias, dtype=self.dtype, name=f"dense_{last}")(x)
        if config.output_norm != "none":
            x = batch_norm(f"norm_{last}", use_scale=config.output_norm == "scaled", use_bias=False)(x)
        return x.astype(jnp.float32)
