"""Influences of training images on test images, computed block by block: all, or the strongest."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from examine_jax.common.shapes import Float, Int

# The largest block: 32 MiB of float32, whatever the number of images.
TRAIN_BLOCK, TEST_BLOCK = 8192, 1024


class InfluenceBlock(NamedTuple):
    """A block of influences.

    Attributes:
        train_start: the block's first training image.
        test_start: the block's first test image.
        values: [n, m].
    """

    train_start: int
    test_start: int
    values: np.ndarray


class Extremes(NamedTuple):
    """For each of M test images, the K training images that help and that harm it most.

    The strongest comes first; of equals the one with the lower number. A positive influence helps:
    a step of gradient descent on the training image lowers the test image's loss.

    Attributes:
        helpful: [M, K] int64, numbers of training images.
        helpful_influence: [M, K], descending.
        harmful: [M, K] int64.
        harmful_influence: [M, K], ascending.
    """

    helpful: Int[np.ndarray, "m k"]
    helpful_influence: Float[np.ndarray, "m k"]
    harmful: Int[np.ndarray, "m k"]
    harmful_influence: Float[np.ndarray, "m k"]


@dataclasses.dataclass(frozen=True, eq=False)
class Influences:
    """Influences of N training images on M test images, computed on demand.

    Attributes:
        num_train: N.
        num_test: M.
        blocks: computes each block once: for a range of test images, all ranges of training images
            in ascending order; then the next range of test images.
    """

    num_train: int
    num_test: int
    blocks: Callable[[], Iterator[InfluenceBlock]]

    def matrix(self) -> Float[np.ndarray, "n m"]:
        """All influences [N, M]. Where they exceed the memory, use `blocks()` or `extremes`."""
        matrix: np.ndarray | None = None
        for block in self.blocks():
            if matrix is None:
                matrix = np.empty((self.num_train, self.num_test), block.values.dtype)
            rows, columns = block.values.shape
            matrix[
                block.train_start : block.train_start + rows,
                block.test_start : block.test_start + columns,
            ] = block.values
        return np.empty((self.num_train, self.num_test), np.float32) if matrix is None else matrix

    def extremes(self, k: int) -> Extremes:
        """The k most helpful and the k most harmful training images of each test image.

        Memory: M x k of each, and a block.

        Raises:
            ValueError: k is not in 1 .. N.
        """
        if not 1 <= k <= self.num_train:
            raise ValueError(
                f"k is {k}, but there are {self.num_train} training images: give k in 1 .. "
                f"{self.num_train}"
            )
        found: list[Extremes] = []
        best: list[tuple[np.ndarray, np.ndarray]] = []
        for block in self.blocks():
            if block.train_start == 0:
                nothing = (
                    np.empty((block.values.shape[1], 0), np.int64),
                    np.empty((block.values.shape[1], 0)),
                )
                best = [nothing, nothing]
            best = [_merged(*so_far, block, k, sign) for so_far, sign in zip(best, (-1, 1))]
            if block.train_start + len(block.values) == self.num_train:
                found.append(Extremes(*best[0], *best[1]))
        if not found:
            nobody, no_influence = np.empty((0, k), np.int64), np.empty((0, k))
            return Extremes(nobody, no_influence, nobody, no_influence)
        return Extremes(*(np.concatenate(parts) for parts in zip(*found)))


def sum_over_checkpoints(products: Iterable[tuple[float, Any]]) -> np.ndarray:
    """The sum of learning rate * products over checkpoints, in the products' dtype.

    Args:
        products: (learning rate, products) of each checkpoint.

    Raises:
        ValueError: there is no checkpoint.
    """
    total: np.ndarray | None = None
    for rate, product in products:
        weighted = float(rate) * np.asarray(product)  # a NumPy scalar would give float64
        if total is None:
            total = weighted
        else:
            total += weighted
    if total is None:
        raise ValueError("there is no checkpoint; give at least one")
    return total


def _merged(
    rows: np.ndarray, values: np.ndarray, block: InfluenceBlock, k: int, sign: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first k in the order of sign * influence, of those so far and of a block.

    Those found so far have lower row numbers.
    """
    first = np.empty((block.values.shape[1], min(k, len(block.values))), np.int64)
    for place, influences in zip(first, block.values.T):  # a whole block's order is twice its size
        place[:] = np.argsort(sign * influences, kind="stable")[: len(place)]
    rows = np.concatenate([rows, block.train_start + first], axis=1)
    values = np.concatenate([values, np.take_along_axis(block.values.T, first, axis=1)], axis=1)
    order = np.argsort(sign * values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(values, order, axis=1)
