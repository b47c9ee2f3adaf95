"""Influences of training images on test images: all of them, or the strongest, a block at a time."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from examine_jax.common.shapes import Float, Int

# Blocks of at most so many training and test images: 32 MiB of float32, whatever the number of images.
TRAIN_BLOCK, TEST_BLOCK = 8192, 1024


class InfluenceBlock(NamedTuple):
    """Influences of training images train_start, ... on test images test_start, ...: [n, m]."""

    train_start: int
    test_start: int
    values: np.ndarray


class Extremes(NamedTuple):
    """For each of M test images the K training images that help and that harm it most, the strongest first (of equals, the first).

    A positive influence helps: a step of gradient descent on the training image lowers the test image's loss.
    """

    helpful: Int[np.ndarray, "m k"]  # row numbers of training images, int64
    helpful_influence: Float[np.ndarray, "m k"]  # descending
    harmful: Int[np.ndarray, "m k"]
    harmful_influence: Float[np.ndarray, "m k"]  # ascending


@dataclasses.dataclass(frozen=True, eq=False)
class Influences:
    """Influences of N training images on M test images, computed when asked for.

    Attributes:
      num_train, num_test: N and M.
      blocks: gives every block once: for a range of test images all ranges of training images in ascending order, then the next range.
    """

    num_train: int
    num_test: int
    blocks: Callable[[], Iterator[InfluenceBlock]]

    def matrix(self) -> Float[np.ndarray, "n m"]:
        """All influences [N, M]. Where that is too much to hold, go through `blocks()` or ask for `extremes`."""
        matrix: np.ndarray | None = None
        for block in self.blocks():
            if matrix is None:
                matrix = np.empty((self.num_train, self.num_test), block.values.dtype)
            rows, columns = block.values.shape
            matrix[block.train_start : block.train_start + rows, block.test_start : block.test_start + columns] = (
                block.values
            )
        return np.empty((self.num_train, self.num_test), np.float32) if matrix is None else matrix

    def extremes(self, k: int) -> Extremes:
        """The k most helpful and the k most harmful training images of each test image; holds M x k of each and a block.

        Raises:
          ValueError: k is not in 1 .. N.
        """
        if not 1 <= k <= self.num_train:
            raise ValueError(
                f"k is {k}, but there are {self.num_train} training images: give k in 1 .. {self.num_train}"
            )
        found: list[Extremes] = []
        best: list[tuple[np.ndarray, np.ndarray]] = []
        for block in self.blocks():
            if block.train_start == 0:
                nothing = (np.empty((block.values.shape[1], 0), np.int64), np.empty((block.values.shape[1], 0)))
                best = [nothing, nothing]
            best = [_merged(*so_far, block, k, sign) for so_far, sign in zip(best, (-1, 1))]
            if block.train_start + len(block.values) == self.num_train:
                found.append(Extremes(*best[0], *best[1]))
        if not found:
            nobody, no_influence = np.empty((0, k), np.int64), np.empty((0, k))
            return Extremes(nobody, no_influence, nobody, no_influence)
        return Extremes(*(np.concatenate(parts) for parts in zip(*found)))


def sum_over_checkpoints(products: Iterable[tuple[float, Any]]) -> np.ndarray:
    """The sum of learning rate * products, of one checkpoint at least, in the products' dtype."""
    total: np.ndarray | None = None
    for rate, product in products:
        weighted = float(rate) * np.asarray(product)  # a NumPy scalar would make float32 products float64
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
    """The k first in the order of sign * influence, of those so far (whose row numbers are lower) and of a block."""
    first = np.empty((block.values.shape[1], min(k, len(block.values))), np.int64)
    for place, influences in zip(first, block.values.T):  # one by one: the order of a whole block is twice its size
        place[:] = np.argsort(sign * influences, kind="stable")[: len(place)]
    rows = np.concatenate([rows, block.train_start + first], axis=1)
    values = np.concatenate([values, np.take_along_axis(block.values.T, first, axis=1)], axis=1)
    order = np.argsort(sign * values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(values, order, axis=1)
