"""Image files that a scan has found, decoded when they are asked for."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping

import numpy as np

from examine_jax.common.shapes import UInt8
from examine_jax.images.decoding.chosen_slices import series_notes
from examine_jax.images.decoding.decoded_image import DecodedImage
from examine_jax.images.decoding.depth import FLOAT_TOLERANCE, to_bytes
from examine_jax.images.decoding.file_part import Place, path_of
from examine_jax.images.decoding.intensity import (
    Intensities,
    scale_notes,
    shared_scales,
)
from examine_jax.images.decoding.protected import ProtectedDecoder
from examine_jax.images.decoding.series_windows import Slice, window_notes
from examine_jax.images.decoding.slice_stacks import VolumeRemarks
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.image_set import SkippedImage
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
    own_files,
)
from examine_jax.images.sources.scan import Scan
from examine_jax.images.sources.series_slices import with_series
from examine_jax.images.sources.slide_tiles import with_tiles
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.streamed_images import StreamedImages


def stream_files(
    scan: Callable[[str], Scan],
    source: str | os.PathLike[str],
    options: ReadOptions,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> StreamedImages:
    """Finds the image files of a folder, a list or an archive, as `stream_folder` states.

    Args:
        scan: finds the files of a source by its name.
        source: its name.
        options: as in `stream_images`.
        max_pixels, max_bytes: as in `load_folder`.

    Raises:
        ValueError, OSError: as `stream_folder`, or as `scan` raises.
    """
    decoder = decoder_of(options, max_pixels, max_bytes)
    bits_stored, size, channels = decoder.bits_stored, options.size, decoder.channels
    found = scan(os.fspath(source))
    protected = ProtectedDecoder.of(decoder)
    found = with_series(with_tiles(found, protected), protected)
    names: list[str] = []
    places: list[tuple[Place, int]] = []  # Row -> place and frame.
    stored_sizes: list[tuple[int, int]] = []
    skipped = list(found.skipped)
    taken = file_names(found)
    sharing: list[tuple[Intensities, Slice | None]] = []
    slices: list[Slice] = []
    remarks: dict[str, VolumeRemarks] = {}
    volume_scales: dict[str, tuple[float, float]] = {}
    empty = with_empty = 0
    total = len(found.candidates)
    report = options.on_progress or no_progress
    report(0, total)
    files = [candidate.place for candidate in found.candidates]
    with contextlib.closing(protected.headers(files)) as headers:
        for done, (candidate, header) in enumerate(zip(found.candidates, headers), 1):
            report(done, total)
            if isinstance(header, UnreadableImage):
                skipped.append(SkippedImage(candidate.name, str(header)))
                continue
            file, waiting = header
            volume_scales.update(file.scales)
            empty += file.empty
            with_empty += file.empty > 0
            sharing += [(i.intensities, i.slice) for i in waiting if i.intensities is not None]
            if file.deep and bits_stored is None:
                raise ValueError(
                    f"{shown(path_of(candidate.place))} has more than 8 bits a sample, and images "
                    "read on demand need their full scale beforehand; name bits_stored (8 to 16)"
                )
            if file.remarks is not None:
                remarks[candidate.name] = file.remarks
            declared = file.declared or file.images
            skipped += beyond_read(candidate.name, declared, file.beyond, taken)
            for frame in range(file.images):
                mark = file.marks[frame] if file.marks else ""
                number = file.frames[frame] if file.frames else frame
                name = image_name(candidate.name, number, declared, taken, mark)
                if frame in file.missing:
                    skipped.append(SkippedImage(name, file.missing[frame]))
                    continue
                names.append(name)
                stored_sizes.append(file.size(frame))
                places.append((candidate.place, number))
                if file.slices and (own := file.slices[frame]):
                    slices.append(own)
    skipped.sort(key=lambda item: item.name)
    if not names:
        raise ValueError(nothing_read(source, found, skipped))
    decoder = by_series(decoder, slices)
    scales = shared_scales(
        intensities for intensities, own in sharing if not in_series(decoder, own)
    )
    return StreamedImages(
        tuple(names),
        (*size, channels),
        _FileReader(
            ProtectedDecoder.of(decoder), tuple(places), {**scales, **volume_scales}, found.held
        ),
        skipped=tuple(skipped),
        files=own_files(place for place, _ in places),
        notes=found.notes
        + protected.notes
        + empty_notes(empty, with_empty)
        + series_notes(remarks)
        + scale_notes(scales)
        + window_notes(decoder.grey_scale.series),
        stored_sizes=np.array(stored_sizes, np.int32),
    )


@dataclasses.dataclass(frozen=True)
class _FileReader:
    """Row -> pixels."""

    protected: ProtectedDecoder
    places: tuple[tuple[Place, int], ...]
    scales: Mapping[str, tuple[float, float]]
    held: object

    def __call__(self, row: int) -> UInt8[np.ndarray, "height width stored"]:
        place, frame = self.places[row]
        try:
            return self._to_bytes(self.protected.image(place, frame))
        except UnreadableImage as error:
            raise UnreadableImage(
                f"{shown(path_of(place))}: {error}; remove the file or repair it"
            ) from error

    def _to_bytes(self, image: DecodedImage) -> UInt8[np.ndarray, "height width stored"]:
        if image.intensities is not None:
            scale = self.scales.get(image.intensities.shared_by)
            if scale is None:
                raise UnreadableImage("its values changed since the files were listed")
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
