"""Runs a network over many images: on all devices, the next batch while one is computed."""

import collections
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from examine_jax.common.shapes import PyTree, Shaped
from examine_jax.training.throughput import peak

_IN_FLIGHT = 2  # batches whose features are not yet fetched
_LARGEST_BATCH = 2048  # images on one device
_SHARE_OF_MEMORY = 0.6  # of what is free; the rest is for fragments and other programs


@dataclasses.dataclass(frozen=True)
class EmbeddingSpeed:
    """How fast images were embedded.

    Attributes:
        images_per_second: from the second batch on, since the first one waits for the compiler;
            None: there was only one.
        share_of_peak: of the devices' peak floating-point rate; None: it is not known.
        batch_size: images at once on each device.
        devices: their number, and their kind.
    """

    images_per_second: float | None
    share_of_peak: float | None
    batch_size: int
    devices: tuple[int, str]

    def __str__(self) -> str:
        count, kind = self.devices
        place = f"{count} x {kind}, {self.batch_size} images at once"
        if self.images_per_second is None:
            return place
        share = "" if self.share_of_peak is None else f", {self.share_of_peak:.0%} of the peak"
        return f"{self.images_per_second:.4g} images/s on {place}{share}"


def run_batches(
    program: Any,
    fixed: tuple[Any, ...],
    variables: PyTree,
    images: Shaped[np.ndarray, "images height width channels"],
    *,
    batch_size: int,
    fill_memory: bool,
    dtype: str,
    devices: Sequence[Any],
    on_progress: Callable[[int, int], None] | None,
    on_speed: Callable[[EmbeddingSpeed], None] | None,
) -> np.ndarray:
    """program(*fixed, variables, batch) over all images.

    The last batch is padded with black images, so that one program serves all batches. A device
    that would have no images is not used.

    Args:
        program: what jax.jit returns; each row of its result comes from one image.
        fixed: its static arguments.
        variables, images: its further arguments; the images in parts.
        batch_size: images at once on each device.
        fill_memory: whether an accelerator takes larger batches, by twos, as its memory allows.
        dtype: of the computation, to know the peak.
        devices: that are used, all of one kind.
        on_progress, on_speed: as in `Encoder.embed`.

    Returns:
        The results, row by row.
    """
    if fill_memory:
        batch_size = _fitting_batch(program, fixed, variables, images, batch_size, devices[0])
    used = list(devices[: max(1, math.ceil(len(images) / batch_size))])
    split = NamedSharding(Mesh(np.array(used), ("batch",)), PartitionSpec("batch"))
    everywhere = NamedSharding(split.mesh, PartitionSpec())
    single = len(used) == 1
    variables = jax.device_put(variables, used[0] if single else everywhere)
    place = used[0] if single else split
    together = batch_size * len(used)
    results: np.ndarray | None = None
    waiting: collections.deque[tuple[int, int, Any]] = collections.deque()
    first: tuple[int, float] | None = None

    def fetch() -> None:
        nonlocal results, first
        start, count, rows = waiting.popleft()
        rows = np.asarray(rows)
        if results is None:
            results = np.zeros((len(images), *rows.shape[1:]), rows.dtype)
        results[start : start + count] = rows[:count]
        if first is None:
            first = (start + count, time.perf_counter())
        if on_progress is not None:
            on_progress(start + count, len(images))

    for start in range(0, len(images), together):
        part = images[start : start + together]
        batch = part
        if len(part) < together:
            batch = np.zeros((together, *images.shape[1:]), images.dtype)
            batch[: len(part)] = part
        waiting.append((start, len(part), program(*fixed, variables, jax.device_put(batch, place))))
        if len(waiting) >= _IN_FLIGHT:
            fetch()
    while waiting:
        fetch()
    if results is None:
        one = jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
        shape = jax.eval_shape(functools.partial(program, *fixed), variables, one)
        results = np.zeros((0, *shape.shape[1:]), np.float32)
    if on_speed is not None:
        rest = None
        if first is not None and len(images) > first[0]:
            rest = (len(images) - first[0]) / (time.perf_counter() - first[1])
        on_speed(_speed(program, fixed, variables, images, rest, batch_size, used, dtype))
    return results


def _speed(
    program: Any,
    fixed: tuple[Any, ...],
    variables: PyTree,
    images: np.ndarray,
    rate: float | None,
    batch_size: int,
    devices: list[Any],
    dtype: str,
) -> EmbeddingSpeed:
    kind = devices[0].device_kind
    most, share = peak(kind, dtype), None
    if most is not None and rate is not None:
        shape = jax.ShapeDtypeStruct((batch_size, *images.shape[1:]), images.dtype)
        analysis = program.lower(*fixed, variables, shape).cost_analysis() or {}
        share = rate * float(analysis.get("flops", math.nan)) / batch_size / (most * len(devices))
    return EmbeddingSpeed(rate, share, batch_size, (len(devices), kind))


def _fitting_batch(
    program: Any,
    fixed: tuple[Any, ...],
    variables: PyTree,
    images: np.ndarray,
    least: int,
    device: Any,
) -> int:
    """`least`, or more on a device that says how much memory it has."""
    memory = device.memory_stats() if device.platform != "cpu" else None
    if not memory or "bytes_limit" not in memory:
        return least
    free = memory["bytes_limit"] - memory.get("bytes_in_use", 0)
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))

    def bytes_of(batch: int) -> int:
        shape = jax.ShapeDtypeStruct((batch, *images.shape[1:]), images.dtype)
        analysis = program.lower(*fixed, variables, shape).compile().memory_analysis()
        return int(
            analysis.temp_size_in_bytes
            + analysis.output_size_in_bytes
            + analysis.argument_size_in_bytes
            - held
        )

    return largest_batch(least, len(images), free - held, bytes_of(least))


def largest_batch(least: int, images: int, free: int, bytes_of_least: int) -> int:
    """`least` doubled as often as memory, the number of images and a bound allow.

    Args:
        least: the smallest batch, which is taken also where it does not fit.
        images: their number.
        free: bytes.
        bytes_of_least: what `least` images take; memory is taken to grow with the batch.
    """
    batch = least
    while (
        2 * batch <= _LARGEST_BATCH
        and batch < images
        and 2 * batch / least * bytes_of_least * _IN_FLIGHT <= _SHARE_OF_MEMORY * free
    ):
        batch *= 2
    return batch
