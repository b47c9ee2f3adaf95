"""The training job: images in, a trained encoder's folder out."""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import UInt8
from examine_jax.common.subset import subset_indices
from examine_jax.encoders import Encoder
from examine_jax.encoders.base import Base
from examine_jax.encoders.train import adapted_method, train_and_save
from examine_jax.evaluation.adaptation import LEAST_IMAGES
from examine_jax.evaluation.monitor import FeatureMonitor
from examine_jax.images import ImageSet, SkippedImage, load_images, sample_images, stream_images
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.sources.load import check_dicom_settings, dicom_settings
from examine_jax.images.sources.scan import check_workdir
from examine_jax.jobs.headers import HIDE_IDS, JobHeaders, PrivacySettings, names_in_table
from examine_jax.jobs.pretrain.comparison import Comparison, compare_encoders
from examine_jax.jobs.pretrain.settings import DEFAULT_TRAINING, LABEL, TrainingSettings
from examine_jax.labelled.tables import Labels, check_label_file, read_labels
from examine_jax.pretraining import PretrainSettings
from examine_jax.training.method import IMAGE, uses_column

_MONITORED_IMAGES = 512


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedEncoder:
    """The result of a training job.

    Attributes:
        encoder: the encoder that is also in workdir/encoder.
        settings: the resolved settings.
        history: one record a step, as in metrics.jsonl.
        images: the number of training images.
        examples: uint8 [M, S, S, C], some of the images.
        skipped: files that could not be read.
        resized_up: the number of images that were enlarged.
        headers: of the images, and what hides names.
        base: what the training went on from; None: random weights.
        comparison: the encoder before and after, and one from scratch; None: it was not asked for.
    """

    encoder: Encoder
    settings: PretrainSettings
    history: list[dict[str, int | float]]
    images: int
    examples: UInt8[np.ndarray, "m size size channels"]
    skipped: tuple[SkippedImage, ...]
    resized_up: int
    headers: JobHeaders
    base: Base | None = None
    comparison: Comparison | None = None


def train_encoder(
    images: str | os.PathLike[str] | None,
    workdir: str | os.PathLike[str],
    settings: TrainingSettings = DEFAULT_TRAINING,
    *,
    split: str | None = None,
    on_demand: bool = False,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int = 1,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
    labels: str | os.PathLike[str] | None = None,
    image_column: str = "image",
    label_column: str = "label",
    watch_every: int | None = 100,
    tensorboard: bool = False,
    privacy: PrivacySettings = HIDE_IDS,
    progress: bool = True,
) -> TrainedEncoder:
    """Trains an encoder on images and writes workdir/encoder, which `load_encoder` reads.

    The same call again continues a killed run.

    Args:
        images: a folder, .npy, .npz, a prepared TFDS folder or "tfds:NAME"; None: the sample that
            ships with scikit-image.
        workdir: receives encoder/, checkpoints/, metrics.jsonl.
        settings: what is trained and how.
        split: the split of a TFDS data set or an .npz file.
        on_demand: decodes images while training, for sets larger than memory.
        intensity_range: (black, white) of grey DICOM values after rescaling, in place of their
            windows. The encoder's folder keeps it for later images.
        dicom_window: which of a DICOM file's windows; kept likewise.
        slicing: which slices of volumes are images.
        tiling: how whole slides are cut into tiles.
        labels: a CSV file with labels of some or all images, used only for metrics (kNN accuracy,
            and whether extra positives are of the right class). Only "byol_sup" trains with labels;
            it needs one of each image.
        image_column, label_column: the headers of the CSV file's columns.
        watch_every: steps between two evaluations of the features of some images; None: none.
        tensorboard: also writes event files.
        privacy: whether names and identifiers of patients may be in the results.
        progress: shows progress on stderr.

    Raises:
        ValueError, OSError, ImportError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(workdir)
    check_workdir(workdir, images)
    if settings.needs_labels() and labels is None:
        raise ValueError(f"{settings.method} trains with labels: give a CSV file of labels")
    base = settings.base()
    shape = settings.encoder(base)
    if base is not None:
        shown = dicom_settings(
            images or "",
            base.encoder.training,
            intensity_range,
            None if dicom_window == 1 else dicom_window,
        )
        intensity_range, dicom_window = shown["intensity_range"], shown["dicom_window"]
    if labels is not None:
        check_label_file(labels, image_column, label_column)
    headers = JobHeaders.read((images,), privacy, outside=(workdir,), progress=progress)
    with headers.hiding():
        with progress_bar("images", progress) as report:
            if images is None:
                check_dicom_settings("sample:training", intensity_range, dicom_window)
                source: Any = sample_images(image_size=shape.image_size, channels=shape.channels)[0]
            else:
                read: Callable[..., Any] = stream_images if on_demand else load_images
                source = read(
                    images,
                    image_size=shape.image_size,
                    channels=shape.channels,
                    split=split,
                    intensity_range=intensity_range,
                    dicom_window=dicom_window,
                    slicing=slicing,
                    tiling=tiling,
                    on_progress=report,
                )
        stored_names, stored_skipped = source.names, source.skipped
        source = headers.images(images, source)
        headers.keep_table(progress)
        for note in getattr(source, "notes", ()) if progress else ():
            print(f"images: {note}", file=sys.stderr)
        pixels = source.pixels if isinstance(source, ImageSet) else source
        if base is not None and settings.compare and len(pixels) < LEAST_IMAGES:
            raise ValueError(
                f"{len(pixels)} images are too few to compare encoders: give {LEAST_IMAGES}, or "
                "leave the comparison out (--nocompare)"
            )
        method, training = settings.resolve(len(pixels), base)
        if progress and settings.batch_size is None and training.batch_size == len(pixels):
            print(f"a batch is all {len(pixels)} images: there are no more", file=sys.stderr)
        known = None
        if labels is not None:
            named = names_in_table(labels, image_column, stored_names, source.names)
            skipped = source.skipped if named is source.names else stored_skipped
            known = read_labels(
                labels,
                named or (),
                image_column=image_column,
                label_column=label_column,
                # Where labels serve metrics alone, some images may lack one.
                partial=not settings.needs_labels(),
                skipped=[item.name for item in skipped],
            )
            _check_known(labels, known)
        columns = {IMAGE: pixels}
        if known is not None and uses_column(method, LABEL):
            columns[LABEL] = known.values
        monitor = (
            None if watch_every is None else _monitor(pixels, known, watch_every, settings.seed)
        )
        low_rank = settings.low_rank()
        trained = method if low_rank is None else adapted_method(method, low_rank, base)
        encoder, history = train_and_save(
            method,
            (columns,),
            training,
            workdir,
            architecture=settings.architecture if base is None else base.name,
            base=base,
            low_rank=low_rank,
            names=source.names,
            bits_stored=getattr(source, "bits_stored", None),
            intensity_range=intensity_range,
            dicom_window=dicom_window,
            observer=None if monitor is None else monitor.observer(trained),
            tensorboard=tensorboard,
            progress=progress,
        )
        comparison = None
        if base is not None and settings.compare:
            comparison = compare_encoders(
                base,
                encoder,
                method,
                columns,
                None if known is None else known.values,
                training,
                workdir / "from_scratch",
                progress=progress,
            )
        return TrainedEncoder(
            encoder,
            training,
            history,
            len(pixels),
            pixels[subset_indices(len(pixels), 8, settings.seed)],
            tuple(source.skipped),
            getattr(source, "resized_up", 0),
            headers,
            base,
            comparison,
        )


def _check_known(path: str | os.PathLike[str], labels: Labels) -> None:
    num_known = int((labels.values >= 0).sum())
    if not num_known:
        raise ValueError(
            f"{os.fspath(path)} has no label for any of the {len(labels.values)} images; leave it "
            "out, or add rows"
        )
    if num_known < len(labels.values):
        print(
            f"{os.fspath(path)} has labels for {num_known} of {len(labels.values)} images",
            file=sys.stderr,
        )


def _monitor(pixels: Any, labels: Labels | None, every: int, seed: int) -> FeatureMonitor | None:
    rows = (
        np.arange(len(pixels), dtype=np.int32)
        if labels is None
        else np.flatnonzero(labels.values >= 0)
    )
    chosen = rows[subset_indices(len(rows), _MONITORED_IMAGES, seed)].astype(np.int32)
    if len(chosen) < 2:
        return None if labels is None else _monitor(pixels, None, every, seed)
    return FeatureMonitor(
        pixels[chosen], None if labels is None else labels.values[chosen], every=every
    )
