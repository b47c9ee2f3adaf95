"""Exact nearest neighbours in feature space, and classification by them, in bounded memory."""

import dataclasses
import functools
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import Array, Float, Int, Num, Shaped
from examine_jax.features.centring import largest_entry, near_mean, power_of_two_scale
from examine_jax.labelled.class_codes import class_codes

# A block of distances is 16 MiB, whatever the number of images. Larger ones are slow on CPUs, whose
# allocators return them to the system and fetch them again.
_TRAIN_BLOCK = 1024
_QUERY_BLOCK = 2048

# Rows of integers of so many bits are compared exactly by cosine: the square of a product of two
# such rows fits in float64.
_SHORT_BITS = 10

Metric = Literal["euclidean", "cosine"]


@runtime_checkable
class Voting(Protocol):
    """What near means, and how much each neighbour's vote weighs: a frozen dataclass.

    `votes` takes distances or cosines [M, k], nearest first, and returns weights [M, k]; only their
    ratios within a row matter.
    """

    @property
    def metric(self) -> Metric: ...

    def votes(self, nearness: Float[np.ndarray, "m k"]) -> Float[np.ndarray, "m k"]: ...


@dataclasses.dataclass(frozen=True)
class UniformEuclidean:
    """Each neighbour has one vote; nearest by Euclidean distance (scikit-learn's default)."""

    metric: ClassVar[Metric] = "euclidean"

    def votes(self, nearness: Float[np.ndarray, "m k"]) -> Float[np.ndarray, "m k"]:
        """Ones."""
        return np.ones(nearness.shape, np.float32)


@dataclasses.dataclass(frozen=True)
class WeightedCosine:
    """Each neighbour votes exp(cosine / temperature); nearest by cosine.

    Attributes:
        temperature: positive.

    Source: Wu et al., arXiv:1805.01978, section 3.4.
    """

    metric: ClassVar[Metric] = "cosine"
    temperature: float = 0.07

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(
                f"WeightedCosine: temperature must be positive, got {self.temperature}"
            )

    def votes(self, nearness: Float[np.ndarray, "m k"]) -> Float[np.ndarray, "m k"]:
        """exp(cosine / temperature), up to a factor a row."""
        # Relative to the nearest neighbour's cosine: weights stay finite at any small temperature.
        return np.exp((nearness - nearness[:, :1]) / np.float32(self.temperature))


def knn_predict(
    train_features: Num[Array | np.ndarray, "n d"],
    train_labels: Int[Array | np.ndarray, " n"],
    features: Num[Array | np.ndarray, "m d"],
    *,
    k: int = 200,
    num_classes: int,
    voting: Voting = UniformEuclidean(),
) -> Int[np.ndarray, " m"]:
    """The class with the most votes among the k nearest training images; the lowest wins ties.

    Arguments, memory and errors are those of `knn_scores`.

    Returns:
        [M] int32.
    """
    scores = knn_scores(
        train_features, train_labels, features, k=k, num_classes=num_classes, voting=voting
    )
    return scores.argmax(axis=1).astype(np.int32)


def knn_scores(
    train_features: Num[Array | np.ndarray, "n d"],
    train_labels: Int[Array | np.ndarray, " n"],
    features: Num[Array | np.ndarray, "m d"],
    *,
    k: int = 200,
    num_classes: int,
    voting: Voting = UniformEuclidean(),
) -> Float[np.ndarray, "m num_classes"]:
    """Each class's share of the votes of the k nearest training images.

    Memory: the arguments, blocks of fixed size and 24 M k bytes. No N x M array is made.

    Args:
        train_features: [N, D], finite.
        train_labels: [N] classes from 0 to num_classes - 1.
        features: [M, D], finite.
        k: how many neighbours vote; 200 in the papers. Of training images at the same distance, the
            first ones are taken.
        num_classes: the number of classes.
        voting: the metric, and the weight of a neighbour's vote.

    Returns:
        [M, num_classes] float32; rows sum to 1.

    Raises:
        ValueError: k is not in 1 .. N; the features differ in width or are not finite; there is not
            one valid label a row.
    """
    labels = class_codes(train_labels, len(train_features), num_classes)
    scores = np.zeros((len(features), num_classes), np.float32)
    nearest, nearness = nearest_neighbours(train_features, features, k=k, metric=voting.metric)
    votes = voting.votes(nearness)
    rows = np.arange(len(features))
    for neighbour in range(k):
        scores[rows, labels[nearest[:, neighbour]]] += votes[:, neighbour]
    return scores / scores.sum(axis=1, keepdims=True)


def nearest_neighbours(
    train_features: Num[Array | np.ndarray, "n d"],
    features: Num[Array | np.ndarray, "m d"],
    *,
    k: int,
    metric: Metric = "euclidean",
) -> tuple[Int[np.ndarray, "m k"], Float[np.ndarray, "m k"]]:
    """The k nearest training rows of each row, nearest first.

    Of equally near ones the lower index comes first: of equal rows, of rows of one direction under
    "cosine", and of rows of small integers at one distance or angle, which are compared exactly.
    Everything is computed in float64, which holds features of any dtype. Near-copies are
    distinguished down to 1e-6 of the features' standard deviation, and a common offset costs no
    digits.

    Args:
        train_features: [N, D], finite.
        features: [M, D], finite.
        k: how many neighbours.
        metric: "euclidean": distances, ascending. "cosine": cosines, descending. A row of zeros has
            cosine 0 with every row; the neighbours of a query of zeros are the first k rows.

    Returns:
        Indices [M, k] int32, and distances or cosines [M, k] float32 (inf beyond float32's range).

    Raises:
        ValueError: k is not in 1 .. N; the features differ in width or are not finite.
    """
    count, width = train_features.shape
    if features.shape[1] != width:
        raise ValueError(
            f"training features are {width} wide, the others {features.shape[1]}: embed both with "
            "one encoder"
        )
    if not 1 <= k <= count:
        raise ValueError(f"k is {k}, but there are {count} training images: give k in 1 .. {count}")
    largest = max(
        largest_entry(train_features, "training features"), largest_entry(features, "features")
    )
    scale = power_of_two_scale(largest)
    mean = np.zeros(width) if metric == "cosine" else near_mean(train_features, scale)
    train_block, query_block = min(_TRAIN_BLOCK, count), min(_QUERY_BLOCK, max(len(features), 1))
    starts = range(0, len(features), query_block)
    prepared = functools.partial(_block, mean=mean, scale=scale, unit=metric == "cosine")
    merge = _merge_on_cpu if jax.default_backend() == "cpu" else _merge
    with jax.enable_x64(True):
        best: list[tuple[Any, Any]] = [
            (np.full((query_block, k), -np.inf), np.zeros((query_block, k), np.int32))
            for _ in starts
        ]
        for first in range(0, count, train_block):
            rows = on_device(prepared(train_features, first, train_block))
            for place, start in enumerate(starts):
                queries = on_device(prepared(features, start, query_block))
                values = _values(
                    queries, rows, min(train_block, count - first), cosine=metric == "cosine"
                )
                best[place] = merge(*best[place], values, first)
    indices = np.empty((len(features), k), np.int32)
    nearness = np.empty((len(features), k), np.float32)
    for (near, found), start in zip(best, starts):
        stop = min(start + query_block, len(features))
        unsorted, own = np.asarray(near)[: stop - start], np.asarray(found)[: stop - start]
        # Stable: the indices of equal ones are in ascending order already.
        order = np.argsort(-unsorted, axis=1, kind="stable")
        indices[start:stop] = np.take_along_axis(own, order, axis=1)
        sorted_values = np.take_along_axis(unsorted, order, axis=1)
        squares = np.square(prepared(features, start, query_block)[: stop - start]).sum(
            axis=1, keepdims=True
        )
        if metric == "euclidean":
            sorted_values = np.sqrt(np.maximum(squares - sorted_values, 0)) / scale
        else:
            cosines = np.sqrt(np.abs(sorted_values) / np.where(squares > 0, squares, 1))
            sorted_values = np.sign(sorted_values) * np.minimum(cosines, 1)
        with np.errstate(over="ignore"):
            nearness[start:stop] = sorted_values
    return indices, nearness


@functools.partial(jax.jit, static_argnames="cosine")
def _values(
    queries: Float[Array, "q d"],
    rows: Float[Array, "t d"],
    valid: Int[Array, ""] | int,
    *,
    cosine: bool,
) -> Float[Array, "q t"]:
    """Nearness, larger for nearer rows: |q|^2 cosine |cosine|, or |q|^2 - distance^2.

    It is -inf from row `valid` on. |q| is the same for all rows of a query, so it does not change
    their order. The cosine's square needs no root, so that equal cosines of small integers are
    quotients of integers and come out equal.
    """
    products = jnp.matmul(queries, rows.T, precision=lax.Precision.HIGHEST)
    squares = jnp.square(rows).sum(axis=1)
    if cosine:
        values = products * jnp.abs(products) / jnp.where(squares > 0, squares, 1)
    else:
        values = 2 * products - squares
    return jnp.where(jnp.arange(len(rows)) < valid, values, -jnp.inf)


@functools.partial(jax.jit, donate_argnums=(0, 1))
def _merge(
    near: Float[Array, "q k"],
    indices: Int[Array, "q k"],
    values: Float[Array, "q t"],
    first: Int[Array, ""] | int,
) -> tuple[Float[Array, "q k"], Int[Array, "q k"]]:
    """The k best of those found so far and of training rows first .. first + t - 1.

    Of equals, the lower indices are kept, in ascending order.
    """
    # Those found so far have lower indices and come first; top_k returns the first of equals.
    best, place = lax.top_k(jnp.concatenate([near, values], axis=1), near.shape[1])
    place = place.astype(jnp.int32)
    found = jnp.take_along_axis(indices, jnp.minimum(place, near.shape[1] - 1), axis=1)
    return best, jnp.where(
        place < near.shape[1], found, (first + place - near.shape[1]).astype(jnp.int32)
    )


def _merge_on_cpu(
    near: Shaped[np.ndarray, "q k"],
    indices: Shaped[np.ndarray, "q k"],
    values: Float[Array, "q t"],
    first: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Like `_merge`, but not sorted. XLA's top_k of float64 is slower on CPUs than the products."""
    (count, k), entries = near.shape, np.asarray(values)
    # A row as near as the k-th has a higher index, so it is not taken.
    row, column = np.nonzero(entries > near.min(axis=1, keepdims=True))
    entering = np.bincount(row, minlength=count)
    place = k + np.arange(len(row)) - np.repeat(np.cumsum(entering) - entering, entering)
    pool = np.full((count, k + entering.max(initial=0)), -np.inf)
    pool[:, :k], pool[row, place] = near, entries[row, column]
    own = np.zeros(pool.shape, np.int32)
    own[:, :k], own[row, place] = indices, first + column
    least = np.partition(pool, -k, axis=1)[:, [-k]]
    chosen, equal = pool > least, pool == least
    chosen |= equal & (np.cumsum(equal, axis=1) <= k - chosen.sum(axis=1, keepdims=True))
    return pool[chosen].reshape(count, k), own[chosen].reshape(count, k)


def _block(
    features: Shaped[Array | np.ndarray, "n d"],
    start: int,
    size: int,
    *,
    mean: np.ndarray,
    scale: float,
    unit: bool,
) -> np.ndarray:
    """Rows start .. start + size - 1, scaled, less the mean. Float64. Zeros after the last row.

    If `unit`, a row's largest entry is between 1/2 and 1 in size: rows of small integers are only
    multiplied by a power of two, all others are divided by that entry, so that rows of one
    direction become equal.
    """
    rows = np.asarray(features[start : start + size])
    block = np.zeros((size, rows.shape[1]))
    block[: len(rows)] = rows.astype(np.float64) * scale - mean
    if unit:
        largest = np.abs(block).max(axis=1, keepdims=True)
        block = np.ldexp(block, -np.frexp(largest)[1])
        whole = block * 2.0**_SHORT_BITS
        long = (whole != np.rint(whole)).any(axis=1)
        block[long] /= np.abs(block[long]).max(axis=1, keepdims=True)
    return block
