"""Writes an encoder for others: in a format, with a model card, read back before it is kept."""

import dataclasses
import os
import pathlib

import numpy as np

from examine_jax.common.atomic_folders import writing_folder
from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.exports.card import ModelCard, card_text
from examine_jax.encoders.exports.export_format import ExportFormat
from examine_jax.models import FlaxEncoder

CARD = "README.md"
_IMAGES = 2  # that are embedded by the encoder and by what was written
_TOLERANCE = 1e-4  # of the largest feature
_ROUNDED = 0.05  # where both compute in bfloat16


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: the names of the files in the folder.
        difference: the largest difference of a feature of random images between the encoder and
            the files as they are read back, relative to the largest feature; None: they were not
            read back, since nothing that is installed runs them.
    """

    files: tuple[str, ...]
    difference: float | None


def export_encoder(
    folder: str | os.PathLike[str],
    encoder: Encoder,
    format: ExportFormat,
    card: ModelCard,
) -> Exported:
    """Writes an encoder in a format, with a model card; whole or not at all.

    The files are read back first, and their features of random images are compared with the
    encoder's.

    Args:
        folder: where; it must not exist, or be empty.
        encoder: what is written.
        format: one of registry.py's.
        card: what the model card says beside what the encoder itself tells.

    Raises:
        ValueError: the folder is in the way, or the format cannot say this network.
        ImportError: a package that writes this format is not installed.
        OSError: the folder cannot be written.
    """
    folder = pathlib.Path(folder)
    check_free(folder)
    with writing_folder(folder) as temporary:
        usage = format.write(encoder, temporary)
        difference = _difference(encoder, format, temporary)
        text = card_text(encoder, format.name, usage, card, difference)
        (temporary / CARD).write_text(text, encoding="utf-8")
        for file in temporary.iterdir():
            file.chmod(0o644)
    return Exported(tuple(sorted(file.name for file in folder.iterdir())), difference)


def check_free(folder: pathlib.Path) -> None:
    """Raises a ValueError if a folder cannot be written since something is there."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise ValueError(f"{folder} exists; name another folder, or move it away")


def _difference(encoder: Encoder, format: ExportFormat, folder: pathlib.Path) -> float | None:
    size = encoder.image_size
    shape = (_IMAGES, size, size, encoder.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = format.read_back(folder, images)
    if found is None:
        return None
    wide = isinstance(encoder.method.encoder, FlaxEncoder) or format.name == "stablehlo"
    exact = encoder if wide else encoder.with_precision("float32")
    wanted = exact.embed(images)
    if found.shape != wanted.shape:
        raise ValueError(
            f"format {format.name}: the files give features {list(found.shape)}, the encoder "
            f"{list(wanted.shape)}; nothing is written"
        )
    largest = float(np.abs(wanted).max()) or 1.0
    difference = float(np.abs(found - wanted).max()) / largest
    if not difference <= (_TOLERANCE if exact.method.encoder.dtype == "float32" else _ROUNDED):
        raise ValueError(
            f"format {format.name}: the files give features that differ by {difference:.1e} of the "
            "largest; nothing is written"
        )
    return difference
