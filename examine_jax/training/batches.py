"""The images in the batch of each step: a pure function of (seed, step)."""

import dataclasses
import functools
from typing import Protocol, runtime_checkable

import jax
import numpy as np

from examine_jax.common.shapes import Int

# Folded into the seed's key, so that the order is independent of masks and augmentation.
_ORDER = 0x6F72


@runtime_checkable
class Order(Protocol):
    """The rows of each step's batch."""

    @property
    def batch_size(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def indices(self, first_step: int, steps: int) -> Int[np.ndarray, "steps batch"]:
        """The int32 indices of the rows in `steps` batches, from step `first_step` on."""


@dataclasses.dataclass(frozen=True)
class BatchOrder:
    """The order of the images: each epoch is a new permutation, cut into full batches.

    The images that remain at the end of an epoch (fewer than a batch) are left out of that epoch
    only. So every batch has the same shape, and nothing is compiled again. No batch holds an image
    twice, which would harm contrastive losses.

    Attributes:
        count: the number of images.
        batch_size: images per batch, at most count.
        seed: the seed of the run.
        stream: the number of the phase. Phases of one run have different orders.
    """

    count: int
    batch_size: int
    seed: int
    stream: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= self.count:
            raise ValueError(
                f"a batch of {self.batch_size} out of {self.count} images; choose a batch size up "
                f"to {self.count}"
            )

    @property
    def steps_per_epoch(self) -> int:
        return self.count // self.batch_size

    def indices(self, first_step: int, steps: int) -> Int[np.ndarray, "steps batch"]:
        """The int32 indices of the images in `steps` batches, from step `first_step` on."""
        return _batches(self, first_step, steps)

    def epoch(self, number: int) -> Int[np.ndarray, " count"]:
        """All images in the order of an epoch, counted from 0."""
        return _permutation(self.count, self.seed, self.stream, number)


@dataclasses.dataclass(frozen=True)
class RepeatedOrder:
    """An order in which image i occurs repeats[i] times an epoch on average.

    Each epoch draws anew how often an image occurs: floor(r) or ceil(r) times. An epoch always has
    floor(sum of repeats) images; the draw is systematic, so every image occurs r times in
    expectation up to that rounding. A batch may hold an image twice.

    Attributes:
        repeats: for each image, 0 or more. Whole numbers leave nothing to chance but the order.
        batch_size: images per batch, at most an epoch's images.
        seed: the seed of the run.
        stream: the number of the phase.

    Source: Gupta et al., LVIS, arXiv:1908.03195, appendix B: repeat factors, drawn each epoch.
    """

    repeats: tuple[float, ...]
    batch_size: int
    seed: int
    stream: int = 0

    def __post_init__(self) -> None:
        if not all(0 <= repeat < float("inf") for repeat in self.repeats):
            raise ValueError("repeats: give finite numbers, none below 0")
        if not 1 <= self.batch_size <= self.count:
            raise ValueError(
                f"a batch of {self.batch_size} out of {self.count} images an epoch; choose a batch "
                f"size up to {self.count}"
            )

    @property
    def count(self) -> int:
        """The number of images an epoch, repetitions included."""
        return int(np.floor(_total(self.repeats)))

    @property
    def steps_per_epoch(self) -> int:
        return self.count // self.batch_size

    def indices(self, first_step: int, steps: int) -> Int[np.ndarray, "steps batch"]:
        """The int32 indices of the images in `steps` batches, from step `first_step` on."""
        return _batches(self, first_step, steps)

    def epoch(self, number: int) -> Int[np.ndarray, " count"]:
        """All images in the order of an epoch, counted from 0, repetitions included."""
        return _repeated_permutation(self.repeats, self.count, self.seed, self.stream, number)


def _batches(
    order: BatchOrder | RepeatedOrder, first_step: int, steps: int
) -> Int[np.ndarray, "steps batch"]:
    size, rows = order.batch_size, []
    for step in range(first_step, first_step + steps):
        epoch, position = divmod(step, order.steps_per_epoch)
        rows.append(order.epoch(epoch)[position * size : (position + 1) * size])
    return np.stack(rows) if rows else np.zeros((0, size), np.int32)


@functools.lru_cache(maxsize=4)
def _permutation(count: int, seed: int, stream: int, epoch: int) -> Int[np.ndarray, " count"]:
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _ORDER), stream)
    return np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), count), np.int32)


def _total(repeats: tuple[float, ...]) -> float:
    # Repeat factors are often whole numbers or roots: 3 x 1.1 must not end below 3.3.
    return float(np.sum(np.array(repeats, np.float64))) * (1 + 1e-12)


@functools.lru_cache(maxsize=4)
def _repeated_permutation(
    repeats: tuple[float, ...], count: int, seed: int, stream: int, epoch: int
) -> Int[np.ndarray, " count"]:
    """Systematic sampling from the images in random order, then a random order of the draws."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _ORDER), stream)
    first, offset, second = jax.random.split(jax.random.fold_in(key, epoch), 3)
    shuffled = np.asarray(jax.random.permutation(first, len(repeats)), np.int64)
    values = np.array(repeats, np.float64)[shuffled]
    whole = np.floor(values)
    ends = np.cumsum(values - whole)
    # `extra` of the images occur once more: those whose part of [0, ends[-1]) holds a mark.
    extra = count - int(whole.sum())
    marks = (np.arange(extra) + float(jax.random.uniform(offset))) * (ends[-1] / max(extra, 1))
    more = np.zeros(len(values), np.int64)
    np.add.at(more, np.minimum(np.searchsorted(ends, marks, side="right"), len(ends) - 1), 1)
    drawn = np.repeat(shuffled, whole.astype(np.int64) + more)
    found = drawn[np.asarray(jax.random.permutation(second, count))]
    return np.asarray(found, np.int32)
