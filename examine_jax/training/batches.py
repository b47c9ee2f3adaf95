"""The images in the batch of each step: a pure function of (seed, step)."""

import dataclasses
import functools

import jax
import numpy as np

from examine_jax.common.shapes import Int

# Folded into the seed's key, so that the order is independent of masks and augmentation.
_ORDER = 0x6F72


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
        rows = []
        for step in range(first_step, first_step + steps):
            epoch, position = divmod(step, self.steps_per_epoch)
            rows.append(
                self._permutation(epoch)[
                    position * self.batch_size : (position + 1) * self.batch_size
                ]
            )
        return np.stack(rows) if rows else np.zeros((0, self.batch_size), np.int32)

    def _permutation(self, epoch: int) -> Int[np.ndarray, " count"]:
        return _permutation(self.count, self.seed, self.stream, epoch)


@functools.lru_cache(maxsize=4)
def _permutation(count: int, seed: int, stream: int, epoch: int) -> Int[np.ndarray, " count"]:
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _ORDER), stream)
    return np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), count), np.int32)
