"""Reads DICOM files by pydicom: frames as grey or colour values from 0 (black) to 1 (white).

Grey values pass the modality LUT (or rescale slope and intercept), then the first VOI LUT or
window, or another that the user names. A window of width 0 is none. Slices of one series whose
windows differ share one (series_windows.py). Its output range becomes black to white. Without a
window:

- CT is shown from -1024 to 3071 Hounsfield units.
- PET in standardised uptake values (units GML) is shown from 0 to 10.
- The outputs of a modality LUT, and up to 8 unsigned bits without rescaling, are shown by the range
  that they can have.
- All other values wait for the scale that they share with other images (intensity.py).

MONOCHROME1 is inverted, so that white is bright. In enhanced multi-frame files, each frame has its
own values (shared and per-frame functional groups). A frame that is damaged or missing costs no
other.
"""

import dataclasses
import functools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SegmentationStorage,
)

from examine_jax.common.shapes import Num, Shaped
from examine_jax.images.decoding.dicom_codecs import (
    check_decodable,
    decode,
    decoder_options,
    stored_bits,
)
from examine_jax.images.decoding.dicom_colour import colour, palette_colour
from examine_jax.images.decoding.dicom_frames import PixelData, find_frames
from examine_jax.images.decoding.dicom_grey import GREY, display, rescaled, sharing, slice_of
from examine_jax.images.decoding.intensity import BY_FILE, GreyScale, Intensities
from examine_jax.images.decoding.series_windows import Slice
from examine_jax.images.decoding.slide_content import DICOM_SLIDE
from examine_jax.images.decoding.unreadable import UnreadableImage

# Bounds the number of frames that a header declares, because each becomes an image with a name.
MAX_FRAMES = 100_000

# The preamble, "DICM", and the element with the length of the file meta information that follows.
_META_START = 128 + 4 + 12

# Objects whose pixels are masks.
_NO_IMAGES = (SegmentationStorage,)

# Groups with what a frame needs: its modality, its patient and series, its pixels, and the units of
# PET.
_FRAME_GROUPS = frozenset({0x0008, 0x0010, 0x0020, 0x0028, 0x0054})

_FRAME_SEQUENCES = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


@dataclasses.dataclass(frozen=True, eq=False)
class DicomFile:
    """A file whose header is read.

    Attributes:
        header: the file's, without its pixels.
        frame_count: images that the header declares.
        pixels: where they are.
    """

    header: pydicom.Dataset
    frame_count: int
    pixels: PixelData

    @property
    def frame_size(self) -> int:
        """Pixels of a frame."""
        return self.size[0] * self.size[1]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return int(self.header.Rows), int(self.header.Columns)

    def missing(self) -> dict[int, str]:
        """Why frames are not there, by their index."""
        return {
            index: self._truncated()
            for index in range(self.frame_count)
            if self.pixels.missing(index)
        }

    def slices(self, scale: GreyScale) -> tuple[Slice | None, ...]:
        """What each frame says of its series' window."""
        found = tuple(slice_of(header, scale) for header in self._own_headers)
        return found if len(found) == self.frame_count else found * self.frame_count

    def waits_for_scale(self, scale: GreyScale) -> bool:
        """Whether `frames` may yield values that wait for the scale that they share."""
        if self.header.get("PhotometricInterpretation") not in GREY:
            return False
        return any(display(header, scale) is None for header in self._own_headers)

    @functools.cached_property
    def _own_headers(self) -> tuple[pydicom.Dataset, ...]:
        """The headers of frames that differ; one, where all frames have the same."""
        own = self.header.get("PerFrameFunctionalGroupsSequence")
        count = self.frame_count if own else 1
        return tuple(_of_frame(self.header, index) for index in range(count))

    def beyond(self) -> str | None:
        """Why pixels after the frames that the header declares are not read; None: none are."""
        more = self.pixels.more
        if not more:
            return None
        return (
            f"more pixels than declared: {more} frame{'s' * (more > 1)} after the "
            f"{self.frame_count} of its header; correct NumberOfFrames"
        )

    def frames(
        self, indices: Sequence[int] | None = None, scale: GreyScale = BY_FILE
    ) -> Iterator["Frame | Exception"]:
        """Yields frames one at a time.

        Args:
            indices: frames; None: all.
            scale: how grey values become black to white.

        Yields:
            float32 frames. In place of one that is missing, damaged or unsupported: why.
        """
        for index in range(self.frame_count) if indices is None else indices:
            try:
                yield self._frame(index, scale)
            except Exception as error:  # Damaged frames raise anything.
                yield error

    def _frame(self, index: int, scale: GreyScale) -> "Frame":
        if self.pixels.missing(index):
            raise UnreadableImage(self._truncated())
        if self.pixels.frames is None:
            pixels, photometric = self._uncompressed(index)
        else:
            pixels, photometric = decode(self.pixels.compressed(index), self.header)
        header = _of_frame(self.header, index)
        single = photometric in GREY or photometric == "PALETTE COLOR"
        if pixels.ndim != (2 if single else 3):
            raise UnreadableImage(
                f"damaged: {header.get('SamplesPerPixel')} samples a pixel as {photometric}"
            )
        if photometric in GREY:
            return _grey(pixels, header, scale, slice_of(header, scale))
        if photometric == "PALETTE COLOR":
            return Frame(palette_colour(pixels, header))
        return Frame(colour(pixels, photometric, int(header.BitsStored)))

    def _uncompressed(self, index: int) -> tuple[Num[np.ndarray, "..."], str]:
        options = decoder_options(self.header, self.frame_count, self.pixels.representation)
        self.pixels.stream.seek(self.pixels.offset)
        values, found = get_decoder(self.header.file_meta.TransferSyntaxUID).as_array(
            self.pixels.stream, index=index, raw=True, **options
        )
        return stored_bits(values, self.header), str(found["photometric_interpretation"])

    def _truncated(self) -> str:
        if self.frame_count == 1:
            return "truncated: its header declares more pixels than it has"
        return f"truncated: its header declares {self.frame_count} frames"


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One image of a file.

    Attributes:
        values: 1 or 3 channels, from 0 (black) to 1 (white), or values after rescaling.
        intensities: of values after rescaling, what they say of the scale that they share.
        slice: what it says of its series' window.
    """

    values: Shaped[np.ndarray, "height width channels"]
    intensities: Intensities | None = None
    slice: Slice | None = None


def read_header(stream: BinaryIO, max_pixels: int, max_bytes: int) -> DicomFile:
    """Reads a file's header, without its pixels, and finds its frames.

    Raises:
        UnreadableImage: the file has no pixels or too many, or no installed package decompresses
            them; the message says which package would.
    """
    check_deflated(stream, max_bytes)
    try:
        stream.seek(0)
        header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
    except InvalidDicomError:
        raise UnreadableImage("its content is no DICOM file that can be read") from None
    pixels_at = stream.tell()
    if "TransferSyntaxUID" not in header.file_meta and not _has_preamble(stream):
        header.file_meta.TransferSyntaxUID = _syntax_of_bare(header)
    if "Rows" not in header or "Columns" not in header:
        kind = header.get("SOPClassUID")
        raise UnreadableImage(
            f"a DICOM file without pixels{f' ({kind.name})' if kind else ''}; remove it"
        )
    if header.get("SOPClassUID") in _NO_IMAGES:
        raise UnreadableImage(
            f"a DICOM object that is no image ({header.SOPClassUID.name}); remove it"
        )
    if header.get("SOPClassUID") == DICOM_SLIDE:
        raise UnreadableImage(
            "a DICOM file of a whole slide; its slide is read as tiles where the file lies in a "
            "folder, not in an archive"
        )
    if header.Rows < 1 or header.Columns < 1:
        raise UnreadableImage(f"damaged: {header.Columns} x {header.Rows} pixels in its header")
    if header.Rows * header.Columns > max_pixels:
        raise UnreadableImage(
            f"{header.Columns} x {header.Rows} pixels in its header, more than "
            f"max_pixels={max_pixels}"
        )
    count = int(header.get("NumberOfFrames") or 1)
    if not 1 <= count <= MAX_FRAMES:
        raise UnreadableImage(f"{count} frames in its header; 1 to {MAX_FRAMES} can be read")
    if "TransferSyntaxUID" not in header.file_meta:
        raise UnreadableImage(
            "a DICOM file that does not say how it is encoded (TransferSyntaxUID); convert it anew"
        )
    check_decodable(header.file_meta.TransferSyntaxUID)
    stream.seek(pixels_at)
    return DicomFile(header, count, find_frames(stream, header, count))


def _has_preamble(stream: BinaryIO) -> bool:
    stream.seek(128)
    return stream.read(4) == b"DICM"


def _syntax_of_bare(header: pydicom.Dataset) -> UID:
    """The transfer syntax of a data set without file meta information, as pydicom read it."""
    implicit, little = header.original_encoding
    if not little:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _grey(
    pixels: Num[np.ndarray, "height width"],
    header: pydicom.Dataset,
    scale: GreyScale,
    own: Slice | None,
) -> Frame:
    inverted = header.PhotometricInterpretation == "MONOCHROME1"
    values = rescaled(pixels, header)
    show = display(header, scale)
    if show is not None:
        shown = show(values)
        shown = (1 - shown if inverted else shown).astype(np.float32)
        return Frame(shown[..., None], slice=own)
    # Values that fill the area outside the image say nothing of its scale.
    padding = header.get("PixelPaddingValue")
    image = values if padding is None else values[pixels != padding]
    shared_by, from_zero = sharing(header)
    return Frame(
        values.astype(np.float32)[..., None],
        Intensities.of(
            image if image.size else values, shared_by, from_zero=from_zero, inverted=inverted
        ),
        own,
    )


def _of_frame(header: pydicom.Dataset, index: int) -> pydicom.Dataset:
    """The header of one frame. It differs from the file's in enhanced multi-frame files alone."""
    groups: list[Any] = []
    for sequence, number in (
        (header.get("SharedFunctionalGroupsSequence"), 0),
        (header.get("PerFrameFunctionalGroupsSequence"), index),
    ):
        if sequence and number < len(sequence):
            groups.append(sequence[number])
    found = [
        item
        for group in groups
        for name in _FRAME_SEQUENCES
        for item in list(group.get(name) or [])[:1]
    ]
    if not found:
        return header
    # A copy of a pydicom data set shares its elements with it.
    result = pydicom.Dataset()
    result.update({tag: element for tag, element in header.items() if tag.group in _FRAME_GROUPS})
    result.file_meta = header.file_meta
    for item in found:
        result.update(item)
    return result


def check_deflated(stream: BinaryIO, max_bytes: int) -> None:
    """Refuses a deflated file that inflates beyond max_bytes. pydicom inflates it whole."""
    try:
        stream.seek(0)
        read_preamble(stream, force=False)
        meta = _read_file_meta_info(stream)
    except InvalidDicomError:
        return  # read_header gives the reason.
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    stream.seek(_META_START + meta.FileMetaInformationGroupLength)
    inflater, held = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while chunk := stream.read(2**20):
        while chunk:
            held += len(inflater.decompress(chunk, 2**24))
            chunk = inflater.unconsumed_tail
            if held > max_bytes:
                raise UnreadableImage(
                    f"deflated, and more than max_bytes={max_bytes} when inflated"
                )
