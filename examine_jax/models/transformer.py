"""The pre-norm transformer block of encoders and decoders."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models import layers
from examine_jax.models.mlps import MLP_FORMS
from examine_jax.models.relative_positions import Relative, biases_of
from examine_jax.models.rotary_positions import rotate

# Cosines and sines, [tokens, width] or [batch, 1, tokens, width].
Turns = tuple[Array, Array]
# The parameters that low_rank.py puts beside a dense layer's own.
LOW_RANK_A, LOW_RANK_B, LOW_RANK_FACTOR = "low_rank_a", "low_rank_b", "low_rank_factor"


class Dense(nn.Module):
    """A dense layer that multiplies in `dtype` with float32 parameters.

    Weights start as Xavier-uniform, biases as zero (facebookresearch/mae). Where the parameters
    have a low-rank pair (low_rank.py), its output is added. The outputs are of `dtype`; with
    `wide`, float32: what products of a narrower dtype add up to is not rounded.
    """

    outputs: int
    dtype: Any
    use_bias: bool = True
    wide: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*rows width"]) -> Float[Array, "*rows outputs"]:
        kernel = self.param(
            "kernel", nn.initializers.xavier_uniform(), (x.shape[-1], self.outputs), jnp.float32
        )
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.outputs,), jnp.float32)
        else:
            bias = jnp.zeros((self.outputs,), jnp.float32)
        rows = x.reshape(-1, x.shape[-1]).astype(self.dtype)
        bias = bias.astype(jnp.float32 if self.wide else self.dtype)
        outputs = layers.dense(rows, kernel.astype(self.dtype), bias)
        if self.has_variable("params", LOW_RANK_A):
            a: Array = self.get_variable("params", LOW_RANK_A).astype(self.dtype)
            b: Array = self.get_variable("params", LOW_RANK_B).astype(self.dtype)
            factor: Array = self.get_variable("params", LOW_RANK_FACTOR).astype(self.dtype)
            narrow = (rows @ a * factor).astype(self.dtype)
            outputs = outputs + jnp.matmul(narrow, b, preferred_element_type=outputs.dtype)
        return outputs.reshape(*x.shape[:-1], self.outputs)


class LayerNorm(nn.Module):
    """Layer norm over the last axis, computed in float32. The output has the input's dtype."""

    epsilon: float

    @nn.compact
    def __call__(self, x: Float[Array, "*rows width"]) -> Float[Array, "*rows width"]:
        width = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (width,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (width,), jnp.float32)
        return layers.layer_norm(x.reshape(-1, width), scale, bias, self.epsilon).reshape(x.shape)


class Attention(nn.Module):
    """Multi-head self-attention with one fused product for queries, keys and values.

    Only tokens from index `outputs_from` on have queries and outputs; keys and values come from all
    tokens. A decoder whose loss uses the masked tokens alone so saves the rest of its last block.
    `turns` are the cosines and sines of rotary positions, one row a token. With
    `query_key_epsilon`, each head's queries and keys pass a layer norm first. With `wide`, a
    narrower dtype is that of the products' factors alone: logits and outputs are float32.
    `relative` are relative positions, whose biases the logits get: those of a table of `bias_rows`
    rows, if that is no None, and those that all blocks share. With `inner_epsilon`, a layer norm
    stands before the projection.
    """

    heads: int
    dtype: Any
    qkv_bias: bool = True
    query_key_epsilon: float | None = None
    wide: bool = False
    inner_epsilon: float | None = None
    bias_rows: int | None = None

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        outputs_from: int = 0,
        turns: Turns | None = None,
        relative: Relative | None = None,
    ) -> Float[Array, "batch outputs width"]:
        batch, count, width = tokens.shape
        fused = Dense(3 * width, self.dtype, self.qkv_bias, self.wide, name="qkv")(tokens)

        def heads_first(part: int, first: int) -> Float[Array, "batch heads tokens width"]:
            columns = fused[:, first:, part * width : (part + 1) * width]
            return columns.reshape(batch, count - first, self.heads, width // self.heads).transpose(
                0, 2, 1, 3
            )

        query, key = heads_first(0, outputs_from), heads_first(1, 0)
        if self.query_key_epsilon is not None:
            query = LayerNorm(self.query_key_epsilon, name="query_norm")(query)
            key = LayerNorm(self.query_key_epsilon, name="key_norm")(key)
        if turns is not None:
            query = rotate(
                query, (turns[0][..., outputs_from:, :], turns[1][..., outputs_from:, :])
            )
            key = rotate(key, turns)
        value = heads_first(2, 0)
        query, key, value = (x.astype(self.dtype) for x in (query, key, value))
        if relative is None:
            mixed = layers.attend(query, key, value, self.wide)
        else:
            bias = self._bias(relative)[..., outputs_from:, :]
            mixed = layers.attend_with_bias(query, key, value, bias, self.wide)
        mixed = mixed.transpose(0, 2, 1, 3).reshape(batch, count - outputs_from, width)
        if self.inner_epsilon is not None:
            mixed = LayerNorm(self.inner_epsilon, name="norm")(mixed)
        return Dense(width, self.dtype, wide=self.wide, name="projection")(mixed)

    def _bias(self, relative: Relative) -> Float[Array, "*batch heads tokens tokens"]:
        if self.bias_rows is None:
            assert relative.shared is not None
            return relative.shared
        shape = (self.bias_rows, self.heads)
        table = self.param("relative_bias", nn.initializers.zeros, shape, jnp.float32)
        bias = biases_of(table, relative.rows)
        return bias if relative.shared is None else bias + relative.shared


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    `mlp` is one of MLP_FORMS; "gelu" is the exact (erf) GELU of facebookresearch/mae. `layer_scale`
    is the initial value of a learned factor for each channel of both branches (Touvron et al.,
    arXiv:2103.17239); None: no factor. With `norm_after`, the norms stand after the attention and
    the MLP, x + norm(attention(x)), as in timm's ResPostBlock. `wide` and `bias_rows` are
    Attention's. With `attention_norm` and `mlp_norm`, a norm stands before the last dense layer of
    the attention and of the MLP too.
    """

    heads: int
    mlp_width: int
    epsilon: float
    dtype: Any
    qkv_bias: bool = True
    mlp: str = "gelu"
    layer_scale: float | None = None
    query_key_norm: bool = False
    norm_after: bool = False
    wide: bool = False
    attention_norm: bool = False
    mlp_norm: bool = False
    bias_rows: int | None = None

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        outputs_from: int = 0,
        turns: Turns | None = None,
        relative: Relative | None = None,
    ) -> Float[Array, "batch outputs width"]:
        form, width = MLP_FORMS[self.mlp], tokens.shape[-1]
        attention = Attention(
            self.heads,
            self.dtype,
            self.qkv_bias,
            self.epsilon if self.query_key_norm else None,
            self.wide,
            self.epsilon if self.attention_norm else None,
            self.bias_rows,
            name="attention",
        )
        norm_1, norm_2 = (LayerNorm(self.epsilon, name=f"norm_{i}") for i in (1, 2))
        hidden_width = (2 if form.gated else 1) * self.mlp_width
        expand = Dense(hidden_width, self.dtype, wide=self.wide, name="expand")
        contract = Dense(width, self.dtype, wide=self.wide, name="contract")

        def mlp(x: Float[Array, "batch outputs width"]) -> Float[Array, "batch outputs width"]:
            hidden = form(expand(x))
            if self.mlp_norm:
                hidden = LayerNorm(self.epsilon, name="mlp_norm")(hidden)
            return contract(hidden)

        if self.norm_after:
            attended = norm_1(attention(tokens, outputs_from, turns, relative))
            tokens = tokens[:, outputs_from:] + self._scaled(attended, "scale_1")
            hidden = norm_2(mlp(tokens))
        else:
            attended = attention(norm_1(tokens), outputs_from, turns, relative)
            tokens = tokens[:, outputs_from:] + self._scaled(attended, "scale_1")
            hidden = mlp(norm_2(tokens))
        return tokens + self._scaled(hidden, "scale_2")

    def _scaled(
        self, branch: Float[Array, "batch tokens width"], name: str
    ) -> Float[Array, "batch tokens width"]:
        if self.layer_scale is None:
            return branch
        initialiser = nn.initializers.constant(self.layer_scale)
        return branch * self.param(name, initialiser, branch.shape[-1:], jnp.float32).astype(
            branch.dtype
        )


def block_type(remat: bool) -> Callable[..., Block]:
    """Block; with `remat`, the backward pass computes it again instead of keeping its activations.

    Pass its arguments by position.
    """
    return nn.remat(Block, static_argnums=(2,)) if remat else Block
