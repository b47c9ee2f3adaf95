"""A folder of image files."""

import os
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image

from examine_jax.images.decoding.decode import DecodedImage, ImageDecoder
from examine_jax.images.decoding.depth import bits_that_hold, check_bits_stored, float_full_scale, to_bytes
from examine_jax.images.decoding.parallel import Budget, in_order
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.image_set import ImageSet, SkippedImage
from examine_jax.images.names import shown
from examine_jax.images.sources.scan import Scan, scan


def load_folder(
    folder: str | os.PathLike[str],
    *,
    image_size: int,
    channels: int = 3,
    bits_stored: int | None = None,
    max_pixels: int = 100_000_000,
    max_bytes: int = 2**30,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """Reads every PNG, JPEG, TIFF, BMP, WebP and DICOM file below a folder, in the order of their names.

    Each image is squashed to the square by an antialiased (Lanczos) resize; one with a side shorter than `image_size` is resized up
    and counted. EXIF orientation is applied; of several frames or pages the first is taken; transparency is laid on white; grey is
    repeated to 3 channels, colour brought to grey by ITU-R 601 luma; CMYK is converted without its colour profile. JPEGs more than
    8 times as large as asked for are decoded at a reduced scale first. Integers of 16 bits (grey, RGB, with alpha) and
    floats become 8 bits by one rule for the whole folder, which examine_jax/images/depth.py states. DICOM files (read where pydicom is
    installed) become 8 bits by their own modality LUT and window, as examine_jax/images/dicom.py states; each frame of one that holds
    several is an image, named `file.dcm[3]`.

    Hidden files and files that do not call themselves images are passed over. What calls itself one and cannot be read (damaged,
    empty, mislabelled, too large, a pipe, a link to nothing, DICOM without pixels, ...) is listed in `skipped` with its reason.
    No file is changed, and only plain files are opened.

    Args:
        folder: links inside it are followed, no folder is entered twice.
        image_size: rows and columns of the result.
        channels: 1 or 3.
        bits_stored: bits in use in images of 16 bits a sample (8 to 16), when they are known, as from the folder that an encoder was
            trained on; None finds the fewest that hold the folder's largest value. Images that do not fit are skipped.
        max_pixels: images with more pixels are skipped, by their headers, before they are decoded. All threads together hold about
            as many decoded pixels at once. Pillow refuses above 179 million whatever this says.
        max_bytes: larger files are skipped.
        on_progress: called as `on_progress(files done, files in all)`, at 0 and after each file.

    Raises:
        ValueError: no image could be read (the message says what was found instead), or an argument out of range.
        OSError: the folder is missing (FileNotFoundError), is none (NotADirectoryError), or cannot be listed.
    """
    check_size(image_size, channels)
    check_bits_stored(bits_stored)
    found = scan_folder(folder)
    total = len(found.candidates)
    decoder = ImageDecoder(image_size, channels, bits_stored, max_pixels, max_bytes, budget=Budget(max_pixels))

    def decode(path: str) -> list[DecodedImage] | UnreadableImage:
        try:
            return decoder.frames(path)
        except UnreadableImage as error:
            return error

    pixels = np.empty((total, image_size, image_size, channels), np.uint8)
    names: list[str] = []
    skipped = list(found.skipped)
    deep: dict[int, DecodedImage] = {}  # Row -> an image that waits for the folder's full scale.
    resized_up = 0
    report = on_progress or _silent
    report(0, total)
    Image.init()  # All plug-ins now, not by the first thread that meets a strange file.
    with warnings.catch_warnings():
        # Pillow warns of odd metadata and of large images; what matters of that ends in a reason.
        warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\b")
        for done, (candidate, result) in enumerate(
            zip(found.candidates, in_order(decode, (c.path for c in found.candidates))), 1
        ):
            if isinstance(result, UnreadableImage):
                skipped.append(SkippedImage(candidate.name, str(result)))
            else:
                if len(result) > 1:  # Frames that nobody knew of before. Growing in place copies nothing.
                    pixels.resize((len(pixels) + len(result) - 1, *pixels.shape[1:]), refcheck=False)
                for frame, image in enumerate(result):
                    row = len(names)
                    names.append(candidate.name if len(result) == 1 else f"{candidate.name}[{frame}]")
                    resized_up += image.resized_up
                    if image.pixels.dtype == np.uint8:
                        pixels[row] = image.pixels
                    else:
                        deep[row] = image
            report(done, total)
    skipped.sort(key=lambda item: item.name)
    if not names:
        raise ValueError(nothing_read(folder, found, skipped))
    integers = {row: image for row, image in deep.items() if image.pixels.dtype == np.uint16}
    if integers:
        bits_stored = bits_stored or bits_that_hold(int(max(image.largest for image in integers.values())))
    else:
        bits_stored = None
    floats_full_scale = float_full_scale(
        max((image.largest for row, image in deep.items() if row not in integers), default=0.0)
    )
    for row, image in deep.items():
        pixels[row] = to_bytes(
            image.pixels, 2.0**bits_stored - 1 if bits_stored and row in integers else floats_full_scale
        )
    return ImageSet(tuple(names), pixels[: len(names)], tuple(skipped), resized_up, bits_stored=bits_stored)


def check_size(image_size: int, channels: int) -> None:
    if not 1 <= image_size <= 4096:
        raise ValueError(f"image_size={image_size}: give 1 to 4096 pixels")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: give 1 (grey) or 3 (colour)")


def scan_folder(folder: str | os.PathLike[str]) -> Scan:
    try:
        return scan(folder)
    except OSError as error:
        # The subclass (FileNotFoundError, NotADirectoryError, PermissionError) says which it is; the message names the folder.
        failure = type(error)(f"cannot read the folder {shown(folder)}: {error.strerror or error}")
        failure.errno = error.errno
        raise failure from error


def nothing_read(folder: str | os.PathLike[str], found: Scan, skipped: list[SkippedImage]) -> str:
    message = f"no readable image in {shown(folder)}"
    looked_at = len(skipped) + sum(found.other.values())
    if not looked_at:
        return f"{message}: it holds no files; name a folder with PNG, JPEG, TIFF, BMP, WebP or DICOM images"
    message += f": looked at {looked_at} file{'s' * (looked_at > 1)}"
    if found.other:
        most = sorted(found.other.items(), key=lambda item: (-item[1], item[0]))[:3]
        message += f", not images by name: {', '.join(f'{count} {shown(suffix)}' for suffix, count in most)}"
    if skipped:
        message += f", {len(skipped)} not readable: " + "; ".join(
            f"{shown(item.name)}: {item.reason}" for item in skipped[:3]
        )
    if found.other.keys() & {".npy", ".npz"}:
        message += "; to read an array, name the .npy or .npz file itself"
    return message


def _silent(done: int, total: int) -> None:
    pass
