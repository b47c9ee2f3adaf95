"""Images in a .npy file or .npz archive."""

import dataclasses
import math
import os
from collections.abc import Callable, Iterator

import numpy as np

from examine_jax.common.shapes import Float, Shaped, UInt8
from examine_jax.images.decoding.depth import (
    bits_that_hold,
    check_bits_stored,
    float_full_scale,
    float_note,
    float_problem,
    integer_problem,
    to_bytes,
)
from examine_jax.images.decoding.describing import Describe, described_here, stacked
from examine_jax.images.decoding.parallel import in_order, most_threads
from examine_jax.images.decoding.resize import (
    ImageSize,
    check_size,
    is_smaller,
    luma,
    resize_bytes,
    resize_values,
)
from examine_jax.images.image_set import ImageSet
from examine_jax.images.names import shown
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.sources.stored_array import StoredArray, stored_arrays
from examine_jax.images.streamed_images import StreamedImages

# MedMNIST's keys are {split}_images and {split}_labels.
SPLITS = ("train", "val", "test")

# Images that are read ahead of those that are resized: in bytes, and at most.
_AHEAD_BYTES, _MOST_AHEAD = 2**28, 512


@dataclasses.dataclass(frozen=True)
class ArraySource:
    """A .npy file or .npz archive."""

    on_demand: bool = False

    def recognises(self, name: str) -> bool:
        return os.path.splitext(name)[1].lower() in (".npy", ".npz") and os.path.exists(name)

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        return load_array(
            name,
            image_size=options.image_size,
            channels=options.channels,
            split=options.split,
            bits_stored=options.bits_stored,
            on_progress=options.on_progress,
            describe=options.describe,
        )

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        raise ValueError(f"{shown(name)} is read whole; load it with load_images")


def load_array(
    path: str | os.PathLike[str],
    *,
    image_size: ImageSize,
    channels: int = 3,
    split: str | None = None,
    bits_stored: int | None = None,
    max_pixels: int = 100_000_000,
    max_bytes: int = 2**35,
    on_progress: Callable[[int, int], None] | None = None,
    describe: Describe | None = None,
) -> ImageSet:
    """Reads images from a .npy file or .npz archive. Unpickles nothing.

    The file is read in this process, without the limits of `load_folder` on time and memory. What
    its headers declare is held to what is there before anything is allocated, and it is read in
    blocks; but all images of a small archive that inflates to `max_bytes` are read.

    The array is `[N, H, W]` (grey), `[N, H, W, C]` or `[N, C, H, W]` with C = 1 or 3; a shape that
    could be either is refused. An archive has MedMNIST's keys (`train_images`, `val_images`,
    `test_images`, with `_labels`) or exactly one array that looks like images. Names are
    `train[12]`, `key[12]`, or `stem[12]` for a .npy file.

    uint8 values are kept; Boolean become 0 and 255. Other integers and floats become 8 bits by the
    rule for a folder's deep images (images/decoding/depth.py). Resizing and channels are as in
    `load_folder`.

    Args:
        path: the file.
        image_size: (rows, columns) of the result; one number: a square.
        channels: 1 (grey) or 3 (colour).
        split: one of MedMNIST's splits; None: all that are there, in the order train, val, test.
        bits_stored: as in `load_folder`; values that do not fit are an error here.
        max_pixels: images with more pixels are an error.
        max_bytes: a bound on the memory of images and labels, both as stored and as returned.
        on_progress: called as `on_progress(images done, images in all)`.
        describe: as in `load_images`. The scale of values of more than 8 bits is the file's.

    Returns:
        The images, with their labels where the archive has MedMNIST's keys.

    Raises:
        ValueError: no images, or several arrays that could be (the message lists keys and shapes);
            pickled objects, damage, truncation, NaN or infinity (the message names the rows),
            values out of range, or more than `max_pixels` or `max_bytes`.
        OSError: the file cannot be opened.
    """
    size = check_size(image_size, channels)
    check_bits_stored(bits_stored)
    arrays = stored_arrays(path)
    chosen = _chosen(path, arrays, split)
    stacks = [_ImageStack.of(array) for array in chosen]
    if len({stack.image_shape for stack in stacks}) > 1:
        shapes = ", ".join(f"{array.key} {array.shape}" for array in chosen)
        raise ValueError(
            f"{shown(path)}: its splits hold images of different shapes ({shapes}); load one with "
            "split="
        )
    stored_size = stacks[0].image_shape[:2]
    if math.prod(stored_size) > max_pixels:
        raise ValueError(
            f"{chosen[0]}: images of {stored_size[1]} x {stored_size[0]} pixels, more than "
            f"max_pixels={max_pixels}"
        )
    total = sum(array.shape[0] for array in chosen)
    labels = _stored_labels(arrays, chosen)
    needed = max(sum(array.nbytes for array in chosen), total * math.prod(size) * channels)
    needed += sum(array.nbytes for array in labels)
    if needed > max_bytes:
        raise ValueError(
            f"{shown(path)}: its images take {needed} bytes, more than max_bytes={max_bytes}; "
            "raise that, or split the "
            "file"
        )
    bits_stored, full_scale, notes = _full_scale(stacks, bits_stored)

    pixels = np.empty((total, *size, channels), np.uint8)
    descriptions: list[Float[np.ndarray, " numbers"]] = []

    def convert(
        image: Shaped[np.ndarray, "height width stored"],
    ) -> tuple[UInt8[np.ndarray, "rows columns kept"], Float[np.ndarray, " numbers"] | None]:
        if describe is None:
            return resized(image), None
        whole = image if image.dtype == np.uint8 else to_bytes(image, full_scale)
        return resized(image), described_here(describe, np.ascontiguousarray(whole))

    def resized(
        image: Shaped[np.ndarray, "height width stored"],
    ) -> UInt8[np.ndarray, "rows columns kept"]:
        if image.dtype == np.uint8 and image.shape[-1] <= channels:
            return resize_bytes(image, image_size)
        values: Float[np.ndarray, "height width stored"] = image.astype(np.float32)
        if image.shape[-1] > channels:
            values = luma(values)
        return to_bytes(resize_values(values, image_size), full_scale)

    if on_progress:
        on_progress(0, total)
    images = (image for stack in stacks for block in stack.blocks() for image in block)
    ahead = _AHEAD_BYTES // max(1, chosen[0].nbytes // chosen[0].shape[0])
    at_once = min(max(ahead, most_threads() + 1), _MOST_AHEAD)
    for row, (image, description) in enumerate(in_order(convert, images, at_once)):
        pixels[row] = image
        if description is not None:
            descriptions.append(description)
        if on_progress:
            on_progress(row + 1, total)
    return ImageSet(
        names=tuple(f"{_name(array)}[{row}]" for array in chosen for row in range(array.shape[0])),
        pixels=pixels,
        resized_up=total if is_smaller(stored_size, image_size) else 0,
        labels=_labels(labels),
        bits_stored=bits_stored,
        notes=notes,
        descriptions=None if describe is None else stacked(descriptions),
        stored_sizes=np.full((total, 2), stored_size, np.int32),
    )


@dataclasses.dataclass(frozen=True)
class _ImageStack:
    """A stored array as images `[N, H, W, C]`."""

    array: StoredArray
    channels_first: bool

    @classmethod
    def of(cls, array: StoredArray) -> "_ImageStack":
        _check_values(array)
        shape = array.shape
        if len(shape) == 3 and shape[-1] in (1, 3, 4):
            raise ValueError(
                f"{array}: shape {shape} looks like one image [H, W, C]; images are [N, H, W] or "
                "[N, H, W, C], so stack "
                "them"
            )
        if len(shape) not in (3, 4):
            raise ValueError(
                f"{array}: shape {shape}; images are [N, H, W], [N, H, W, C] or [N, C, H, W]"
            )
        if 0 in shape:
            raise ValueError(f"{array}: shape {shape} holds no pixels")
        last, first = len(shape) == 3 or shape[3] in (1, 3), len(shape) == 4 and shape[1] in (1, 3)
        if last and first:
            raise ValueError(
                f"{array}: shape {shape} could be [N, H, W, C] or [N, C, H, W]; crop or pad it so "
                "that one of them is not"
            )
        if not last and not first:
            raise ValueError(
                f"{array}: shape {shape} has neither 1 nor 3 channels; drop the others, say "
                "images[..., :3]"
            )
        return cls(array, channels_first=first)

    @property
    def image_shape(self) -> tuple[int, ...]:
        shape = self.array.shape[1:]
        return (*shape[1:], shape[0]) if self.channels_first else (*shape[:2], *(shape[2:] or (1,)))

    def blocks(self) -> Iterator[Shaped[np.ndarray, "rows height width stored"]]:
        for block in self.array.blocks():
            images = (
                np.moveaxis(block, 1, -1)
                if self.channels_first
                else block.reshape(len(block), *self.image_shape)
            )
            yield images.astype(np.uint8) * np.uint8(255) if images.dtype == np.bool_ else images


def _check_values(array: StoredArray) -> None:
    if array.dtype.hasobject:
        raise ValueError(
            f"{array}: an array of pickled Python objects (images of mixed shapes, perhaps), which "
            "is not read because "
            "unpickling runs code; save one numeric array [N, H, W, C], or the images as files in "
            "a folder"
        )
    if array.dtype.kind not in "buif":
        raise ValueError(f"{array}: dtype {array.dtype}; images are integers, floats or Booleans")


def _looks_like_images(array: StoredArray) -> bool:
    return array.dtype.hasobject or (array.dtype.kind in "buif" and len(array.shape) in (3, 4))


def _chosen(
    path: str | os.PathLike[str], arrays: tuple[StoredArray, ...], split: str | None
) -> list[StoredArray]:
    by_key = {array.key: array for array in arrays}
    splits = [name for name in SPLITS if f"{name}_images" in by_key]
    if split is not None:
        if split not in splits:
            there = (
                f"there are {', '.join(splits)}"
                if splits
                else "it has none (keys like train_images)"
            )
            raise ValueError(f"{shown(path)}: no split {split!r}; {there}")
        splits = [split]
    if splits:
        return [by_key[f"{name}_images"] for name in splits]
    if len(arrays) == 1:
        return list(arrays)
    images = [array for array in arrays if _looks_like_images(array)]
    if len(images) != 1:
        held = ", ".join(
            f"{shown(array.key or '')} {array.shape} {array.dtype}" for array in arrays[:12]
        )
        count = (
            f"{len(images)} arrays that could be images"
            if images
            else "no array that could be images"
        )
        raise ValueError(
            f"{shown(path)}: {count}, among {held}; keep one [N, H, W, C], or MedMNIST's keys "
            "(train_images, ...)"
        )
    return images


def _name(array: StoredArray) -> str:
    if array.key is None:
        return shown(os.path.splitext(os.path.basename(array.path))[0])
    return (
        array.key.removesuffix("_images")
        if array.key.removesuffix("_images") in SPLITS
        else array.key
    )


def _full_scale(
    stacks: list[_ImageStack], bits_stored: int | None
) -> tuple[int | None, float, tuple[str, ...]]:
    """(bits stored, the value of white, notes) of all stacks. Reads all but bytes for it."""
    kinds = {
        stack.array.dtype.kind if stack.array.dtype.itemsize > 1 else "byte" for stack in stacks
    }
    if kinds <= {"byte"} and all(stack.array.dtype.kind in "bu" for stack in stacks):
        return None, 255.0, ()
    if len({stack.array.dtype for stack in stacks}) > 1:
        raise ValueError(
            f"{shown(stacks[0].array.path)}: its splits differ in dtype; save them in one, or load "
            "one with split="
        )
    ranges = [_range(stack.array) for stack in stacks]
    smallest, largest = min(low for low, _ in ranges), max(high for _, high in ranges)
    where = shown(stacks[0].array.path)
    if stacks[0].array.dtype.kind == "f":
        if problem := float_problem(smallest, largest):
            raise ValueError(f"{where}: {problem}")
        try:
            full_scale = float_full_scale(largest)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        return None, full_scale, float_note(full_scale, largest)
    if problem := integer_problem(int(smallest), int(largest), bits_stored):
        raise ValueError(f"{where}: {problem}")
    bits_stored = bits_stored or bits_that_hold(int(largest))
    return bits_stored, 2.0**bits_stored - 1, ()


def _range(array: StoredArray) -> tuple[float, float]:
    """The smallest and largest value.

    Raises:
        ValueError: there are NaN or infinity; the message names the rows.
    """
    smallest, largest = math.inf, -math.inf
    bad: list[int] = []
    start = 0
    for block in array.blocks():
        rows = block.reshape(len(block), -1)
        low, high = rows.min(axis=1), rows.max(axis=1)  # NaN in a row makes both NaN.
        finite = np.isfinite(low) & np.isfinite(high)
        bad += (start + np.flatnonzero(~finite)).tolist()
        if finite.any():
            smallest, largest = (
                min(smallest, float(low[finite].min())),
                max(largest, float(high[finite].max())),
            )
        start += len(block)
    if bad:
        more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise ValueError(
            f"{array}: NaN or infinity in rows {', '.join(map(str, bad[:10]))}{more}; drop or "
            "repair those images"
        )
    return smallest, largest


def _stored_labels(arrays: tuple[StoredArray, ...], chosen: list[StoredArray]) -> list[StoredArray]:
    """The `_labels` beside the chosen `_images`; none unless all have them."""
    by_key = {array.key: array for array in arrays if array.key is not None}
    beside = [
        by_key.get(f"{array.key.removesuffix('_images')}_labels")
        for array in chosen
        if array.key is not None
    ]
    found = [labels for labels in beside if labels is not None and not labels.dtype.hasobject]
    if len(found) < len(chosen):
        return []
    if (
        any(labels.shape[:1] != array.shape[:1] for labels, array in zip(found, chosen))
        or len({labels.shape[1:] for labels in found}) > 1
    ):
        shapes = ", ".join(f"{array.key} {array.shape}" for array in found)
        raise ValueError(
            f"{shown(chosen[0].path)}: its labels do not fit its images: {shapes}; give one row "
            "for each image"
        )
    return found


def _labels(stored: list[StoredArray]) -> Shaped[np.ndarray, "images ..."] | None:
    """Labels as one array; a single column becomes `[N]`."""
    if not stored:
        return None
    labels = np.concatenate([array.whole() for array in stored])
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
