"""TracIn: influence as the gradients' products along the training (Pruthi et al., arXiv:2002.08484)."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax._shapes import Array, Float, PyTree
from examine_jax.influence.influences import InfluenceBlock, Influences, sum_over_checkpoints

Loss = Callable[[Any, Any], Any]
"""loss(params, example) -> scalar, of one example without a batch axis.

What must not count (batch statistics, a frozen part) is closed over, or is among the params behind lax.stop_gradient: its gradient is zero.
"""


class Checkpoint(NamedTuple):
    """A moment of the training: its parameters and its learning rate (TracInCP's weight)."""

    params: PyTree
    learning_rate: float


def tracin(
    loss: Loss, checkpoints: Sequence[Checkpoint], train: PyTree, test: PyTree, *, block_bytes: int = 2**28
) -> Influences:
    """TracInCP: sum over checkpoints of learning rate * gradient of loss(train image) . gradient of loss(test image), equation 2.

    Gradients are exact, one an example, by vmap. A block of them takes `block_bytes` at most (but one example's at least); training
    gradients are computed once for every block of test images, so more memory is less work where test images are many.

    Args:
      loss: see `Loss`. A function that is kept compiles once.
      checkpoints: at least one.
      train, test: examples: pytrees of arrays [N, ...] and [M, ...], as `loss` takes them without the first axis.
      block_bytes: of gradients held at a time.

    Raises:
      ValueError: no checkpoint, or arrays of examples that differ in length.
    """
    if not checkpoints:
        raise ValueError("tracin: there is no checkpoint; give at least one")
    num_train, num_test = _count(train, "train"), _count(test, "test")
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(checkpoints[0].params))
    test_rows = max(1, min(num_test, block_bytes // 2 // max(size * len(checkpoints), 1)))
    train_rows = max(1, min(num_train, block_bytes // 2 // max(size, 1)))

    def blocks() -> Iterator[InfluenceBlock]:
        for test_start in range(0, num_test, test_rows):
            tested = _rows(test, test_start, test_rows)
            held = [_gradients(loss, checkpoint.params, tested) for checkpoint in checkpoints]
            for train_start in range(0, num_train, train_rows):
                trained = _rows(train, train_start, train_rows)
                total = sum_over_checkpoints(
                    (rate, _products(loss, params, trained, gradients))
                    for (params, rate), gradients in zip(checkpoints, held)
                )
                yield InfluenceBlock(train_start, test_start, total[: num_train - train_start, : num_test - test_start])

    return Influences(num_train, num_test, blocks)


def self_influence(
    loss: Loss, checkpoints: Sequence[Checkpoint], train: PyTree, *, block_bytes: int = 2**28
) -> Float[np.ndarray, " n"]:
    """Each training image's influence on itself [N]: sum over checkpoints of learning rate * |gradient|^2.

    Mislabelled images and outliers stand at the top (section 4.1). Arguments and errors as in `tracin`.
    """
    if not checkpoints:
        raise ValueError("self_influence: there is no checkpoint; give at least one")
    count = _count(train, "train")
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(checkpoints[0].params))
    rows = max(1, min(count, block_bytes // max(size, 1)))
    parts = []
    for start in range(0, count, rows):
        examples = _rows(train, start, rows)
        total = sum_over_checkpoints((rate, _squares(loss, params, examples)) for params, rate in checkpoints)
        parts.append(total[: count - start])
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


@functools.partial(jax.jit, static_argnums=0)
def _gradients(loss: Loss, params: PyTree, examples: PyTree) -> PyTree:
    return jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, examples)


@functools.partial(jax.jit, static_argnums=0)
def _products(loss: Loss, params: PyTree, examples: PyTree, gradients: PyTree) -> Float[Array, "n m"]:
    own = _gradients(loss, params, examples)
    products = [
        jnp.matmul(a.reshape(len(a), -1), b.reshape(len(b), -1).T, precision=lax.Precision.HIGHEST)
        for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(gradients))
    ]
    return functools.reduce(jnp.add, products)


@functools.partial(jax.jit, static_argnums=0)
def _squares(loss: Loss, params: PyTree, examples: PyTree) -> Float[Array, " n"]:
    own = jax.tree.leaves(_gradients(loss, params, examples))
    return functools.reduce(jnp.add, [jnp.square(leaf.reshape(len(leaf), -1)).sum(axis=1) for leaf in own])


def _count(examples: PyTree, name: str) -> int:
    lengths = {len(leaf) for leaf in jax.tree.leaves(examples)}
    if len(lengths) != 1:
        raise ValueError(
            f"{name}: the arrays of the examples have lengths {sorted(lengths)}; give one row an example in each"
        )
    return lengths.pop()


def _rows(examples: PyTree, start: int, count: int) -> PyTree:
    """Rows start .. start + count - 1; the first ones again where there are no more, so that one program serves all blocks."""

    def of(leaf: Any) -> np.ndarray:
        part = np.asarray(leaf[start : start + count])
        missing = count - len(part)
        return part if not missing else np.concatenate([part, np.asarray(leaf[:missing])])

    return jax.tree.map(of, examples)
