"""TracIn of a last linear layer in closed form: from its inputs and the gradients at its outputs alone, no gradient of weights.

The layer is y = W a + b. An example's gradient with respect to W is the outer product of g, the loss's gradient at y, and a, so that
the product of two examples' gradients is (g_i . g_j)(a_i . a_j), and (g_i . g_j)(a_i . a_j + 1) with those of b.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax._shapes import Array, Float, Int
from examine_jax.influence.influences import InfluenceBlock, Influences, sum_over_checkpoints

_TRAIN_BLOCK, _TEST_BLOCK = 8192, 1024


class LayerPass(NamedTuple):
    """What a last linear layer saw of N images at one checkpoint."""

    activations: Array | np.ndarray  # [N, inputs], what comes into the layer
    gradients: Array | np.ndarray  # [N, outputs], of each image's loss at what comes out
    learning_rate: float


def gradient_products(
    activations: Float[Array, "n inputs"],
    gradients: Float[Array, "n outputs"],
    other_activations: Float[Array, "m inputs"],
    other_gradients: Float[Array, "m outputs"],
    *,
    bias: bool,
) -> Float[Array, "n m"]:
    """Products of the gradients of the layer's parameters, of every pair of images: (a_i . a_j + 1)(g_i . g_j), + 1 with a bias."""
    alike = jnp.matmul(activations, other_activations.T, precision=lax.Precision.HIGHEST)
    return (alike + 1 if bias else alike) * jnp.matmul(gradients, other_gradients.T, precision=lax.Precision.HIGHEST)


def last_layer_tracin(train: Sequence[LayerPass], test: Sequence[LayerPass], *, bias: bool) -> Influences:
    """TracInCP of the last linear layer's parameters alone: sum over checkpoints of learning rate * `gradient_products`.

    Args:
      train, test: a pass of the training images [N] and one of the test images [M] a checkpoint; the learning rate is read from `train`.
      bias: whether the layer has one.

    Raises:
      ValueError: no checkpoint, or not as many of both.
    """
    if not train or len(train) != len(test):
        raise ValueError(
            f"{len(train)} passes of training images and {len(test)} of test images; give both for each checkpoint"
        )
    num_train, num_test = len(train[0].activations), len(test[0].activations)
    train_rows, test_rows = min(_TRAIN_BLOCK, max(num_train, 1)), min(_TEST_BLOCK, max(num_test, 1))

    def product(trained: LayerPass, tested: LayerPass, train_start: int, test_start: int) -> Array:
        own = (_padded(values, train_start, train_rows) for values in trained[:2])
        other = (_padded(values, test_start, test_rows) for values in tested[:2])
        return _products(*own, *other, bias=bias)

    def blocks() -> Iterator[InfluenceBlock]:
        for test_start in range(0, num_test, test_rows):
            for train_start in range(0, num_train, train_rows):
                total = sum_over_checkpoints(
                    (trained.learning_rate, product(trained, tested, train_start, test_start))
                    for trained, tested in zip(train, test)
                )
                yield InfluenceBlock(train_start, test_start, total[: num_train - train_start, : num_test - test_start])

    return Influences(num_train, num_test, blocks)


def last_layer_self_influence(train: Sequence[LayerPass], *, bias: bool) -> Float[np.ndarray, " n"]:
    """Each image's influence on itself [N]: sum over checkpoints of learning rate * (|a|^2 + 1) |g|^2, + 1 with a bias."""

    def squares(values: Array | np.ndarray) -> np.ndarray:
        values = np.asarray(values)
        return np.einsum("nd,nd->n", values, values)

    return sum_over_checkpoints((rate, (squares(a) + (1 if bias else 0)) * squares(g)) for a, g, rate in train)


def cross_entropy_gradients(logits: Float[Array, "n classes"], labels: Int[Array, " n"]) -> Float[Array, "n classes"]:
    """The gradient at the logits [N, classes] of each image's softmax cross-entropy: probability - one-hot label."""
    return jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)


def normalised_regression_gradients(
    prediction: Float[Array, "n width"], target: Float[Array, "n width"]
) -> Float[Array, "n width"]:
    """The gradient at the prediction q of each image's BYOL loss 2 - 2 cos(q, z): 2(<q, z> q / (|q|^3 |z|) - z / (|q| |z|)); z is constant.

    Zero where q or z is zero.
    """
    tiny = jnp.finfo(prediction.dtype).tiny
    length = jnp.linalg.norm(prediction, axis=1, keepdims=True)
    q = prediction / jnp.maximum(length, tiny)
    z = target / jnp.maximum(jnp.linalg.norm(target, axis=1, keepdims=True), tiny)
    return 2 * ((q * z).sum(axis=1, keepdims=True) * q - z) / jnp.where(length > 0, length, jnp.inf)


_products = jax.jit(gradient_products, static_argnames="bias")


def _padded(values: Array | np.ndarray, start: int, count: int) -> np.ndarray:
    """Rows start .. start + count - 1, zeros where there are no more: one program serves all blocks."""
    part = np.asarray(values[start : start + count])
    padded = np.zeros((count, part.shape[1]), part.dtype)
    padded[: len(part)] = part
    return padded
