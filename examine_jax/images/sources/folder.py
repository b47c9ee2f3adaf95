"""A folder of image files, read into memory or decoded on demand."""

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.images.decoding.decoded_image import DecodedImage
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.depth import (
    bits_that_hold,
    check_bits_stored,
    float_full_scale,
    float_note,
    to_bytes,
)
from examine_jax.images.decoding.describing import Describe, stacked
from examine_jax.images.decoding.intensity import (
    GreyScale,
    Intensities,
    scale_notes,
    shared_scales,
)
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.resize import ImageSize, check_size
from examine_jax.images.decoding.series_windows import Slice, window_notes
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.image_set import ImageSet, SkippedImage
from examine_jax.images.names import shown
from examine_jax.images.sources.folder_reading import (
    beyond_read,
    by_series,
    file_names,
    image_name,
    in_series,
    no_progress,
    nothing_read,
)
from examine_jax.images.sources.folder_stream import stream_folder
from examine_jax.images.sources.scan import scan_folder
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.streamed_images import StreamedImages


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """A folder of image files."""

    on_demand: bool = True
    dicom: bool = True

    def recognises(self, name: str) -> bool:
        return os.path.isdir(name)

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        _check_no_split(name, options.split)
        return load_folder(
            name,
            image_size=options.image_size,
            channels=options.channels,
            bits_stored=options.bits_stored,
            intensity_range=options.intensity_range,
            dicom_window=options.dicom_window,
            on_progress=options.on_progress,
            describe=options.describe,
        )

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        _check_no_split(name, options.split)
        return stream_folder(
            name,
            image_size=options.image_size,
            channels=options.channels,
            bits_stored=options.bits_stored,
            intensity_range=options.intensity_range,
            dicom_window=options.dicom_window,
            on_progress=options.on_progress,
        )


def _check_no_split(folder: str, split: str | None) -> None:
    if split is not None:
        raise ValueError(
            f"{shown(folder)}: a folder has no split {split!r}; name the folder that holds those "
            "images"
        )


def load_folder(
    folder: str | os.PathLike[str],
    *,
    image_size: ImageSize,
    channels: int = 3,
    bits_stored: int | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int = 1,
    max_pixels: int = 100_000_000,
    max_bytes: int = 2**30,
    on_progress: Callable[[int, int], None] | None = None,
    describe: Describe | None = None,
) -> ImageSet:
    """Reads all PNG, JPEG, TIFF, BMP, WebP and DICOM files below a folder, in order of name.

    Size: each image is squashed to the size by an antialiased (Lanczos) resize. One with a side
    shorter than asked for is enlarged and counted. JPEGs more than 8 times as large as asked for
    are decoded at a reduced scale first.

    Colours: grey is repeated to 3 channels; colour becomes grey by ITU-R 601 luma; CMYK is
    converted without its colour profile; transparent pixels are laid on white. EXIF orientation is
    applied. Of several frames of an animation, the first is read, and `skipped` says so.

    Depth: integers of more than 8 bits and floats (any channels) become 8 bits by one rule for the
    whole folder, stated in images/decoding/depth.py. DICOM files (read where pydicom is installed)
    become 8 bits by their own modality LUT and window, as stated in images/decoding/dicom.py; those
    without a window, by the scale that they share (images/decoding/intensity.py). Slices of one
    series whose windows differ share one (images/decoding/series_windows.py). Each frame of a
    DICOM file with several is an image, named `file.dcm[3]`, and so is each page of a TIFF, except
    smaller copies and masks. Where a file is named `file.dcm[3]` itself, the frame is
    `file.dcm[3]~2`: all names differ. A damaged frame or page costs no other. Frames that a file
    holds beyond those that its header declares are listed in `skipped`.

    Files are decoded in worker processes. One that crashes its decoder, computes for more than
    3.5 s (and 1 s a megabyte and megapixel), or needs more than 1 GiB beyond what its pixels take
    costs itself alone (images/decoding/limits.py; the system has to support limits on memory, as
    Linux does). Where no process can be started, threads decode, and a note says so.

    DICOM files may have any name. Hidden files, texts and tables are ignored. All others
    (damaged, empty, mislabelled, too large, a pipe, a link to nothing, DICOM without pixels, ...)
    are listed in `skipped` with the reason. No file is changed, and only plain files are opened.

    Args:
        folder: links inside it are followed; no folder is entered twice.
        image_size: (rows, columns) of the result; one number: a square.
        channels: 1 (grey) or 3 (colour).
        bits_stored: bits in use in images of 16 bits a sample (8 to 16), where they are known, as
            from the folder that an encoder was trained on. None: the fewest that hold the folder's
            largest value. Images that do not fit are skipped. DICOM files have scales of their own.
        intensity_range: (black, white) of all grey DICOM values after rescaling, in place of their
            windows. None: each file's window, or the scale that it shares.
        dicom_window: which of a DICOM file's windows; a file with fewer uses its first.
        max_pixels: images with more pixels are skipped before they are decoded, by their headers.
            All threads together hold about as many decoded pixels at once. Pillow refuses above 179
            million in any case.
        max_bytes: larger files are skipped.
        on_progress: called as `on_progress(files done, files in all)`, at 0 and after each file.
        describe: as in `load_images`.

    Returns:
        The images, and the skipped files.

    Raises:
        ValueError: no image could be read (the message says what was found), or an argument is out
            of range.
        FileNotFoundError: the folder is missing.
        NotADirectoryError: it is no folder.
        OSError: it cannot be listed.
    """
    size = check_size(image_size, channels)
    check_bits_stored(bits_stored)
    found = scan_folder(folder)
    total = len(found.candidates)
    decoder = ImageDecoder(
        size,
        channels,
        bits_stored,
        max_pixels,
        max_bytes,
        Budget(max_pixels),
        GreyScale(intensity_range, dicom_window),
        describe,
    )

    protected = ProtectedDecoder.of(decoder)
    pixels = np.empty((total, *size, channels), np.uint8)
    names: list[str] = []
    skipped = list(found.skipped)
    taken = file_names(found)
    deep: dict[int, DecodedImage] = {}  # Row -> an image that waits for the folder's full scale.
    sharing: dict[int, tuple[DecodedImage, Intensities]] = {}  # Row -> one that shares a scale.
    descriptions: list[Float[np.ndarray, " numbers"]] = []
    slices: dict[int, tuple[str, int, Slice]] = {}  # Row -> path and frame, and what it says.
    stored_sizes: list[tuple[int, int]] = []
    resized_up = 0
    report = on_progress or no_progress
    report(0, total)
    paths = [candidate.path for candidate in found.candidates]
    with contextlib.closing(protected.frames(paths)) as results:
        for done, (candidate, result) in enumerate(zip(found.candidates, results), 1):
            if isinstance(result, UnreadableImage):
                skipped.append(SkippedImage(candidate.name, str(result)))
            else:
                count = len(result.images)
                skipped += beyond_read(candidate.name, count, result.beyond, taken)
                if count > 1:  # Growing in place copies nothing.
                    pixels.resize((len(pixels) + count - 1, *pixels.shape[1:]), refcheck=False)
                for frame, image in enumerate(result.images):
                    row = len(names)
                    name = image_name(candidate.name, frame, count, taken)
                    if isinstance(image, UnreadableImage):
                        skipped.append(SkippedImage(name, str(image)))
                        continue
                    names.append(name)
                    if image.description is not None:
                        descriptions.append(image.description)
                    stored_sizes.append(image.stored_size)
                    resized_up += image.resized_up
                    if image.slice is not None:
                        slices[row] = candidate.path, frame, image.slice
                    if image.intensities is not None:
                        sharing[row] = image, image.intensities
                    elif image.pixels.dtype == np.uint8:
                        pixels[row] = image.pixels
                    else:
                        deep[row] = image
            report(done, total)
    skipped.sort(key=lambda item: item.name)
    if not names:
        raise ValueError(nothing_read(folder, found, skipped))
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
        raise ValueError(f"{shown(folder)}: {shown(names[row])}: {error}") from error
    for row, image in deep.items():
        pixels[row] = to_bytes(
            image.pixels,
            2.0**bits_stored - 1 if bits_stored and row in integers else floats_full_scale,
        )
    shown_by = by_series(decoder, [own for _, _, own in slices.values()])
    again = {
        row: (path, frame) for row, (path, frame, own) in slices.items() if in_series(shown_by, own)
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
        notes=protected.notes
        + float_note(floats_full_scale, largest_float)
        + scale_notes(scales)
        + window_notes(shown_by.grey_scale.series),
        descriptions=None if describe is None else stacked(descriptions),
        stored_sizes=np.array(stored_sizes, np.int32),
    )


def _decoded_again(
    decoder: ImageDecoder, places: Sequence[tuple[str, int]]
) -> Iterator[DecodedImage]:
    """Images by path and frame that were decoded before. Frames of one file are neighbours."""
    protected = ProtectedDecoder.of(dataclasses.replace(decoder, describe=None))
    paths = list(dict.fromkeys(path for path, _ in places))
    by_path = itertools.groupby(places, key=lambda place: place[0])
    for (path, frames), images in zip(by_path, protected.frames(paths)):
        for _, frame in frames:
            image = images if isinstance(images, UnreadableImage) else images.images[frame]
            if isinstance(image, UnreadableImage):
                raise UnreadableImage(
                    f"{shown(path)}: {image}; it changed while the folder was read, so read it "
                    "again"
                )
            yield image
