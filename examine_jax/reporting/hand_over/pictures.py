"""The images to label as files in one folder, named by their order."""

import dataclasses
import io
import pathlib
import re
import shutil

import numpy as np
from PIL import Image

from examine_jax.common.atomic_files import write_bytes
from examine_jax.common.shapes import UInt8
from examine_jax.reporting.hand_over.chosen import ChosenImages

FOLDER = "to_label"
_OURS = re.compile(r"\d{4,}\.\w+")


def write_pictures(
    workdir: pathlib.Path, chosen: ChosenImages, *, keep_originals: bool = False
) -> ChosenImages:
    """Writes to_label/0001.png and so on: the images at full size, without metadata.

    File names and metadata may identify patients, so neither is kept; to_label.csv says which image
    is which.

    Args:
        workdir: an existing folder. Pictures that an earlier run wrote there are replaced.
        chosen: the images.
        keep_originals: copy the images' own files instead, unchanged and with their metadata. An
            image without a file of its own is written as PNG.

    Returns:
        The images with these files, which lie in `workdir`.

    Raises:
        OSError: a file cannot be read or written.
    """
    folder = workdir / FOLDER
    folder.mkdir(exist_ok=True)
    for earlier in folder.iterdir():
        if _OURS.fullmatch(earlier.name):
            earlier.unlink()
    images = []
    for image in chosen.images:
        stem = f"{image.order:0{max(4, len(str(len(chosen.images))))}}"
        if keep_originals and image.file is not None:
            file = folder / f"{stem}{image.file.suffix.lower()}"
            shutil.copyfile(image.file, file)
        else:
            file = folder / f"{stem}.png"
            write_bytes(file, _png(chosen.pixels(image)))
        images.append(dataclasses.replace(image, file=file))
    return ChosenImages(tuple(images), chosen.pixels, workdir)


def _png(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
