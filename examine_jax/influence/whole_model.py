"""TracIn of all of a model's parameters: products of per-example gradients along the training.

Source: Pruthi et al., arXiv:2002.08484.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.byte_order import native
from examine_jax.common.shapes import Array, Float, PyTree
from examine_jax.influence.influences import (
    TEST_BLOCK,
    TRAIN_BLOCK,
    InfluenceBlock,
    Influences,
    sum_over_checkpoints,
)

Loss = Callable[..., Any]
"""loss(params, example) -> scalar, of one example without a batch axis.

Where checkpoints have constants: loss(params, example, constants).
"""


class Checkpoint(NamedTuple):
    """A training checkpoint.

    Attributes:
        params: the parameters that the loss is differentiated in.
        learning_rate: TracInCP's weight of the checkpoint.
        constants: further inputs of the loss that it is not differentiated in, such as batch
            statistics or a frozen part. None: there are none.
    """

    params: PyTree
    learning_rate: float
    constants: PyTree = None


def tracin(
    loss: Loss,
    checkpoints: Sequence[Checkpoint],
    train: PyTree,
    test: PyTree,
    *,
    batch_size: int = 64,
    block_bytes: int = 2**28,
) -> Influences:
    """TracInCP: the influence of training images on test images through all parameters.

        sum over checkpoints of learning rate * grad loss(train image) . grad loss(test image)

    Per-example gradients are exact, by vmap. Influences are float32, or float64 where parameters
    are.
    Two settings bound the memory: `batch_size` for the loss's intermediate results, `block_bytes`
        for
    the gradients and influences that are held. Training gradients are computed once for each block
    of test images, so with many test images more memory means less work.

    Args:
        loss: see `Loss`. It is compiled once for each function object, so reuse the function.
        checkpoints: at least one.
        train: training examples, a pytree of arrays [N, ...]; `loss` takes them without the first
            axis.
        test: test examples, a pytree of arrays [M, ...].
        batch_size: the largest number of images whose gradients are computed at once; fewer where
            their gradients would exceed a quarter of block_bytes.
        block_bytes: gradients and influences held at a time; at least one image's gradients at each
            checkpoint.

    Raises:
        ValueError: there is no checkpoint, batch_size is below 1, or arrays of examples differ in
            length.

    Source: Pruthi et al., arXiv:2002.08484, equation 2.
    """
    _check("tracin", checkpoints, batch_size)
    num_train, num_test = _count(train, "train"), _count(test, "test")
    size = _gradient_bytes(checkpoints)
    # Of the memory, half is for the test images' gradients at every checkpoint, a quarter for a
    # batch of training gradients, a quarter for the influences.
    test_rows = _at_least_one(
        min(num_test, TEST_BLOCK, block_bytes // 2 // (size * len(checkpoints)))
    )
    # 16 bytes each: 8 for an influence, 8 for the sum.
    train_rows = _at_least_one(min(num_train, TRAIN_BLOCK, block_bytes // 4 // (16 * test_rows)))
    test_batch = min(batch_size, test_rows)
    train_batch = _at_least_one(min(batch_size, train_rows, block_bytes // 4 // size))
    test_rows -= test_rows % test_batch
    train_rows -= train_rows % train_batch

    def gradients_held(checkpoint: Checkpoint, start: int, stop: int) -> list[PyTree]:
        # Each batch waits for the one before. Otherwise all batches' intermediate results would be
        # held at once.
        return [
            jax.block_until_ready(_gradients_at(loss, checkpoint, _rows(test, first, test_batch)))
            for first in range(start, stop, test_batch)
        ]

    def influences_of(start: int, held: list[list[PyTree]]) -> np.ndarray:
        examples = _rows(train, start, train_batch)
        return sum_over_checkpoints(
            (
                checkpoint.learning_rate,
                _products(_gradients_at(loss, checkpoint, examples), gradients),
            )
            for checkpoint, gradients in zip(checkpoints, held)
        )

    def blocks() -> Iterator[InfluenceBlock]:
        dtype = jnp.result_type(jnp.float32, *jax.tree.leaves(checkpoints[0].params))
        for test_start in range(0, num_test, test_rows):
            test_stop = min(test_start + test_rows, num_test)
            held = [gradients_held(checkpoint, test_start, test_stop) for checkpoint in checkpoints]
            for train_start in range(0, num_train, train_rows):
                train_stop = min(train_start + train_rows, num_train)
                values = np.empty((train_stop - train_start, test_stop - test_start), dtype)
                for start in range(train_start, train_stop, train_batch):
                    part = values[start - train_start : start - train_start + train_batch]
                    part[:] = influences_of(start, held)[: len(part), : part.shape[1]]
                yield InfluenceBlock(train_start, test_start, values)

    return Influences(num_train, num_test, blocks)


def self_influence(
    loss: Loss,
    checkpoints: Sequence[Checkpoint],
    train: PyTree,
    *,
    batch_size: int = 64,
    block_bytes: int = 2**28,
) -> Float[np.ndarray, " n"]:
    """Each training image's influence on itself [N].

    The sum over checkpoints of learning rate * |gradient|^2.

    Mislabelled images and outliers have the highest values. Arguments and errors are those of
    `tracin`.

    Source: Pruthi et al., arXiv:2002.08484, section 4.1.
    """
    _check("self_influence", checkpoints, batch_size)
    count = _count(train, "train")
    rows = _at_least_one(min(count, batch_size, block_bytes // _gradient_bytes(checkpoints)))
    parts = []
    for start in range(0, count, rows):
        examples = _rows(train, start, rows)
        total = sum_over_checkpoints(
            (one.learning_rate, _squares(loss, one.params, examples, _constants(one)))
            for one in checkpoints
        )
        parts.append(total[: count - start])
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _constants(checkpoint: Checkpoint) -> tuple[PyTree, ...]:
    """The loss's further arguments, none or one."""
    return () if checkpoint.constants is None else (checkpoint.constants,)


def _gradients_at(loss: Loss, checkpoint: Checkpoint, examples: PyTree) -> PyTree:
    return _gradients(loss, checkpoint.params, examples, _constants(checkpoint))


@functools.partial(jax.jit, static_argnums=0)
def _gradients(
    loss: Loss, params: PyTree, examples: PyTree, constants: tuple[PyTree, ...]
) -> PyTree:
    return jax.vmap(lambda example: jax.grad(loss)(params, example, *constants))(examples)


def _products(gradients: PyTree, batches: list[PyTree]) -> np.ndarray:
    """Products of a batch's gradients with those of other batches, side by side."""
    return np.concatenate([np.asarray(_product(gradients, others)) for others in batches], axis=1)


@jax.jit
def _product(gradients: PyTree, others: PyTree) -> Float[Array, "n m"]:
    products = [
        jnp.matmul(_flat(a), _flat(b).T, precision=lax.Precision.HIGHEST)
        for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(others))
    ]
    return functools.reduce(jnp.add, products)


@functools.partial(jax.jit, static_argnums=0)
def _squares(
    loss: Loss, params: PyTree, examples: PyTree, constants: tuple[PyTree, ...]
) -> Float[Array, " n"]:
    own = jax.tree.leaves(_gradients(loss, params, examples, constants))
    return functools.reduce(jnp.add, [jnp.square(_flat(leaf)).sum(axis=1) for leaf in own])


def _flat(leaf: Float[Array, "n *parameter"]) -> Float[Array, "n size"]:
    """One row an example, in float32 at least: products of half precision overflow."""
    return leaf.reshape(len(leaf), -1).astype(jnp.promote_types(leaf.dtype, jnp.float32))


def _check(name: str, checkpoints: Sequence[Checkpoint], batch_size: int) -> None:
    if not checkpoints:
        raise ValueError(f"{name}: there is no checkpoint; give at least one")
    if batch_size < 1:
        raise ValueError(f"{name}: batch_size is {batch_size}; give 1 at least")


def _gradient_bytes(checkpoints: Sequence[Checkpoint]) -> int:
    """Bytes of one image's gradient at one checkpoint."""
    return _at_least_one(
        sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(checkpoints[0].params))
    )


def _at_least_one(number: int) -> int:
    return max(number, 1)


def _count(examples: PyTree, name: str) -> int:
    lengths = {len(leaf) for leaf in jax.tree.leaves(examples)}
    if len(lengths) != 1:
        raise ValueError(
            f"{name}: the arrays of the examples have lengths {sorted(lengths)}; give one row an "
            "example in each"
        )
    return lengths.pop()


def _rows(examples: PyTree, start: int, count: int) -> PyTree:
    """Rows start .. start + count - 1, then the first rows again: all blocks share one program."""

    def of(leaf: Any) -> np.ndarray:
        part = native(np.asarray(leaf[start : start + count]))
        missing = count - len(part)
        return part if not missing else np.concatenate([part, np.asarray(leaf[:missing])])

    return jax.tree.map(of, examples)
