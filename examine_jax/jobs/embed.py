"""The embedding job: writes the features that a trained encoder gives images."""

import dataclasses
import os
import pathlib
import sys

import numpy as np

from examine_jax.common.atomic_files import check_not_read, replacing, write_array
from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import Float, Shaped
from examine_jax.encoders import load_encoder
from examine_jax.images import SkippedImage, load_images
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.sources.load import dicom_settings
from examine_jax.reporting.tables import write_skipped, write_table


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddedImages:
    """The readable images of a source, and their features.

    Attributes:
        features: [N, D].
        images: [N, S, S, C] uint8, at the encoder's size.
        names: [N], the images' names.
        skipped: the files that could not be read, each with its reason.
    """

    features: Float[np.ndarray, "images features"]
    images: Shaped[np.ndarray, "images height width channels"]
    names: tuple[str, ...]
    skipped: tuple[SkippedImage, ...]


def embedded(
    images: str | os.PathLike[str],
    encoder: str | os.PathLike[str],
    *,
    split: str | None = None,
    pooling: str | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int | None = None,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
    batch_size: int = 64,
    progress: bool = True,
) -> EmbeddedImages:
    """Reads images at an encoder's size and channels, and embeds them.

    Args and errors are those of `embed_images`.
    """
    trained = load_encoder(encoder)
    if pooling is not None:
        trained = trained.with_pooling(pooling)
    with progress_bar("images", progress) as report:
        found = load_images(
            images,
            image_size=trained.image_size,
            channels=trained.channels,
            split=split,
            bits_stored=trained.training.get("bits_stored"),
            **dicom_settings(images, trained.training, intensity_range, dicom_window),
            slicing=slicing,
            tiling=tiling,
            on_progress=report,
        )
    for note in found.notes if progress else ():
        print(f"images: {note}", file=sys.stderr)
    with progress_bar("embedded", progress) as report:
        features = trained.embed(found.pixels, batch_size=batch_size, on_progress=report)
    return EmbeddedImages(features, found.pixels, found.names, found.skipped)


def embed_images(
    images: str | os.PathLike[str],
    encoder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    split: str | None = None,
    pooling: str | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int | None = None,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
    batch_size: int = 64,
    progress: bool = True,
) -> tuple[Float[np.ndarray, "images features"], tuple[SkippedImage, ...]]:
    """Writes the features of images, [N, D] float32, with the images' names.

    To F.npy and F.names.csv, or to a Parquet file with the columns image and features. Files that
    cannot be read are left out and listed in F.skipped.csv. `score_features` reads both forms.

    Args:
        images: as in `load_images`.
        encoder: a folder of ours or of transformers (ViTMAE, ViT, DINOv2), or a ResNet's
            .safetensors file.
        output: .npy or .parquet.
        split: of a TFDS data set or an .npz file.
        pooling: "mean" or "class_token", of a vision transformer's tokens. None: the encoder's own.
        intensity_range: (black, white) of grey DICOM values after rescaling, in place of their
            windows. None: as in the encoder's training.
        dicom_window: which of a DICOM file's windows. None: as in the encoder's training.
        slicing: which slices of volumes are images.
        tiling: how whole slides are cut into tiles.
        batch_size: images at once.
        progress: show progress bars on stderr.

    Returns:
        (features, the files that were skipped)

    Raises:
        ValueError: images, encoder or settings do not fit, or a file that is read would be
            replaced. The message is one line with the reason and a remedy; nothing is written.
        OSError: a file cannot be read or written.
        ImportError: a package that reads this format is not installed.
    """
    output = pathlib.Path(output)
    if output.suffix not in (".npy", ".parquet"):
        raise ValueError(f"output {output} must end in .npy or .parquet")
    if not output.parent.is_dir():
        raise ValueError(f"{output} cannot be written: there is no folder {output.parent}")
    names, skipped = output.with_suffix(".names.csv"), output.with_suffix(".skipped.csv")
    check_not_read((output, names, skipped), (images, encoder))
    found = embedded(
        images,
        encoder,
        split=split,
        pooling=pooling,
        intensity_range=intensity_range,
        dicom_window=dicom_window,
        slicing=slicing,
        tiling=tiling,
        batch_size=batch_size,
        progress=progress,
    )
    if output.suffix == ".npy":
        write_table(
            names,
            ("image", "index"),
            zip(found.names, range(len(found.names))),
        )
        write_array(output, found.features)
    else:
        _write_parquet(output, found.names, found.features)
    write_skipped(skipped, found.skipped)
    return found.features, found.skipped


def _write_parquet(
    path: pathlib.Path, names: tuple[str, ...], features: Float[np.ndarray, "n d"]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
    with replacing(path) as stream:
        pq.write_table(pa.table([pa.array(names), rows], names=["image", "features"]), stream)
