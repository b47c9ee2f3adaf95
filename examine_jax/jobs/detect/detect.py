"""The detection job: images and a detector in, a file of boxes out."""

import dataclasses
import os
import pathlib
import sys
from typing import Any, Literal

import numpy as np

from examine_jax.common.atomic_files import check_not_read
from examine_jax.common.processes import is_first
from examine_jax.common.progress import progress_bar
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Shaped
from examine_jax.detection.boxed_images import join_boxes
from examine_jax.detection.detector_folder import load_detector
from examine_jax.detection.metrics import DetectionMetrics, MetricSettings, evaluate
from examine_jax.detection.slide_boxes import in_slides
from examine_jax.detection.training import Detector
from examine_jax.images import ImageSet, load_images
from examine_jax.images.decoding.slicing import EVERY_SLICE, Slicing
from examine_jax.images.decoding.tiling import HALF_MICROMETRE, Tiling, place_in_slide
from examine_jax.images.slide_overviews import slide_facts
from examine_jax.images.sources.load import dicom_settings
from examine_jax.jobs.detect.together import predict_together
from examine_jax.jobs.headers import HIDE_IDS, JobHeaders, PrivacySettings, names_in_table
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.coco import coco_ids, write_coco_results
from examine_jax.labelled.boxes.reading import format_of, write_boxes
from examine_jax.labelled.header_groups import HEADER_GROUPS, GroupBy
from examine_jax.labelled.tables import read_column
from examine_jax.reporting.tables import write_skipped

Format = Literal["csv", "coco", "coco_results", "label_studio", "cvat"]
_SUFFIX = {"csv": ".csv"}


@dataclasses.dataclass(frozen=True)
class DetectSettings:
    """Images, the detector, and the file to write."""

    images: str | os.PathLike[str] = setting(
        help="A folder, list or archive of images; DICOM too.", metavar="PATH", main=True
    )
    detector: str | os.PathLike[str] = setting(
        help="OUT/detector of launch.detect_train.", metavar="FOLDER", main=True
    )
    output: str | os.PathLike[str] = setting(
        help="The file of detections, .csv or .json; its page is beside it.",
        metavar="FILE",
        main=True,
    )
    format: Format | None = setting(
        None,
        "Of the file. If not given: csv for .csv; coco_results for .json, with the ids of --boxes.",
        main=True,
    )
    least_score: float = setting(
        0.05, "Detections with a lower score are left out.", minimum=0, maximum=1, main=True
    )
    boxes: str | os.PathLike[str] | None = setting(
        None, "The true boxes, to measure the detections by.", metavar="PATH", main=True
    )
    boxes_format: str | None = setting(
        None, "Of the true boxes. If not given: by the file's name and content.", metavar="NAME"
    )
    unnamed: Literal["left_out", "negative"] = setting(
        "left_out",
        "Images that --boxes does not name: not measured, or taken as without a box.",
        main=True,
    )
    groups: str | os.PathLike[str] | None = setting(
        None,
        "A .csv file: each image's patient, for the metrics' intervals.",
        metavar="FILE",
        main=True,
    )
    group_by: GroupBy | None = setting(
        None,
        "In place of --groups: images of one patient, study or series by their DICOM headers, of "
        "one folder, or of one slide, volume or file.",
    )
    image_column: str = setting("image", "The header of the names in --groups.", metavar="NAME")
    group_column: str = setting("group", "The header of the groups.", metavar="NAME")
    bootstrap_draws: int = setting(200, "Of the metrics' intervals; 0: none.", minimum=0)
    batch_size: int = setting(8, "Images at once.", minimum=1)
    intensity_range: tuple[float, float] | None = setting(
        None,
        "Black and white of grey DICOM values. If not given: as in the training.",
        metavar="LOW,HIGH",
    )
    dicom_window: int | None = setting(
        None, "Which of a DICOM file's windows. If not given: as in the training.", minimum=1
    )

    def __post_init__(self) -> None:
        output = pathlib.Path(self.output)
        if output.suffix.lower() not in (".csv", ".json"):
            raise ValueError(f"output {output} must end in .csv or .json")
        wanted = _SUFFIX.get(self.format or "", ".json") if self.format else output.suffix.lower()
        if wanted != output.suffix.lower():
            raise ValueError(f"output {output}: the format {self.format} is written to {wanted}")
        if not output.parent.is_dir():
            raise ValueError(f"{output} cannot be written: there is no folder {output.parent}")
        check_not_read([output, self.page], (self.boxes, self.groups))
        if self.groups is not None and self.group_by is not None:
            raise ValueError("--groups and --group_by both say the groups: leave one of them out")
        if (self.groups is not None or self.group_by is not None) and self.boxes is None:
            flag = "--groups" if self.group_by is None else "--group_by"
            raise ValueError(f"{flag} serves the metrics' intervals: give --boxes=PATH too")

    @property
    def page(self) -> pathlib.Path:
        """The page beside the file."""
        return pathlib.Path(self.output).with_suffix(".html")


@dataclasses.dataclass(frozen=True, eq=False)
class DetectedBoxes:
    """The result of the job.

    Attributes:
        detector: what found the boxes.
        images: in the network's size.
        predictions: the detections, in the images' own pixels.
        truth: the true boxes likewise, on the measured images, or None.
        measured: the rows of the measured images.
        metrics: of the detections on these, or None.
        skipped: of images, and of true boxes.
        headers: of the images, and what hides names.
        whole: the detections, those on tiles as detections on their slides.
    """

    detector: Detector
    images: ImageSet
    predictions: BoxSet
    truth: BoxSet | None
    measured: Shaped[np.ndarray, " measured"]
    metrics: DetectionMetrics | None
    skipped: tuple[Any, ...]
    headers: JobHeaders
    whole: BoxSet


def detect_boxes(
    settings: DetectSettings,
    *,
    privacy: PrivacySettings = HIDE_IDS,
    slicing: Slicing = EVERY_SLICE,
    tiling: Tiling = HALF_MICROMETRE,
    progress: bool = True,
) -> DetectedBoxes:
    """Finds objects in images and writes the file of detections, whole or not at all.

    Beside OUTPUT.csv, OUTPUT.skipped.csv lists what could not be read, if there is anything.

    On whole slides, the boxes of the file are in pixels of the slide's finest level, and of boxes
    that neighbouring tiles share, one is kept.

    Args:
        settings: images, detector and output.
        privacy: whether names and identifiers of patients may be in the results.
        slicing: which slices of volumes are images.
        tiling: how whole slides are cut into tiles.
        progress: show progress on stderr.

    Raises:
        ValueError, OSError, ImportError: a one-line reason and remedy.
    """
    headers = JobHeaders.read(
        (settings.images,),
        privacy,
        not_beside=(settings.output,),
        hashed=settings.group_by in HEADER_GROUPS,
        progress=progress,
    )
    with headers.hiding():
        return _detect_boxes(settings, headers, slicing, tiling, progress)


def _detect_boxes(
    settings: DetectSettings,
    headers: JobHeaders,
    slicing: Slicing,
    tiling: Tiling,
    progress: bool,
) -> DetectedBoxes:
    detector = load_detector(settings.detector)
    method = detector.method
    with progress_bar("images", progress) as report:
        images = load_images(
            settings.images,
            image_size=(method.height, method.width),
            channels=method.encoder.channels,
            slicing=slicing,
            tiling=tiling,
            on_progress=report,
            **dicom_settings(
                settings.images,
                detector.training,
                settings.intensity_range,
                settings.dicom_window,
            ),
        )
    for note in map(headers.text, images.notes) if progress else ():
        print(f"images: {note}", file=sys.stderr)
    if images.stored_sizes is None:
        raise ValueError(f"{settings.images} does not tell the images' own sizes")
    boxed = None
    if settings.boxes is not None:
        boxed = join_boxes(
            images,
            settings.boxes,
            format=settings.boxes_format,
            classes=method.classes,
            unnamed=settings.unnamed,
        )
    # What is wrong with the groups is said before anything is computed.
    groups = None if boxed is None else _groups(settings, boxed.boxes.images, headers, progress)
    with progress_bar("detection", progress) as report:
        found = predict_together(
            detector,
            images.pixels,
            images.names,
            batch_size=settings.batch_size,
            on_progress=report,
        )
    found = found.scaled_to_sizes(images.stored_sizes)
    found = found.take(np.asarray(found.score) >= settings.least_score)
    truth, metrics, measured = None, None, np.arange(len(images))
    if boxed is not None:
        truth = boxed.boxes.with_classes(method.classes)
        place = {name: row for row, name in enumerate(images.names)}
        measured = np.array([place[name] for name in truth.images])
        metrics = _measure(settings, truth, found.select(measured.tolist()), groups)
    stored_names = images.names
    images = headers.images(settings.images, images)
    headers.keep_table(progress)
    shown = dataclasses.replace(found, images=images.names)
    threshold, sizes = method.detections.threshold, _slide_sizes(settings, stored_names)
    whole = in_slides(shown, stored_names, sizes, threshold)
    if is_first():
        _write(settings, in_slides(found, stored_names, sizes, threshold), whole)
    if truth is not None:
        truth = dataclasses.replace(truth, images=headers.names(settings.images, truth.images))
    # Images that the true boxes do not name are read and searched all the same.
    problems = () if boxed is None else boxed.problems
    unused = headers.skipped(settings.images, [problem.skipped() for problem in problems])
    skipped = (*images.skipped, *unused)
    if skipped and is_first():
        write_skipped(pathlib.Path(settings.output).with_suffix(".skipped.csv"), skipped)
    return DetectedBoxes(detector, images, shown, truth, measured, metrics, skipped, headers, whole)


def _slide_sizes(
    settings: DetectSettings, stored_names: tuple[str, ...]
) -> dict[str, tuple[int, int]]:
    """(width, height) of the slides of which some images are tiles, by name."""
    places = [place_in_slide(name) for name in stored_names]
    slides = list(dict.fromkeys(place[0] for place in places if place is not None))
    facts = slide_facts(settings.images, slides) if slides else {}
    return {name: size for name, (size, _) in facts.items()}


def _groups(
    settings: DetectSettings, names: tuple[str, ...], headers: JobHeaders, progress: bool
) -> Shaped[np.ndarray, " measured"] | None:
    """The group of each measured image; None: none is asked for."""
    if settings.group_by is not None:
        groups, notes = headers.groups(settings.images, names, settings.group_by)
        for note in notes if progress else ():
            print(f"groups: {note}", file=sys.stderr)
        return groups
    if settings.groups is None:
        return None
    shown = headers.names(settings.images, names)
    return read_column(
        settings.groups,
        len(names),
        settings.group_column,
        names_in_table(settings.groups, settings.image_column, names, shown),
        settings.image_column,
        column_flag="group_column",
    )


def _measure(
    settings: DetectSettings,
    truth: BoxSet,
    found: BoxSet,
    groups: Shaped[np.ndarray, " measured"] | None,
) -> DetectionMetrics:
    return evaluate(
        truth, found, MetricSettings(bootstrap_draws=settings.bootstrap_draws), groups=groups
    )


def _write(settings: DetectSettings, found: BoxSet, shown: BoxSet) -> None:
    """Writes the detections: `shown`, or where ids name the images, those of `found`.

    Both are on whole slides where images are tiles.
    """
    format = settings.format
    if format is None and pathlib.Path(settings.output).suffix.lower() == ".json":
        format = "coco_results"
    if format == "coco_results" and _is_coco(settings):
        assert settings.boxes is not None
        images, categories = coco_ids(settings.boxes, found.images, found.classes)
        # COCO's tools refuse results on images that the truth does not have.
        known = np.array(images)[found.image] >= 0
        known &= np.array(categories)[found.label] >= 0
        write_coco_results(
            settings.output, found.take(known), image_ids=images, category_ids=categories
        )
        return
    write_boxes(settings.output, shown, format=format)


def _is_coco(settings: DetectSettings) -> bool:
    boxes = settings.boxes
    return boxes is not None and (settings.boxes_format or format_of(boxes)) == "coco"
