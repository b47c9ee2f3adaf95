"""Training, validation and test images of a set, split anew for every seed."""

import dataclasses

import numpy as np

from examine_jax.common.shapes import Int
from examine_jax.labelled.sets import LabelledImages
from examine_jax.labelled.splits import check_split, stratified_split
from examine_jax.studies.low_resource.settings import LowResourceSettings


@dataclasses.dataclass(frozen=True, eq=False)
class LowResourceSplit:
    """Row numbers of a seed's training, validation and test images."""

    training: Int[np.ndarray, " t"]
    validation: Int[np.ndarray, " v"]
    test: Int[np.ndarray, " e"]


def divide(
    set_name: str, images: LabelledImages, settings: LowResourceSettings, seed: int
) -> LowResourceSplit:
    """Splits a set for one seed: every class in every part, groups whole.

    Raises:
        ValueError: a class has too few images or groups for three parts, or the training images are
            fewer than the largest batch or not more than k. The message names the set and the
            class.
    """
    groups = images.groups if settings.keep_groups else None
    classes = np.array(images.classes)[images.labels]
    try:
        parts = stratified_split(classes, groups, shares=settings.shares, seed=seed)
        check_split(parts, classes, groups)
    except ValueError as error:
        raise ValueError(f"{set_name}: {error}") from error
    count, largest = len(parts[0]), settings.batches_on(set_name)[-1]
    if count < largest:
        raise ValueError(
            f"{set_name}: a batch of {largest} out of {count} training images (seed {seed}); give "
            "smaller batch sizes"
        )
    if count <= settings.k:
        raise ValueError(
            f"{set_name}: k is {settings.k}, and there are {count} training images (seed {seed}): "
            "all would vote, whatever the features; "
            "give a smaller k"
        )
    return LowResourceSplit(*parts)


def check_set(
    set_name: str, images: LabelledImages, settings: LowResourceSettings
) -> dict[int, LowResourceSplit]:
    """Checks a set before anything is written or trained; returns its split for each seed.

    Raises:
        ValueError: the name is no folder's name, or the images' size or channels are not the
            encoder's; as `divide`.
    """
    if not set_name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{set_name!r} is no name for a set: take letters, digits, - and _")
    encoder = settings.chosen().encoder
    wanted = (encoder.image_size, encoder.image_size, encoder.channels)
    if images.pixels.shape[1:] != wanted:
        raise ValueError(
            f"{set_name}: images are {images.pixels.shape[1:]}, the encoder takes {wanted}; read "
            "them so"
        )
    return {seed: divide(set_name, images, settings, seed) for seed in settings.seeds}
