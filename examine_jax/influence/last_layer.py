"""TracIn of a last linear layer in closed form, from its inputs and the gradients at its outputs.

The layer is y = W a + b. An example's gradient with respect to W is the outer product of g, the
loss's gradient at y, and a. So the product of two examples' gradients is (g_i . g_j)(a_i . a_j),
and with the gradients of b it is (g_i . g_j)(a_i . a_j + 1). No gradient of W is computed.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.byte_order import native
from examine_jax.common.shapes import Array, Float, Int
from examine_jax.influence.influences import (
    TEST_BLOCK,
    TRAIN_BLOCK,
    InfluenceBlock,
    Influences,
    sum_over_checkpoints,
)


class LayerPass(NamedTuple):
    """A last linear layer's inputs and output gradients for N images at one checkpoint.

    Attributes:
        activations: [N, inputs], the layer's inputs.
        gradients: [N, outputs], gradients of each image's loss at the layer's outputs.
        learning_rate: TracInCP's weight of the checkpoint.
    """

    activations: Array | np.ndarray
    gradients: Array | np.ndarray
    learning_rate: float


def gradient_products(
    activations: Float[Array, "n inputs"],
    gradients: Float[Array, "n outputs"],
    other_activations: Float[Array, "m inputs"],
    other_gradients: Float[Array, "m outputs"],
    *,
    bias: bool,
) -> Float[Array, "n m"]:
    """Products of the layer's parameter gradients of every pair of images: (a_i . a_j)(g_i . g_j).

    With a bias, (a_i . a_j + 1)(g_i . g_j). In float32 at least: products of half precision
    overflow.
    """

    def products(values: Array, others: Array) -> Array:
        wide = jnp.result_type(values, others, jnp.float32)
        return jnp.matmul(
            values.astype(wide), others.astype(wide).T, precision=lax.Precision.HIGHEST
        )

    alike = products(activations, other_activations)
    return (alike + 1 if bias else alike) * products(gradients, other_gradients)


def last_layer_tracin(
    train: Sequence[LayerPass], test: Sequence[LayerPass], *, bias: bool
) -> Influences:
    """TracInCP of the last linear layer's parameters alone.

    That is the sum over checkpoints of learning rate * `gradient_products`.

    Args:
        train: a pass of the N training images for each checkpoint; its learning rates are used.
        test: a pass of the M test images for each checkpoint.
        bias: whether the layer has a bias.

    Raises:
        ValueError: there is no checkpoint; train and test differ in number; passes differ in their
            number of images, or in the layer's width.
    """
    if not train or len(train) != len(test):
        raise ValueError(
            f"{len(train)} passes of training images and {len(test)} of test images; give both for "
            "each checkpoint"
        )
    num_train, num_test = _count(train, "training"), _count(test, "test")
    for place, (trained, tested) in enumerate(zip(train, test)):
        widths = [
            (np.shape(one.activations)[1], np.shape(one.gradients)[1]) for one in (trained, tested)
        ]
        if widths[0] != widths[1]:
            raise ValueError(
                f"checkpoint {place}: the layer has {widths[0][0]} inputs and {widths[0][1]} "
                "outputs for the training images, "
                f"{widths[1][0]} and {widths[1][1]} for the test images; give passes of one layer"
            )
    train_rows, test_rows = min(TRAIN_BLOCK, max(num_train, 1)), min(TEST_BLOCK, max(num_test, 1))

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
                yield InfluenceBlock(
                    train_start,
                    test_start,
                    total[: num_train - train_start, : num_test - test_start],
                )

    return Influences(num_train, num_test, blocks)


def last_layer_self_influence(train: Sequence[LayerPass], *, bias: bool) -> Float[np.ndarray, " n"]:
    """Each image's influence on itself [N].

    The sum over checkpoints of learning rate * |a|^2 |g|^2; with a bias, of
    learning rate * (|a|^2 + 1) |g|^2. In float32 at least.

    Raises:
        ValueError: there is no checkpoint, or passes differ in their number of images.
    """
    _count(train, "training")

    def squares(values: Array | np.ndarray) -> np.ndarray:
        values = np.asarray(values)
        return np.einsum(
            "nd,nd->n", values, values, dtype=np.promote_types(values.dtype, np.float32)
        )

    return sum_over_checkpoints(
        (rate, (squares(a) + (1 if bias else 0)) * squares(g)) for a, g, rate in train
    )


def cross_entropy_gradients(
    logits: Float[Array, "n classes"], labels: Int[Array, " n"]
) -> Float[Array, "n classes"]:
    """The gradient of each image's softmax cross-entropy: probability - one-hot label.

    Args:
        logits: [N, classes].
        labels: [N], from 0 to classes - 1.

    Returns:
        [N, classes].

    Raises:
        ValueError: there is not one label an image, or a label is outside 0 .. classes - 1. Under
            jit, where values are unknown, the rows of such labels are NaN.
    """
    count, num_classes = logits.shape
    if labels.shape != (count,):
        raise ValueError(
            f"labels {list(labels.shape)} for {count} images: give one class an image, [{count}]"
        )
    outside = (labels < 0) | (labels >= num_classes)
    if not isinstance(outside, jax.core.Tracer) and outside.any():
        row = int(jnp.argmax(outside))
        raise ValueError(
            f"label {labels[row]} of row {row} is outside 0 .. {num_classes - 1} "
            f"({int(outside.sum())} such rows): "
            "leave unlabelled images out"
        )
    one_hot = jax.nn.one_hot(labels, num_classes, dtype=logits.dtype)
    return jnp.where(outside[:, None], jnp.nan, jax.nn.softmax(logits) - one_hot)


def normalised_regression_gradients(
    prediction: Float[Array, "n width"], target: Float[Array, "n width"]
) -> Float[Array, "n width"]:
    """The gradient of each image's BYOL loss 2 - 2 cos(q, z) at the prediction q; z is constant.

        2 (<q, z> q / (|q|^3 |z|) - z / (|q| |z|))

    Zero where q or z is zero.

    Args:
        prediction: [N, width] q.
        target: [N, width] z.

    Returns:
        [N, width].
    """
    tiny = jnp.finfo(prediction.dtype).tiny
    length = jnp.linalg.norm(prediction, axis=1, keepdims=True)
    q = prediction / jnp.maximum(length, tiny)
    z = target / jnp.maximum(jnp.linalg.norm(target, axis=1, keepdims=True), tiny)
    return 2 * ((q * z).sum(axis=1, keepdims=True) * q - z) / jnp.where(length > 0, length, jnp.inf)


_products = jax.jit(gradient_products, static_argnames="bias")


def _count(passes: Sequence[LayerPass], name: str) -> int:
    """The number of images, which all passes share."""
    for place, one in enumerate(passes):
        activations, gradients = np.shape(one.activations), np.shape(one.gradients)
        if len(activations) != 2 or len(gradients) != 2 or activations[0] != gradients[0]:
            raise ValueError(
                f"checkpoint {place}: activations {list(activations)} and gradients "
                f"{list(gradients)} of {name} images; "
                "give a row an image in both"
            )
    counts = [len(one.activations) for one in passes]
    if len(set(counts)) > 1:
        raise ValueError(
            f"the passes are of {counts} {name} images; give the same images at each checkpoint"
        )
    return counts[0] if counts else 0


def _padded(values: Array | np.ndarray, start: int, count: int) -> np.ndarray:
    """Rows start .. start + count - 1, then zeros, so that all blocks share one program."""
    part = native(np.asarray(values[start : start + count]))
    padded = np.zeros((count, part.shape[1]), part.dtype)
    padded[: len(part)] = part
    return padded
