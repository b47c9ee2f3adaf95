"""The embedding job: writes the features that a trained encoder gives images."""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from examine_jax.common.atomic_files import check_not_read, replacing, write_array
from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import Float, Shaped
from examine_jax.encoders.embedding import EmbeddingSpeed
from examine_jax.encoders.in_words import of_others
from examine_jax.encoders.settings import DEFAULT_USE, EncoderUse
from examine_jax.images import SkippedImage, load_images
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.sources.load import dicom_settings
from examine_jax.jobs.embedded_together import embed_together
from examine_jax.jobs.headers import HIDE_IDS, JobHeaders, PrivacySettings
from examine_jax.jobs.slide_columns import slide_columns
from examine_jax.labelled.header_groups import HEADER_GROUPS
from examine_jax.reporting.tables import write_skipped, write_table


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddedImages:
    """The readable images of a source, and their features.

    Attributes:
        features: [N, D]; with the feature "tokens", [N, tokens, D].
        images: [N, S, S, C] uint8, at the encoder's size.
        names: [N], the images' names.
        skipped: the files that could not be read, each with its reason.
        stored_names: [N], the names by which the images' files are found, where `names` hide what
            these hold.
        headers: of the images, and what hides names.
    """

    features: Float[np.ndarray, "images *features"]
    images: Shaped[np.ndarray, "images height width channels"]
    names: tuple[str, ...]
    skipped: tuple[SkippedImage, ...]
    stored_names: tuple[str, ...]
    headers: JobHeaders

    def column(self, by: str) -> Sequence[str]:
        """The patient, study or series of each image; "": its header does not say."""
        source = next(iter(self.headers.sources))
        return self.headers.column(source, self.stored_names, by)


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
    privacy: PrivacySettings = HIDE_IDS,
    outside: Iterable[str | os.PathLike[str]] = (),
    not_beside: Iterable[str | os.PathLike[str]] = (),
    hashed: bool = False,
    use: EncoderUse = DEFAULT_USE,
    batch_size: int = 64,
    progress: bool = True,
) -> EmbeddedImages:
    """Reads images at an encoder's size and channels, and embeds them.

    Args and errors are those of `embed_images`; `outside`, `not_beside` and `hashed` are
    those of `JobHeaders.read`.
    """
    headers = JobHeaders.read(
        (images,),
        privacy,
        outside=outside,
        not_beside=not_beside,
        hashed=hashed,
        progress=progress,
    )
    with headers.hiding():
        return _embedded(
            images,
            encoder,
            headers,
            split=split,
            pooling=pooling,
            intensity_range=intensity_range,
            dicom_window=dicom_window,
            slicing=slicing,
            tiling=tiling,
            use=use,
            batch_size=batch_size,
            progress=progress,
        )


def _embedded(
    images: str | os.PathLike[str],
    encoder: str | os.PathLike[str],
    headers: JobHeaders,
    *,
    split: str | None,
    pooling: str | None,
    intensity_range: tuple[float, float] | None,
    dicom_window: int | None,
    slicing: Slicing,
    tiling: Tiling,
    use: EncoderUse,
    batch_size: int,
    progress: bool,
) -> EmbeddedImages:
    trained = use.load(encoder, pooling)
    others = of_others(trained)
    if progress and others is not None:
        print(others, file=sys.stderr)
    with progress_bar("images", progress) as report:
        found = load_images(
            images,
            image_size=trained.load_size,
            channels=trained.channels,
            split=split,
            bits_stored=trained.training.get("bits_stored"),
            **dicom_settings(images, trained.training, intensity_range, dicom_window),
            slicing=slicing,
            tiling=tiling,
            on_progress=report,
        )
    stored_names = found.names
    found = headers.images(images, found)
    for note in found.notes if progress else ():
        print(f"images: {note}", file=sys.stderr)
    speeds: list[EmbeddingSpeed] = []
    with progress_bar("embedded", progress) as report:
        features = embed_together(
            trained,
            found.pixels,
            found.names,
            batch_size=batch_size,
            fill_memory=use.fill_memory,
            on_progress=report,
            on_speed=speeds.append,
        )
    if progress:
        print(f"embedded: {speeds[0]}", file=sys.stderr)
    return EmbeddedImages(features, found.pixels, found.names, found.skipped, stored_names, headers)


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
    privacy: PrivacySettings = HIDE_IDS,
    use: EncoderUse = DEFAULT_USE,
    batch_size: int = 64,
    progress: bool = True,
) -> tuple[Float[np.ndarray, "images *features"], tuple[SkippedImage, ...]]:
    """Writes the features of images, [N, D] float32, with the images' names.

    To F.npy and F.names.csv, or to a Parquet file with the columns image and features. Files that
    cannot be read are left out and listed in F.skipped.csv. `score_features` reads both forms.

    Where files are DICOM, the names have further columns: patient, study, series and modality, each
    empty where a header does not say. Other commands group by them. A Parquet file of whole slides
    has the columns slide, x, y, width and mpp too, as `slide_columns` gives them.

    Args:
        images: as in `load_images`.
        encoder: as in `load_encoder`.
        output: .npy or .parquet.
        split: of a TFDS data set or an .npz file.
        pooling: "mean" or "class_token", of a vision transformer's tokens. None: the encoder's own.
        intensity_range: (black, white) of grey DICOM values after rescaling, in place of their
            windows. None: as in the encoder's training.
        dicom_window: which of a DICOM file's windows. None: as in the encoder's training.
        slicing: which slices of volumes are images.
        tiling: how whole slides are cut into tiles.
        privacy: whether names and identifiers of patients may be in the files.
        use: which of the encoder's outputs are the features, and how they are computed.
        batch_size: images at once on each device; `use` may allow an accelerator more.
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
    if output.suffix == ".parquet" and use.feature == "tokens":
        raise ValueError(f"output {output}: a table has no place for tokens; give a .npy file")
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
        privacy=privacy,
        not_beside=(output,),
        hashed=True,
        use=use,
        batch_size=batch_size,
        progress=progress,
    )
    columns = header_columns(found)
    found.headers.keep_table(progress)
    if output.suffix == ".npy":
        write_table(
            names,
            ("image", "index", *columns),
            zip(found.names, range(len(found.names)), *columns.values()),
        )
        write_array(output, found.features)
    else:
        places = slide_columns(images, found.stored_names, found.names)
        _write_parquet(output, {"image": found.names, **columns, **places}, found.features)
    write_skipped(skipped, found.skipped)
    return found.features, found.skipped


def header_columns(found: EmbeddedImages) -> dict[str, Sequence[str]]:
    """The columns that headers give, by name; none where no file has a header."""
    columns = {by: found.column(by) for by in HEADER_GROUPS}
    source = next(iter(found.headers.sources))
    columns["modality"] = found.headers.modalities(source, found.stored_names)
    return columns if any(map(any, columns.values())) else {}


def _write_parquet(
    path: pathlib.Path,
    columns: Mapping[str, Sequence[str | int | float | None]],
    features: Float[np.ndarray, "n d"],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
    with replacing(path) as stream:
        # A column without any value, such as an unknown resolution, is one of numbers.
        held = [
            pa.array(column, pa.float64() if all(value is None for value in column) else None)
            for column in columns.values()
        ]
        pq.write_table(pa.table([*held, rows], names=[*columns, "features"]), stream)
