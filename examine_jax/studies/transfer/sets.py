"""The pool and the held-out images of a seed, the images with labels, and the source's images."""

import dataclasses
import hashlib

import numpy as np

from examine_jax.common.shapes import Int, UInt8
from examine_jax.labelled.sets import LabelledImages
from examine_jax.labelled.splits import check_split, stratified_split
from examine_jax.studies.transfer.settings import TransferSettings


@dataclasses.dataclass(frozen=True, eq=False)
class TransferSplit:
    """Row numbers of a seed's parts.

    Attributes:
        pool: all images that a training may see.
        test: the held-out images.
        labelled: by share, those of the pool whose labels are known; ascending shares contain each
            other.
    """

    pool: Int[np.ndarray, " p"]
    test: Int[np.ndarray, " t"]
    labelled: dict[float, Int[np.ndarray, " k"]]


def divide(images: LabelledImages, settings: TransferSettings, seed: int) -> TransferSplit:
    """Splits the images for one seed: every class in both parts, groups whole.

    Raises:
        ValueError: a class has too few images or groups, or the held-out images are one group.
    """
    classes = np.array(images.classes)[images.labels]
    shares = (1 - settings.test_share, settings.test_share)
    parts = stratified_split(classes, images.groups, shares=shares, seed=seed)
    check_split(parts, classes, images.groups)
    pool, test = parts
    if images.groups is not None and len(np.unique(images.groups[test])) < 2:
        raise ValueError(
            f"the held-out images of seed {seed} are all of group "
            f"{images.groups[test][0]}: an interval over groups needs two at least; give more "
            "groups, or a larger test_share"
        )
    order = pool[label_order(images.labels[pool], seed)]
    least = len(images.classes)
    return TransferSplit(
        pool,
        test,
        {share: order[: max(round(share * len(pool)), least)] for share in settings.shares},
    )


def label_order(labels: Int[np.ndarray, " p"], seed: int) -> Int[np.ndarray, " p"]:
    """Returns the places of a pool's images in the order in which they get labels.

    The first images are one of each class. Every beginning of the order has the classes' shares, as
    near as whole images allow.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        own = shuffled[labels[shuffled] == label]
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
        place[own[0]] = -1
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def shared_images(first: UInt8[np.ndarray, "n h w c"], other: UInt8[np.ndarray, "m h w c"]) -> int:
    """Returns how many images of `first` are in `other` too, pixel for pixel."""
    known = {_digest(image) for image in other}
    return sum(_digest(image) in known for image in first)


def _digest(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
