"""The training job: images in, a trained encoder's folder out."""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from examine_jax.common.progress import progress_bar
from examine_jax.common.settings import setting
from examine_jax.common.shapes import UInt8
from examine_jax.common.subset import subset_indices
from examine_jax.encoders import Encoder
from examine_jax.encoders.train import train_and_save
from examine_jax.evaluation.monitor import FeatureMonitor
from examine_jax.images import ImageSet, SkippedImage, load_images, sample_images, stream_images
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.sources.load import check_dicom_settings
from examine_jax.images.sources.scan import check_workdir
from examine_jax.jobs.headers import HIDE_IDS, JobHeaders, PrivacySettings, names_in_table
from examine_jax.labelled.tables import Labels, check_label_file, read_labels
from examine_jax.models.architectures import ARCHITECTURES, Architecture
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining import Method, PretrainSettings, method_preset
from examine_jax.pretraining.registry import METHODS
from examine_jax.training.method import IMAGE, EncoderConfig, required_columns, uses_column

_MONITORED_IMAGES = 512
_LABEL = "label"  # the column of the classes


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """What is trained and how; None: the preset's value.

    A preset's batch that is larger than the set is cut down to it; a larger `batch_size` given here
    is an error.
    """

    method: str = setting(
        "mae",
        "The method.",
        known=lambda: [named.name for named in METHODS],
        metavar="NAME",
        main=True,
    )
    preset: str = setting(
        "small",
        "The method's settings; not every method has each.",
        known=lambda: list(dict.fromkeys(preset for named in METHODS for preset in named.presets)),
        metavar="NAME",
        main=True,
    )
    architecture: str = setting(
        "small", "The encoder's architecture.", known=ARCHITECTURES, metavar="NAME", main=True
    )
    image_size: int | None = setting(
        None,
        "Images are resized to this side. If not given: the architecture's.",
        minimum=1,
        main=True,
    )
    channels: int | None = setting(
        None, "1: grey, 3: colour. If not given: the architecture's.", minimum=1
    )
    steps: int | None = setting(
        None, "Training steps. If not given: the preset's.", minimum=1, main=True
    )
    batch_size: int | None = setting(
        None, "Images a step. If not given: the preset's.", minimum=1, main=True
    )
    accumulate: int | None = setting(None, "Micro-batches a step.", minimum=1)
    dtype: Literal["float32", "bfloat16"] | None = setting(
        None, "Of the computation; parameters are always float32."
    )
    remat: bool = setting(
        False, "Recompute blocks in the backward pass: less memory, a third more work."
    )
    seed: int = setting(0, "Of all random numbers.", minimum=0, main=True)

    def encoder(self) -> EncoderConfig:
        """The encoder's configuration."""
        return self._architecture().encoder

    def needs_labels(self) -> bool:
        """Whether the method trains with labels."""
        return _LABEL in required_columns(self._method())

    def uses_labels(self) -> bool:
        """Whether the method trains with labels, or reports by them."""
        return uses_column(self._method(), _LABEL)

    def resolve(self, num_images: int) -> tuple[Method, PretrainSettings]:
        """The method and its training on so many images.

        Raises:
            ValueError: unknown names (says which there are), an architecture that the method cannot
                use, a batch larger than the set.
        """
        if self.batch_size is not None and self.batch_size > num_images:
            raise ValueError(
                f"a batch of {self.batch_size} out of {num_images} images; choose a batch size up "
                f"to {num_images}"
            )
        chosen = self._architecture()
        _, settings = method_preset(self.method, chosen, preset=self.preset)
        batch_size = min(self.batch_size or settings.batch_size, num_images)
        steps = self.steps or settings.phases[0].count(max(1, num_images // batch_size))
        method, settings = method_preset(self.method, chosen, preset=self.preset, steps=steps)
        settings = dataclasses.replace(settings, batch_size=batch_size, seed=self.seed)
        if self.accumulate is not None:
            settings = dataclasses.replace(settings, accumulate=self.accumulate)
        return method, settings

    def _method(self) -> Method:
        return method_preset(self.method, self._architecture(), preset=self.preset)[0]

    def _architecture(self) -> Architecture:
        chosen = named_architecture(
            self.architecture, image_size=self.image_size, channels=self.channels
        )
        changes: dict[str, Any] = {"remat": True} if self.remat else {}
        if self.dtype is not None:
            changes["dtype"] = self.dtype
        return dataclasses.replace(chosen, encoder=dataclasses.replace(chosen.encoder, **changes))


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
    """

    encoder: Encoder
    settings: PretrainSettings
    history: list[dict[str, int | float]]
    images: int
    examples: UInt8[np.ndarray, "m size size channels"]
    skipped: tuple[SkippedImage, ...]
    resized_up: int
    headers: JobHeaders


def train_encoder(
    images: str | os.PathLike[str] | None,
    workdir: str | os.PathLike[str],
    settings: TrainingSettings = TrainingSettings(),
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
    shape = settings.encoder()
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
        method, training = settings.resolve(len(pixels))
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
        if known is not None and uses_column(method, _LABEL):
            columns[_LABEL] = known.values
        monitor = (
            None if watch_every is None else _monitor(pixels, known, watch_every, settings.seed)
        )
        encoder, history = train_and_save(
            method,
            (columns,),
            training,
            workdir,
            architecture=settings.architecture,
            names=source.names,
            bits_stored=getattr(source, "bits_stored", None),
            intensity_range=intensity_range,
            dicom_window=dicom_window,
            observer=None if monitor is None else monitor.observer(method),
            tensorboard=tensorboard,
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
