"""A folder of image files, read into memory or decoded on demand."""

import dataclasses
import os
from collections.abc import Callable

from examine_jax.images.decoding.describing import Describe
from examine_jax.images.decoding.resize import ImageSize
from examine_jax.images.image_set import ImageSet
from examine_jax.images.sources.files import load_files
from examine_jax.images.sources.files_reading import MAX_BYTES, MAX_PIXELS, check_no_split
from examine_jax.images.sources.files_stream import stream_files
from examine_jax.images.sources.scan import Scan, scan_folder
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.streamed_images import StreamedImages


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """A folder of image files."""

    on_demand: bool = True
    dicom: bool = True

    def recognises(self, name: str) -> bool:
        return os.path.isdir(name)

    def scan(self, name: str) -> Scan:
        return scan_folder(name)

    def load(self, name: str, options: ReadOptions) -> ImageSet:
        check_no_split(name, "folder", options.split)
        return load_files(scan_folder, name, options)

    def stream(self, name: str, options: ReadOptions) -> StreamedImages:
        check_no_split(name, "folder", options.split)
        return stream_files(scan_folder, name, options)


def load_folder(
    folder: str | os.PathLike[str],
    *,
    image_size: ImageSize,
    channels: int = 3,
    bits_stored: int | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int = 1,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
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
    options = ReadOptions(
        image_size,
        channels,
        bits_stored=bits_stored,
        on_progress=on_progress,
        intensity_range=intensity_range,
        dicom_window=dicom_window,
        describe=describe,
    )
    return load_files(scan_folder, folder, options, max_pixels=max_pixels, max_bytes=max_bytes)


def stream_folder(
    folder: str | os.PathLike[str],
    *,
    image_size: ImageSize,
    channels: int = 3,
    bits_stored: int | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int = 1,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
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
    options = ReadOptions(
        image_size,
        channels,
        bits_stored=bits_stored,
        on_progress=on_progress,
        intensity_range=intensity_range,
        dicom_window=dicom_window,
    )
    return stream_files(scan_folder, folder, options, max_pixels=max_pixels, max_bytes=max_bytes)
