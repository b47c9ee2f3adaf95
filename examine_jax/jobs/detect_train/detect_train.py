"""The detector training job: images and boxes in, workdir/detector out."""

import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import jax
import numpy as np

from examine_jax.common.atomic_files import write_bytes
from examine_jax.common.configuration import to_plain
from examine_jax.common.processes import is_first, wait_for_all
from examine_jax.common.progress import progress_bar
from examine_jax.common.shapes import PyTree
from examine_jax.detection.boxed_images import BoxedImages, read_boxed_images
from examine_jax.detection.detector_folder import save_detector
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.geometry.anchors import best_overlaps
from examine_jax.detection.repeat_factors import images_by_class, repeated_images_by_class
from examine_jax.detection.starting_weights import (
    check_backbone,
    detector_from_torchvision,
    graft_encoder,
    on_encoder,
)
from examine_jax.detection.training import (
    Detector,
    ValidationSet,
    large_enough,
    train_detector,
)
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.images import SkippedImage
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling
from examine_jax.images.sources.scan import check_workdir
from examine_jax.jobs.detect_train.settings import DetectTrainSettings
from examine_jax.jobs.headers import HIDE_IDS, JobHeaders, PrivacySettings
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.header_groups import HEADER_GROUPS, GroupBy
from examine_jax.reporting.charts.boxes import boxes_on_images
from examine_jax.reporting.tables import write_skipped
from examine_jax.training.settings import PretrainSettings

_SHOWN = 16
_REACHED = 0.9  # below this share of boxes with a good anchor, the user is warned


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedDetector:
    """The result of the job.

    Attributes:
        detector: the detector that is also in workdir/detector.
        settings: the resolved training.
        history: one record a step, as in metrics.jsonl.
        boxed: the training images and boxes.
        boxes: the training boxes in the network's pixels.
        class_counts: by class: images with a box, boxes, images an epoch with repetitions.
        reached: the share of the training boxes with an anchor of IoU .5 and of .7.
        notes: what was printed: where weights came from, what was left out.
        headers: of the images, and what hides names.
        skipped: the rows of skipped.csv.
    """

    detector: Detector
    settings: PretrainSettings
    history: list[dict[str, int | float]]
    boxed: BoxedImages
    boxes: BoxSet
    class_counts: tuple[tuple[str, int, int, float], ...]
    reached: tuple[float, float]
    notes: tuple[str, ...]
    headers: JobHeaders
    skipped: tuple[SkippedImage, ...]


def train_on_boxes(
    settings: DetectTrainSettings,
    *,
    privacy: PrivacySettings = HIDE_IDS,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
    progress: bool = True,
) -> TrainedDetector:
    """Trains a detector and writes workdir/detector, which `load_detector` reads.

    The same call again continues a killed run. The workdir also gets boxes.png, a picture of the
    first images with their boxes, before the training starts; skipped.csv; and metrics.jsonl.

    Args:
        settings: images, boxes and the training.
        privacy: whether names and identifiers of patients may be in the results.
        slicing: which slices of volumes are images.
        tiling: how whole slides are cut into tiles.
        progress: show progress and notes on stderr.

    Raises:
        ValueError, OSError, ImportError: a one-line reason and remedy.
    """
    workdir = pathlib.Path(settings.workdir)
    check_workdir(workdir, settings.images)
    headers = JobHeaders.read(
        (settings.images,),
        privacy,
        outside=(workdir,),
        hashed=settings.group_by in HEADER_GROUPS,
        progress=progress,
    )
    with headers.hiding():
        return _train_on_boxes(settings, workdir, headers, _Parts(slicing, tiling), progress)


@dataclasses.dataclass(frozen=True)
class _Parts:
    """Which parts of volumes and of whole slides are images."""

    slicing: Slicing
    tiling: Tiling


def _train_on_boxes(
    settings: DetectTrainSettings,
    workdir: pathlib.Path,
    headers: JobHeaders,
    parts: _Parts,
    progress: bool,
) -> TrainedDetector:
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        if progress:
            print(text, file=sys.stderr)

    encoder = None if settings.encoder is None else load_encoder(settings.encoder)
    if encoder is not None:
        check_backbone(encoder)
    boxed = _read(settings, settings.boxes, None, parts, progress)
    stored_names = boxed.images.names
    for text in map(headers.text, boxed.images.notes):
        note(f"images: {text}")
    boxes, thin = large_enough(boxed.scaled_boxes)
    boxed = dataclasses.replace(boxed, problems=(*boxed.problems, *thin))
    if not len(boxes):
        left = f"; {thin[0].reason}" if thin else ""
        raise ValueError(
            f"{os.fspath(settings.boxes)}: there is no box on any of the {len(boxes.images)} "
            f"training images: nothing can be learned{left}"
        )
    validation = _validation(settings, boxes.classes, stored_names, headers, parts, progress)
    skipped = headers.skipped(settings.images, boxed.skipped())
    boxed = _shown(boxed, settings.images, headers)
    boxes = dataclasses.replace(boxes, images=boxed.images.names)
    headers.keep_table(progress)

    detector = settings.detector(boxes)
    if encoder is not None:
        detector = on_encoder(detector, encoder)
    repeats, training = _training(settings, boxes)
    if validation is not None:
        every = settings.validate_every or max(1, (training.phases[0].steps or 10) // 10)
        validation = dataclasses.replace(validation, every=every)

    workdir.mkdir(parents=True, exist_ok=True)
    if is_first():
        write_skipped(workdir / "skipped.csv", skipped)
        _check_picture(workdir, boxed, boxes)
    note(
        f"{len(boxes)} boxes of {len(boxes.classes)} classes on {len(boxes.images)} images, "
        f"{int((boxes.counts() == 0).sum())} of them without a box; see {workdir / 'boxes.png'}"
    )
    if skipped:
        note(f"{len(skipped)} images or boxes are not used or were changed: see skipped.csv")
    counts = _class_counts(boxes, repeats)
    for name, images, count, repeated in counts:
        more = "" if repeats is None else f", {repeated:.0f} an epoch with repetitions"
        note(f"  {name}: {count} boxes on {images} images{more}")
    reached = _reached(detector, boxes)
    note(
        f"anchors {_described(detector)}: {reached[0]:.0%} of the boxes have one of IoU .5 or "
        f"more, {reached[1]:.0%} of .7"
    )
    if reached[0] < _REACHED:
        note(
            "warning: the detector learns little of boxes that no anchor reaches; give a larger "
            "--image_size or --anchors=boxes"
        )
    if validation is not None:
        for name in _without_boxes(validation.boxes):
            note(f"warning: no validation image has a box of {name!r}: it is not measured")

    start = _start(settings, detector, encoder, note)
    trained, history = train_detector(
        detector,
        boxed.images.pixels,
        boxes,
        training,
        workdir,
        start=start,
        repeats=repeats,
        validation=validation,
        tensorboard=settings.tensorboard,
        progress=progress,
    )
    remembered = {
        "preset": settings.preset,
        "settings": to_plain(training),
        "images": len(boxed.images),
        "boxes": len(boxes),
        "steps": len(history),
        "final_loss": history[-1]["loss"],
        "started_from": _origin(settings),
        "intensity_range": settings.intensity_range,
        "dicom_window": settings.dicom_window,
    }
    trained = dataclasses.replace(trained, training=json.loads(json.dumps(remembered)))
    if is_first():
        save_detector(workdir / "detector", trained)
    wait_for_all("detector")
    return TrainedDetector(
        trained,
        training,
        history,
        boxed,
        boxes,
        counts,
        reached,
        tuple(notes),
        headers,
        skipped,
    )


def _read(
    settings: DetectTrainSettings,
    boxes: str | os.PathLike[str],
    classes: tuple[str, ...] | None,
    parts: _Parts,
    progress: bool,
) -> BoxedImages:
    with progress_bar("images", progress) as report:
        return read_boxed_images(
            settings.images,
            boxes,
            image_size=settings.input_size,
            channels=int(settings.channels),
            format=settings.format,
            classes=classes,
            unnamed=settings.unnamed,
            intensity_range=settings.intensity_range,
            dicom_window=settings.dicom_window,
            slicing=parts.slicing,
            tiling=parts.tiling,
            on_progress=report,
        )


def _shown(boxed: BoxedImages, source: str | os.PathLike[str], headers: JobHeaders) -> BoxedImages:
    """Images and boxes with names that may be shown."""
    images = headers.images(source, boxed.images)
    return dataclasses.replace(
        boxed, images=images, boxes=dataclasses.replace(boxed.boxes, images=images.names)
    )


def _validation(
    settings: DetectTrainSettings,
    classes: tuple[str, ...],
    trained_on: tuple[str, ...],
    headers: JobHeaders,
    parts: _Parts,
    progress: bool,
) -> ValidationSet | None:
    if settings.validation_boxes is None:
        return None
    boxed = _read(settings, settings.validation_boxes, classes, parts, progress)
    if settings.group_by is not None:
        _check_apart(settings.group_by, settings.images, trained_on, boxed.images.names, headers)
    boxes = large_enough(boxed.scaled_boxes)[0].with_classes(classes)
    return ValidationSet(boxed.images.pixels, boxes, every=1)


def _check_apart(
    by: GroupBy,
    source: str | os.PathLike[str],
    training: tuple[str, ...],
    validation: tuple[str, ...],
    headers: JobHeaders,
) -> None:
    """Refuses validation images of a patient, or of another group, with training images."""
    names = tuple(dict.fromkeys((*training, *validation)))
    groups, _ = headers.groups(source, names, by)
    of = dict(zip(names, groups.tolist()))
    shared = sorted({of[name] for name in training} & {of[name] for name in validation})
    if shared:
        raise ValueError(
            f"--group_by={by}: {len(shared)} groups, such as {shared[0]!r}, have training and "
            "validation images, so that the validation would be too good: give validation boxes "
            "of other groups"
        )


def _training(
    settings: DetectTrainSettings, boxes: BoxSet
) -> tuple[np.ndarray | None, PretrainSettings]:
    """(repeat factors, the training's settings)."""
    recipe, count = settings.recipe, len(boxes.images)
    repeats = None if recipe.repeat is None else recipe.repeat.of(boxes)
    if settings.batch_size is not None and settings.batch_size > count:
        raise ValueError(
            f"a batch of {settings.batch_size} out of {count} images; choose a batch size up to "
            f"{count}"
        )
    training = recipe.settings(
        count if repeats is None else int(repeats.sum()),
        steps=settings.steps,
        batch_size=settings.batch_size or min(recipe.batch_size, count),
        seed=settings.seed,
    )
    return repeats, training


def _check_picture(workdir: pathlib.Path, boxed: BoxedImages, boxes: BoxSet) -> None:
    """Writes the picture by which a user sees that the boxes are where they should be."""
    with_boxes = np.flatnonzero(boxes.counts() > 0)[:_SHOWN]
    shown = with_boxes if len(with_boxes) else np.arange(min(_SHOWN, len(boxes.images)))
    picture = boxes_on_images(boxed.images.pixels[shown], boxes.select(shown.tolist()))
    write_bytes(workdir / "boxes.png", picture)


def _class_counts(
    boxes: BoxSet, repeats: np.ndarray | None
) -> tuple[tuple[str, int, int, float], ...]:
    images = images_by_class(boxes)
    counts = np.bincount(boxes.label, minlength=len(boxes.classes))
    factors = np.ones(len(boxes.images)) if repeats is None else repeats
    repeated = repeated_images_by_class(boxes, factors)
    return tuple(
        zip(boxes.classes, images.tolist(), counts.tolist(), repeated.tolist(), strict=True)
    )


def _reached(detector: FasterRCNN, boxes: BoxSet) -> tuple[float, float]:
    overlap = best_overlaps(detector.anchors, detector.height, detector.width, boxes.corners)
    return float((overlap >= 0.5).mean()), float((overlap >= 0.7).mean())


def _described(detector: FasterRCNN) -> str:
    levels = (", ".join(f"{size:g}" for size in sizes) for sizes in detector.anchors.sizes)
    return " | ".join(levels) + " px"


def _without_boxes(boxes: BoxSet) -> Sequence[str]:
    counts = np.bincount(boxes.label, minlength=len(boxes.classes))
    return [name for name, count in zip(boxes.classes, counts) if not count]


def _start(
    settings: DetectTrainSettings,
    detector: FasterRCNN,
    encoder: Encoder | None,
    note: Callable[[str], None],
) -> tuple[PyTree, PyTree] | None:
    """(params, state) from other weights, with a note on where each came from."""
    if settings.init is None and encoder is None:
        return None
    if settings.init is not None:
        params, state, account = detector_from_torchvision(
            settings.init, detector, jax.random.key(settings.seed)
        )
    else:
        assert encoder is not None
        params, state = jax.jit(detector.init)(jax.random.key(settings.seed), {})
        params, state, account = graft_encoder(detector, params, state, encoder)
    for line in account:
        note(line)
    return params, state


def _origin(settings: DetectTrainSettings) -> str | None:
    source = settings.encoder if settings.init is None else settings.init
    return None if source is None else pathlib.Path(source).name
