"""Small networks between an encoder and its loss: projectors, predictors, expanders."""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float

OutputNorm = Literal["none", "plain", "scaled"]


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """A perceptron whose hidden layers are dense, batch norm, ReLU.

    Attributes:
        widths: outputs of the dense layers. The last is the head's.
        hidden_bias: whether hidden dense layers have a bias. The batch norm cancels it (BYOL and
            VICReg have one).
        output_bias: whether the last dense layer has a bias.
        output_norm: what follows the last dense layer: "none"; "plain", a batch norm without
            parameters (SimSiam's projector); "scaled", a batch norm with a scale and no shift
            (SimCLR).
    """

    widths: tuple[int, ...]
    hidden_bias: bool = False
    output_bias: bool = True
    output_norm: OutputNorm = "none"

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(
                f"HeadConfig: widths must be one or more positive numbers, got {self.widths}"
            )
        if self.output_norm not in ("none", "plain", "scaled"):
            raise ValueError(
                "HeadConfig: output_norm must be 'none', 'plain' or 'scaled', got "
                f"{self.output_norm!r}"
            )

    def module(self, dtype: str = "float32") -> "Head":
        """The head's module, computing in `dtype` ("float32" or "bfloat16")."""
        return Head(self, jnp.dtype(dtype))


class Head(nn.Module):
    """Maps features [B, F] to embeddings [B, widths[-1]], float32.

    Batch norms have a momentum of 0.9 and an epsilon of 1e-5. With train=True they use the batch's
    statistics.
    """

    config: HeadConfig
    dtype: Any

    @nn.compact
    def __call__(
        self, features: Float[Array, "batch features"], *, train: bool = False
    ) -> Float[Array, "batch width"]:
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
        x = nn.Dense(
            config.widths[-1], use_bias=config.output_bias, dtype=self.dtype, name=f"dense_{last}"
        )(x)
        if config.output_norm != "none":
            x = batch_norm(
                f"norm_{last}", use_scale=config.output_norm == "scaled", use_bias=False
            )(x)
        return x.astype(jnp.float32)
