"""Image files that a scan has found, read into memory."""

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.decoding.chosen_slices import series_notes
from examine_jax.images.decoding.decoded_image import DecodedImage
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.depth import (
    bits_that_hold,
    float_full_scale,
    float_note,
    to_bytes,
)
from examine_jax.images.decoding.describing import stacked
from examine_jax.images.decoding.file_part import Place, path_of
from examine_jax.images.decoding.intensity import (
    Intensities,
    scale_notes,
    shared_scales,
)
from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.resize import is_smaller
from examine_jax.images.decoding.series_windows import Slice, window_notes
from examine_jax.images.decoding.slice_stacks import VolumeRemarks
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.image_set import ImageSet, SkippedImage
from examine_jax.images.names import shown
from examine_jax.images.sources.files_reading import (
    MAX_BYTES,
    MAX_PIXELS,
    beyond_read,
    by_series,
    decoder_of,
    empty_notes,
    file_names,
    image_name,
    in_series,
    no_progress,
    nothing_read,
)
from examine_jax.images.sources.scan import Scan
from examine_jax.images.sources.series_slices import with_series
from examine_jax.images.sources.slide_tiles import with_tiles
from examine_jax.images.sources.source import ReadOptions


def load_files(
    scan: Callable[[str], Scan],
    source: str | os.PathLike[str],
    options: ReadOptions,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> ImageSet:
    """Reads the image files of a folder, a list or an archive, as `load_folder` states.

    Args:
        scan: finds the files of a source by its name.
        source: its name.
        options: as in `load_images`.
        max_pixels, max_bytes: as in `load_folder`.

    Raises:
        ValueError, OSError: as `load_folder`, or as `scan` raises.
    """
    decoder = decoder_of(options, max_pixels, max_bytes)
    bits_stored, size, channels = decoder.bits_stored, options.size, decoder.channels
    found = scan(os.fspath(source))
    protected = ProtectedDecoder.of(decoder)
    found = with_series(with_tiles(found, protected), protected)
    total = len(found.candidates)
    pixels = np.empty((total, *size, channels), np.uint8)
    names: list[str] = []
    skipped = list(found.skipped)
    taken = file_names(found)
    deep: dict[int, DecodedImage] = {}  # Row -> an image that waits for the folder's full scale.
    sharing: dict[int, tuple[DecodedImage, Intensities]] = {}  # Row -> one that shares a scale.
    descriptions: list[Float[np.ndarray, " numbers"]] = []
    slices: dict[int, tuple[Place, int, Slice]] = {}  # Row -> place and frame, and what it says.
    stored_sizes: list[tuple[int, int]] = []
    remarks: dict[str, VolumeRemarks] = {}
    resized_up = empty = with_empty = 0
    report = options.on_progress or no_progress
    report(0, total)
    places = [candidate.place for candidate in found.candidates]
    with contextlib.closing(protected.frames(places)) as results:
        for done, (candidate, result) in enumerate(zip(found.candidates, results), 1):
            if isinstance(result, UnreadableImage):
                skipped.append(SkippedImage(candidate.name, str(result)))
            else:
                count = len(result.images)
                empty += result.empty
                with_empty += result.empty > 0
                if result.remarks is not None:
                    remarks[candidate.name] = result.remarks
                declared = result.declared or count
                skipped += beyond_read(candidate.name, declared, result.beyond, taken)
                if count > 1:  # Growing in place copies nothing.
                    pixels.resize((len(pixels) + count - 1, *pixels.shape[1:]), refcheck=False)
                for frame, image in enumerate(result.images):
                    row = len(names)
                    mark = result.marks[frame] if result.marks else ""
                    number = result.frames[frame] if result.frames else frame
                    name = image_name(candidate.name, number, declared, taken, mark)
                    if isinstance(image, UnreadableImage):
                        skipped.append(SkippedImage(name, str(image)))
                        continue
                    names.append(name)
                    if image.description is not None:
                        descriptions.append(image.description)
                    stored_sizes.append(image.stored_size)
                    resized_up += is_smaller(image.stored_size, decoder.image_size)
                    if image.slice is not None:
                        slices[row] = candidate.place, frame, image.slice
                    if image.intensities is not None:
                        sharing[row] = image, image.intensities
                    elif image.pixels.dtype == np.uint8:
                        pixels[row] = image.pixels
                    else:
                        deep[row] = image
            report(done, total)
    skipped.sort(key=lambda item: item.name)
    if not names:
        raise ValueError(nothing_read(source, found, skipped))
    integers = {row: image for row, image in deep.items() if image.pixels.dtype == np.uint16}
    if integers:
        bits_stored = bits_stored or bits_that_hold(
            int(max(image.largest for image in integers.values()))
        )
    else:
        bits_stored = None
    largest_float = max(
        (image.largest for row, image in deep.items() if row not in integers), default=0.0
    )
    try:
        floats_full_scale = float_full_scale(largest_float)
    except ValueError as error:
        row = next(
            row
            for row, image in deep.items()
            if row not in integers and image.largest == largest_float
        )
        raise ValueError(f"{shown(source)}: {shown(names[row])}: {error}") from error
    for row, image in deep.items():
        pixels[row] = to_bytes(
            image.pixels,
            2.0**bits_stored - 1 if bits_stored and row in integers else floats_full_scale,
        )
    shown_by = by_series(decoder, [own for _, _, own in slices.values()])
    again = {
        row: (place, frame)
        for row, (place, frame, own) in slices.items()
        if in_series(shown_by, own)
    }
    for row, image in zip(again, _decoded_again(shown_by, list(again.values()))):
        sharing.pop(row, None)
        pixels[row] = image.pixels
    scales = shared_scales(intensities for _, intensities in sharing.values())
    for row, (image, intensities) in sharing.items():
        pixels[row] = intensities.to_bytes(image.pixels, scales[intensities.shared_by])
    return ImageSet(
        tuple(names),
        pixels[: len(names)],
        tuple(skipped),
        resized_up,
        bits_stored=bits_stored,
        notes=found.notes
        + protected.notes
        + float_note(floats_full_scale, largest_float)
        + empty_notes(empty, with_empty)
        + series_notes(remarks)
        + scale_notes(scales)
        + window_notes(shown_by.grey_scale.series),
        descriptions=None if decoder.describe is None else stacked(descriptions),
        stored_sizes=np.array(stored_sizes, np.int32),
    )


def _decoded_again(
    decoder: ImageDecoder, places: Sequence[tuple[Place, int]]
) -> Iterator[DecodedImage]:
    """Images by place and frame that were decoded before. Frames of one file are neighbours."""
    protected = ProtectedDecoder.of(dataclasses.replace(decoder, describe=None))
    files = list(dict.fromkeys(file for file, _ in places))
    by_file = itertools.groupby(places, key=lambda place: place[0])
    for (file, frames), images in zip(by_file, protected.frames(files)):
        for _, frame in frames:
            image = images if isinstance(images, UnreadableImage) else images.images[frame]
            if isinstance(image, UnreadableImage):
                raise UnreadableImage(
                    f"{shown(path_of(file))}: {image}; it changed while the images were read, so "
                    "read them again"
                )
            yield image
