"""Images that are copies of others: equal ones, and nearly equal ones by their hash."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from examine_jax.common.shapes import Bool, Float, Int, UInt8
from examine_jax.quality.descriptors.perceptual_hash import differing_bits
from examine_jax.quality.measures import Columns

# Two hashes of one picture, stored twice, differ in so many of 64 bits at most. If so, one of the
# four quarters of 16 bits is equal in both, by which pairs are found.
_BITS = 3
# Of images with an equal quarter, each is compared with so many that follow in the hash's order.
_COMPARED = 32
# Means, spreads and colour differences of copies differ by so many grey levels at most.
_LEVELS = 6.0
# Where no pixels confirm it: pictures of one part of the body share most bits of their hashes.
_BITS_ALONE, _LEVELS_ALONE = 1, 1.0
_CORRELATION = 0.98
# Below this contrast after a blur of 8 pixels, a hash is of noise alone.
_LEAST_CONTRAST = 3.0


def duplicates_of(
    columns: Columns,
    usable: Bool[np.ndarray, " n"],
    pixels: UInt8[np.ndarray, "n h w c"] | None = None,
) -> Int[np.ndarray, " n"]:
    """The image that is kept in place of each copy, -1 for images that are no copies.

    Two images are copies if their hashes differ in at most 3 of 64 bits, their brightness, contrast
    and colours by at most 6 grey levels, and if their pixels correlate by 0.98. Without pixels, in
    at most 1 bit and 1 grey level. Of a group of copies the first usable one is kept. Turned and
    mirrored copies are not found.

    Args:
        columns: of the descriptions, by name.
        usable: [N].
        pixels: [N, H, W, C] of one size, as for the encoder.
    """
    count = len(usable)
    hashes = np.stack([columns["hash_first"], columns["hash_second"]], axis=1).astype(np.int64)
    first, second = _pairs(hashes)
    names = ("brightness", "contrast", "contrast_blurred", "red_green", "yellow_blue")
    looks = np.stack([columns[name] for name in names], axis=1)
    flat = columns["contrast_blurred"] < _LEAST_CONTRAST
    every = np.stack(list(columns.values()), axis=1)
    equal = (every[first] == every[second]).all(axis=1)
    levels = _LEVELS if pixels is not None else _LEVELS_ALONE
    near = (np.abs(looks[first] - looks[second]) <= levels).all(axis=1)
    if pixels is None:
        near &= differing_bits(hashes[first], hashes[second]) <= _BITS_ALONE
    near &= ~flat[first] & ~flat[second]
    keep = equal | near
    first, second, equal = first[keep], second[keep], equal[keep]
    if pixels is not None and len(first):
        alike = np.array([_alike(pixels[a], pixels[b]) for a, b in zip(first, second)])
        first, second = first[alike], second[alike]
    joined = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    _, group = connected_components(joined, directed=False)
    # The first usable one of each group, or the first.
    order = np.lexsort((np.arange(count), ~usable, group))
    heads = np.ones(count, bool)
    heads[1:] = group[order][1:] != group[order][:-1]
    kept = np.empty(int(group.max()) + 1, np.int64)
    kept[group[order][heads]] = order[heads]
    found = kept[group]
    return np.where(found == np.arange(count), -1, found)


def _pairs(hashes: Int[np.ndarray, "n 2"]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Pairs of rows whose hashes differ in few bits; i < j."""
    quarters = [
        hashes[:, 0] >> 16,
        hashes[:, 0] & 0xFFFF,
        hashes[:, 1] >> 16,
        hashes[:, 1] & 0xFFFF,
    ]
    found = [np.empty((0, 2), np.int64)]
    for quarter in quarters:
        order = np.lexsort((hashes[:, 1], hashes[:, 0], quarter))
        for step in range(1, min(_COMPARED, len(order) - 1) + 1):
            one, other = order[:-step], order[step:]
            same = quarter[one] == quarter[other]
            if not same.any():
                break
            one, other = one[same], other[same]
            close = differing_bits(hashes[one], hashes[other]) <= _BITS
            found.append(np.stack([one[close], other[close]], axis=1))
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _alike(first: UInt8[np.ndarray, "h w c"], second: UInt8[np.ndarray, "h w c"]) -> bool:
    """Whether the pixels are equal or correlate."""
    if np.array_equal(first, second):
        return True
    one, other = (_centred(pixels) for pixels in (first, second))
    scale = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return scale > 0 and float((one * other).sum()) >= _CORRELATION * scale


def _centred(pixels: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    values = pixels.astype(np.float64)
    return values - values.mean(axis=(0, 1))
