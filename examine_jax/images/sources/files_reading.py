"""What loading image files and streaming them have in common."""

import dataclasses
import os
from collections.abc import Iterable, Set

from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.depth import check_bits_stored
from examine_jax.images.decoding.file_part import Place
from examine_jax.images.decoding.intensity import GreyScale
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.resize import checked
from examine_jax.images.decoding.series_windows import Slice, common_windows
from examine_jax.images.image_set import SkippedImage
from examine_jax.images.names import shown
from examine_jax.images.sources.scan import Scan
from examine_jax.images.sources.source import ReadOptions

# What `load_folder` reads unless it is told otherwise.
MAX_PIXELS, MAX_BYTES = 100_000_000, 2**30


def check_no_split(source: str, kind: str, split: str | None) -> None:
    """Refuses a split of a source that has none.

    Args:
        source: its name.
        kind: folder, list or archive.
        split: what was asked for; None: nothing.
    """
    if split is not None:
        raise ValueError(
            f"{shown(source)}: {'an' if kind == 'archive' else 'a'} {kind} has no split {split!r}; "
            f"name the {kind} that holds those images"
        )


def decoder_of(options: ReadOptions, max_pixels: int, max_bytes: int) -> ImageDecoder:
    """The decoder that reads files as the options ask.

    Raises:
        ValueError: the size, the channels or the bits are none.
    """
    check_bits_stored(options.bits_stored)
    return ImageDecoder(
        checked(options.image_size, options.channels),
        options.channels,
        options.bits_stored,
        max_pixels,
        max_bytes,
        Budget(max_pixels),
        GreyScale(options.intensity_range, options.dicom_window),
        options.describe,
        options.slicing,
        options.tiling,
    )


def own_files(places: Iterable[Place]) -> tuple[str, ...]:
    """The path of each place; none where some lie in an archive."""
    found = tuple(places)
    paths = tuple(place for place in found if isinstance(place, str))
    return paths if len(paths) == len(found) else ()


def by_series(decoder: ImageDecoder, slices: Iterable[Slice]) -> ImageDecoder:
    """The decoder that shows the slices of a series by one window."""
    scale = dataclasses.replace(decoder.grey_scale, series=common_windows(slices))
    return dataclasses.replace(decoder, grey_scale=scale)


def in_series(decoder: ImageDecoder, own: Slice | None) -> bool:
    """Whether this decoder shows a slice by its series' window."""
    return own is not None and own.series in decoder.grey_scale.series


def file_names(found: Scan) -> frozenset[str]:
    """The names of all files that a scan lists, read or not."""
    read = frozenset(candidate.name for candidate in found.candidates)
    return read.union(item.name for item in found.skipped)


def image_name(file: str, frame: int, frames: int, taken: Set[str], mark: str = "") -> str:
    """The name of a file's image, which no other image of the source has.

    The only image of a file has the file's name, and others have `file[frame]`; a volume's slice
    has `file?z=17`. Where a file of the source is named so itself, it keeps its name and the frame
    gets a `~2` (or `~3`, ...).

    Args:
        file: the file's name.
        frame: from 0.
        frames: their number in the file.
        taken: as `file_names` gives them.
        mark: of a volume's slice, what follows the file's name in place of a number.
    """
    if frames == 1 and not mark:
        return file
    plain = name = file + (mark or f"[{frame}]")
    count = 1
    while name in taken:
        count += 1
        name = f"{plain}~{count}"
    return name


def beyond_read(
    file: str, images: int, reason: str | None, taken: Set[str]
) -> tuple[SkippedImage, ...]:
    """The entry for images that a file holds after those that are read; none without a reason.

    Args:
        file, taken: as for `image_name`.
        images: that were read, or declared.
        reason: why others are not.
    """
    if reason is None:
        return ()
    return (SkippedImage(image_name(file, images, images + 1, taken), reason),)


def nothing_read(source: str | os.PathLike[str], found: Scan, skipped: list[SkippedImage]) -> str:
    """What was found where no image can be read, as one message."""
    message = f"no readable image in {shown(source)}"
    looked_at = len(skipped) + sum(found.other.values())
    if not looked_at:
        kinds = "PNG, JPEG, TIFF, BMP, WebP, DICOM or NIfTI"
        return f"{message}: it holds no files; name a folder with {kinds} images"
    message += f": looked at {looked_at} file{'s' * (looked_at > 1)}"
    if found.other:
        most = sorted(found.other.items(), key=lambda item: (-item[1], item[0]))[:3]
        listed = ", ".join(f"{count} {shown(suffix)}" for suffix, count in most)
        message += f", not images by name: {listed}"
    if skipped:
        message += f", {len(skipped)} not readable: " + "; ".join(
            f"{shown(item.name)}: {item.reason}" for item in skipped[:3]
        )
    if found.other.keys() & {".npy", ".npz"}:
        message += "; to read an array, name the .npy or .npz file itself"
    return message


def empty_notes(slices: int, volumes: int) -> tuple[str, ...]:
    """What a user should know of slices that are no images, for `ImageSet.notes`."""
    if not slices:
        return ()
    return (f"{slices} slices of {volumes} volumes have one grey throughout and are left out",)


def no_progress(done: int, total: int) -> None:
    """Takes the place of a report that nobody asked for."""
