"""The training job: images in, a trained encoder's folder out; for whoever wants the encoder alone."""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import UInt8
from examine_jax.common.subset import subset_indices
from examine_jax.encoders import Encoder
from examine_jax.encoders.train import train_and_save
from examine_jax.evaluation.monitor import FeatureMonitor
from examine_jax.images import ImageSet, SkippedImage, load_images, sample_images, stream_images
from examine_jax.labelled.tables import Labels, check_label_file, read_labels
from examine_jax.models.presets import architecture as named_architecture
from examine_jax.pretraining import Method, PretrainSettings, method_preset
from examine_jax.pretraining.methods.byol_tracin import BYOLTracIn

_WATCHED_IMAGES = 512


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """What is trained and how; None: as the preset has it.

    Attributes:
        method, preset: by name (`pretraining.method_names`, `preset_names`).
        architecture: by name (`models.PRESETS`).
        image_size, channels: of what the encoder sees.
        steps, batch_size: of the training. A preset's batch that is larger than the set is cut down to it; one given here is an error.
        accumulate: micro-batches a step.
        dtype: of the computation; parameters are float32 always.
        remat: compute blocks again on the way back, in place of keeping their results: less memory, a third more work.
        seed: of everything random.
    """

    method: str = "mae"
    preset: str = "small"
    architecture: str = "small"
    image_size: int | None = None
    channels: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    accumulate: int | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    remat: bool = False
    seed: int = 0

    def encoder(self) -> Any:
        """The encoder's configuration."""
        return self._architecture().encoder

    def resolve(self, num_images: int) -> tuple[Method, PretrainSettings]:
        """The method and its training on so many images.

        Raises:
            ValueError: unknown names (says which there are), an architecture that the method cannot use, a batch larger than the set.
        """
        if self.batch_size is not None and self.batch_size > num_images:
            raise ValueError(
                f"a batch of {self.batch_size} out of {num_images} images; choose a batch size up to {num_images}"
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

    def _architecture(self) -> Any:
        chosen = named_architecture(self.architecture, image_size=self.image_size, channels=self.channels)
        changes: dict[str, Any] = {"remat": True} if self.remat else {}
        if self.dtype is not None:
            changes["dtype"] = self.dtype
        return dataclasses.replace(chosen, encoder=dataclasses.replace(chosen.encoder, **changes))


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedEncoder:
    """What a training job ends with.

    Attributes:
        encoder: also in workdir/encoder.
        settings: the resolved ones.
        history: a record a step, as in metrics.jsonl.
        images: how many it was trained on.
        examples: uint8 [M, S, S, C], some of them.
        skipped, resized_up: what was met and not read; how many images were enlarged.
    """

    encoder: Encoder
    settings: PretrainSettings
    history: list[dict[str, int | float]]
    images: int
    examples: UInt8[np.ndarray, "m size size channels"]
    skipped: tuple[SkippedImage, ...]
    resized_up: int


def train_encoder(
    images: str | os.PathLike[str] | None,
    workdir: str | os.PathLike[str],
    settings: TrainingSettings = TrainingSettings(),
    *,
    split: str | None = None,
    on_demand: bool = False,
    labels: str | os.PathLike[str] | None = None,
    image_column: str = "image",
    label_column: str = "label",
    watch_every: int | None = 100,
    tensorboard: bool = False,
    progress: bool = True,
) -> TrainedEncoder:
    """Trains an encoder on images and writes workdir/encoder, which `load_encoder` reads.

    The same call again goes on where a killed one was.

    Args:
        images: a folder, .npy, .npz, a prepared TFDS folder or "tfds:NAME"; None: the sample that ships with scikit-image.
        workdir: receives encoder/, checkpoints/, metrics.jsonl.
        settings: what and how.
        split: of a TFDS data set or an .npz file.
        on_demand: decode images while training, for sets larger than memory.
        labels: a CSV file; for watching alone (kNN accuracy, and whether extra positives are of the right class), of all images or some.
            The training never sees a label, but for "byol_sup", which is trained by them, and needs one of each.
        image_column, label_column: its headers.
        watch_every: steps between two looks at the features of some images; None: no looks.
        tensorboard: write event files too.
        progress: say on stderr how far everything is.

    Raises:
        ValueError, OSError, ImportError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(workdir)
    if settings.method == "byol_sup" and labels is None:
        raise ValueError("byol_sup draws its extra positives by label: give a CSV file of labels")
    shape = settings.encoder()
    if labels is not None:
        check_label_file(labels, image_column, label_column)
    with progress_bar("images", progress) as report:
        if images is None:
            source: Any = sample_images(image_size=shape.image_size, channels=shape.channels)[0]
        else:
            read: Callable[..., Any] = stream_images if on_demand else load_images
            source = read(images, image_size=shape.image_size, channels=shape.channels, split=split, on_progress=report)
    pixels = source.pixels if isinstance(source, ImageSet) else source
    method, training = settings.resolve(len(pixels))
    if progress and settings.batch_size is None and training.batch_size == len(pixels):
        print(f"a batch is all {len(pixels)} images: there are no more", file=sys.stderr)
    known = None
    if labels is not None:
        known = read_labels(
            labels,
            source.names,
            image_column=image_column,
            label_column=label_column,
            partial=settings.method != "byol_sup",  # labels that are only reported by may be of some images alone
            skipped=[item.name for item in source.skipped],
        )
        _check_known(labels, known)
    if known is not None and isinstance(method, BYOLTracIn):
        method = dataclasses.replace(method, labels=tuple(known.values.tolist()))
    monitor = None if watch_every is None else _monitor(pixels, known, watch_every, settings.seed)
    encoder, history = train_and_save(
        method,
        (pixels,),
        training,
        workdir,
        architecture=settings.architecture,
        names=source.names,
        bits_stored=getattr(source, "bits_stored", None),
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
    )


def _check_known(path: str | os.PathLike[str], labels: Labels) -> None:
    num_known = int((labels.values >= 0).sum())
    if not num_known:
        raise ValueError(
            f"{os.fspath(path)} has no label for any of the {len(labels.values)} images; leave it out, or add rows"
        )
    if num_known < len(labels.values):
        print(f"{os.fspath(path)} has labels for {num_known} of {len(labels.values)} images", file=sys.stderr)


def _monitor(pixels: Any, labels: Labels | None, every: int, seed: int) -> FeatureMonitor | None:
    rows = np.arange(len(pixels), dtype=np.int32) if labels is None else np.flatnonzero(labels.values >= 0)
    chosen = rows[subset_indices(len(rows), _WATCHED_IMAGES, seed)].astype(np.int32)
    if len(chosen) < 2:
        return None if labels is None else _monitor(pixels, None, every, seed)
    return FeatureMonitor(pixels[chosen], None if labels is None else labels.values[chosen], every=every)
