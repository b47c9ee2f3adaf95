"""The images of a folder, decoded when they are asked for."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping

import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding.decoded_image import DecodedImage
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.depth import FLOAT_TOLERANCE, check_bits_stored, to_bytes
from examine_jax.images.decoding.intensity import GreyScale, Intensities, shared_scales
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.resize import ImageSize, check_size
from examine_jax.images.decoding.series_windows import Slice
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.image_set import SkippedImage
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
from examine_jax.images.sources.scan import scan_folder
from examine_jax.images.streamed_images import StreamedImages


def stream_folder(
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
) -> StreamedImages:
    """The images that `load_folder` reads, under the same names, each decoded when it is asked for.

    Every file's header is read once, now; files that are no images, and frames that are missing,
    are skipped with their reason. A file whose header is sound and whose pixels are damaged raises
    when it is read, and the message names it. Images of more than 8 bits need their full scale
    beforehand: `bits_stored` for integers; floats must be in [0, 1]. DICOM files that share a scale
    are decoded once, now, to find it.

    Args:
        folder, image_size, channels, bits_stored: as in `load_folder`.
        intensity_range, dicom_window: as in `load_folder`.
        max_pixels, max_bytes, on_progress: as in `load_folder`.

    Returns:
        The images by index, and the skipped files.

    Raises:
        ValueError: no image could be read, an argument is out of range, or integers of more than 8
            bits without `bits_stored`.
        OSError: as `load_folder`.
    """
    size = check_size(image_size, channels)
    check_bits_stored(bits_stored)
    found = scan_folder(folder)
    decoder = ImageDecoder(
        size,
        channels,
        bits_stored,
        max_pixels,
        max_bytes,
        Budget(max_pixels),
        GreyScale(intensity_range, dicom_window),
    )

    names: list[str] = []
    places: list[tuple[str, int]] = []  # Row -> path and frame.
    skipped = list(found.skipped)
    taken = file_names(found)
    sharing: list[tuple[Intensities, Slice | None]] = []
    slices: list[Slice] = []
    total = len(found.candidates)
    report = on_progress or no_progress
    report(0, total)
    protected = ProtectedDecoder.of(decoder)
    paths = [candidate.path for candidate in found.candidates]
    with contextlib.closing(protected.headers(paths)) as headers:
        for done, (candidate, header) in enumerate(zip(found.candidates, headers), 1):
            report(done, total)
            if isinstance(header, UnreadableImage):
                skipped.append(SkippedImage(candidate.name, str(header)))
                continue
            file, waiting = header
            sharing += [(i.intensities, i.slice) for i in waiting if i.intensities is not None]
            if file.deep and bits_stored is None:
                raise ValueError(
                    f"{shown(candidate.path)} has more than 8 bits a sample, and images read on "
                    "demand need their full "
                    "scale beforehand; name bits_stored (8 to 16)"
                )
            skipped += beyond_read(candidate.name, file.images, file.beyond, taken)
            for frame in range(file.images):
                name = image_name(candidate.name, frame, file.images, taken)
                if frame in file.missing:
                    skipped.append(SkippedImage(name, file.missing[frame]))
                    continue
                names.append(name)
                places.append((candidate.path, frame))
                if file.slices and (own := file.slices[frame]):
                    slices.append(own)
    skipped.sort(key=lambda item: item.name)
    if not names:
        raise ValueError(nothing_read(folder, found, skipped))
    decoder = by_series(decoder, slices)
    scales = shared_scales(
        intensities for intensities, own in sharing if not in_series(decoder, own)
    )
    return StreamedImages(
        tuple(names),
        (*size, channels),
        _FolderReader(ProtectedDecoder.of(decoder), tuple(places), scales),
        skipped=tuple(skipped),
        files=tuple(path for path, _ in places),
    )


@dataclasses.dataclass(frozen=True)
class _FolderReader:
    """Row -> pixels."""

    protected: ProtectedDecoder
    places: tuple[tuple[str, int], ...]
    scales: Mapping[str, tuple[float, float]]

    def __call__(self, row: int) -> UInt8[np.ndarray, "height width stored"]:
        path, frame = self.places[row]
        try:
            return self._to_bytes(self.protected.image(path, frame))
        except UnreadableImage as error:
            raise UnreadableImage(
                f"{shown(path)}: {error}; remove the file or repair it"
            ) from error

    def _to_bytes(self, image: DecodedImage) -> UInt8[np.ndarray, "height width stored"]:
        if image.intensities is not None:
            scale = self.scales.get(image.intensities.shared_by)
            if scale is None:
                raise UnreadableImage("its values changed since the folder was listed")
            return image.intensities.to_bytes(image.pixels, scale)
        if image.pixels.dtype == np.uint8:
            return image.pixels
        if image.pixels.dtype == np.uint16:
            return to_bytes(image.pixels, 2.0 ** (self.protected.decoder.bits_stored or 16) - 1)
        if image.largest > 1 + FLOAT_TOLERANCE:
            raise UnreadableImage(
                f"floats up to {image.largest:g}, where images read on demand are in [0, 1]"
            )
        return to_bytes(image.pixels, 1.0)
