"""The functions of a transformer block, each with a hand-written backward pass.

The backward passes are for speed. Automatic differentiation gives the same gradients, but on a CPU
XLA then copies transposed matrices and keeps a residual for each factor of an activation. Only
reverse mode is supported.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array, Float


def _plain(x: Array, y: Array, dtype: jnp.dtype | None = None) -> Array:
    return lax.dot_general(x, y, (((1,), (0,)), ((), ())), preferred_element_type=dtype)


@jax.custom_vjp
def dense(
    x: Float[Array, "rows width"],
    kernel: Float[Array, "width outputs"],
    bias: Float[Array, " outputs"],
) -> Float[Array, "rows outputs"]:
    """x @ kernel + bias, in the bias's dtype; a wider one keeps the sums of products unrounded.

    The kernel's gradient is computed as x^T g, not (g^T x)^T.
    """
    return _plain(x, kernel, bias.dtype) + bias


def _dense_forward(x: Array, kernel: Array, bias: Array) -> tuple[Array, tuple[Array, Array]]:
    return _plain(x, kernel, bias.dtype) + bias, (x, kernel)


def _dense_backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array, Array]:
    x, kernel = residuals
    narrow = gradient.astype(x.dtype)
    of_x = lax.dot_general(narrow, kernel, (((1,), (1,)), ((), ())))
    of_kernel = lax.dot_general(x, narrow, (((0,), (0,)), ((), ())))
    return of_x, of_kernel, gradient.sum(axis=0)


dense.defvjp(_dense_forward, _dense_backward)


@jax.custom_vjp
def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The exact GELU, x * Phi(x), by erf.

    jax.nn.gelu uses erfc, whose two branches take three times as long on a CPU.
    """
    return x * _normal_cdf(x)


def _normal_cdf(x: Array) -> Array:
    return 0.5 * (1 + lax.erf(x * 0.5**0.5))


def _gelu_forward(x: Array) -> tuple[Array, Array]:
    return x * _normal_cdf(x), x


def _gelu_backward(x: Array, gradient: Array) -> tuple[Array]:
    density = (2 * jnp.pi) ** -0.5 * jnp.exp(-0.5 * x * x)
    return (gradient * (_normal_cdf(x) + x * density),)


gelu.defvjp(_gelu_forward, _gelu_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(
    x: Float[Array, "rows width"],
    scale: Float[Array, " width"],
    bias: Float[Array, " width"],
    epsilon: float,
) -> Float[Array, "rows width"]:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias over the last axis, in float32."""
    return _layer_norm_forward(x, scale, bias, epsilon)[0]


def _layer_norm_forward(
    x: Array, scale: Array, bias: Array, epsilon: float
) -> tuple[Array, tuple[Array, ...]]:
    wide = x.astype(jnp.float32)
    mean = wide.mean(axis=-1, keepdims=True)
    centred = wide - mean
    inverse = lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + epsilon)
    return (centred * inverse * scale + bias).astype(x.dtype), (x, mean, inverse, scale)


def _layer_norm_backward(
    epsilon: float, residuals: tuple[Array, ...], gradient: Array
) -> tuple[Array, Array, Array]:
    x, mean, inverse, scale = residuals
    gradient = gradient.astype(jnp.float32)
    normal = (x.astype(jnp.float32) - mean) * inverse
    scaled = gradient * scale
    along = (
        scaled
        - scaled.mean(axis=-1, keepdims=True)
        - normal * (scaled * normal).mean(axis=-1, keepdims=True)
    )
    return (along * inverse).astype(x.dtype), (gradient * normal).sum(axis=0), gradient.sum(axis=0)


layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)


def _batched(
    x: Array, y: Array, contract_x: int, contract_y: int, dtype: jnp.dtype | None = None
) -> Array:
    dimensions = (((contract_x,), (contract_y,)), ((0, 1), (0, 1)))
    return lax.dot_general(x, y, dimensions, preferred_element_type=dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def attend(
    query: Float[Array, "batch heads queries width"],
    key: Float[Array, "batch heads tokens width"],
    value: Float[Array, "batch heads tokens width"],
    wide: bool = False,
) -> Float[Array, "batch heads queries width"]:
    """softmax(query key^T / sqrt(width)) value, with a float32 softmax.

    `wide`: whether what products of a narrower dtype add up to is float32 too, not rounded.
    """
    return _attend_forward(query, key, value, wide)[0]


def _attend_forward(
    query: Array, key: Array, value: Array, wide: bool
) -> tuple[Array, tuple[Array, ...]]:
    dtype = jnp.dtype(jnp.float32) if wide else None
    products = _batched(query, key, 3, 3, dtype)
    logits = products.astype(jnp.float32) * query.shape[-1] ** -0.5
    exponentials = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
    weights = (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(query.dtype)
    return _batched(weights, value, 3, 2, dtype), (query, key, value, weights)


def _attend_backward(
    wide: bool, residuals: tuple[Array, ...], gradient: Array
) -> tuple[Array, Array, Array]:
    query, key, value, weights = residuals
    gradient = gradient.astype(value.dtype)
    of_value = _batched(weights, gradient, 2, 2)
    of_weights = _batched(gradient, value, 3, 3).astype(jnp.float32)
    of_logits = (
        weights
        * (of_weights - (of_weights * weights).sum(axis=-1, keepdims=True))
        * query.shape[-1] ** -0.5
    )
    of_logits = of_logits.astype(query.dtype)
    return _batched(of_logits, key, 3, 2), _batched(of_logits, query, 2, 2), of_value


attend.defvjp(_attend_forward, _attend_backward)


def attend_with_bias(
    query: Float[Array, "batch heads queries width"],
    key: Float[Array, "batch heads tokens width"],
    value: Float[Array, "batch heads tokens width"],
    bias: Float[Array, "*batch heads queries tokens"],
    wide: bool = False,
) -> Float[Array, "batch heads queries width"]:
    """`attend` with a bias that is added to the logits."""
    dtype = jnp.dtype(jnp.float32) if wide else None
    products = _batched(query, key, 3, 3, dtype)
    logits = products.astype(jnp.float32) * query.shape[-1] ** -0.5 + bias
    weights = jax.nn.softmax(logits, axis=-1).astype(query.dtype)
    return _batched(weights, value, 3, 2, dtype)
