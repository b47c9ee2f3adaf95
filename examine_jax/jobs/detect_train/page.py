"""The page of a detector's training: its boxes, losses, and what it was trained on."""

import pathlib

import numpy as np

from examine_jax.common.configuration import to_plain
from examine_jax.jobs.detect_train.detect_train import TrainedDetector
from examine_jax.jobs.detect_train.settings import DetectTrainSettings
from examine_jax.reporting.charts import training_curves
from examine_jax.reporting.page import (
    PATIENTS_PIXELS,
    Illustration,
    Report,
    Table,
    package_versions,
    write_report,
)

_CURVES = {
    "validation_ap50": "AP50 on the validation images.",
    "objectness_loss": "Whether a place holds an object.",
    "proposal_box_loss": "Where the proposals lie.",
    "class_loss": "Which class a box is.",
    "box_loss": "Where the boxes lie.",
}


def write_training(
    settings: DetectTrainSettings, trained: TrainedDetector, *, device: str
) -> pathlib.Path:
    """Writes workdir/training.html.

    Raises:
        OSError: it cannot be written.
    """
    workdir = pathlib.Path(settings.workdir)
    first, last = trained.history[0], trained.history[-1]
    images = len(trained.boxed.images)
    summary = {
        "images": str(images),
        "boxes": str(len(trained.boxes)),
        "classes": str(len(trained.boxes.classes)),
        "steps": str(len(trained.history)),
        "device": device,
    }
    if "validation_ap50" in last:
        summary["validation AP50"] = f"{last['validation_ap50']:.3f}"
    page = workdir / "training.html"
    write_report(
        page,
        Report(
            title=f"Training of a detector: {settings.preset}",
            headline=f"{len(trained.boxes)} boxes on {images} images: loss {first['loss']:.4g} at "
            f"the first of {len(trained.history)} steps, {last['loss']:.4g} at the last. "
            f"{trained.reached[0]:.0%} of the boxes have an anchor of IoU .5 or more.",
            summary=summary,
            highest=(),
            lowest=(),
            figures=_figures(workdir, trained),
            tables=_tables(trained),
            skipped=trained.skipped,
            warnings=tuple(
                note.removeprefix("warning: ") for note in trained.notes if "warning: " in note
            ),
            settings={
                "detector": to_plain(trained.detector.method),
                "training": to_plain(trained.settings),
                "command": trained.headers.plain(to_plain(settings)),
            },
            versions=package_versions(),
            privacy=PATIENTS_PIXELS,
        ),
    )
    return page


def _figures(workdir: pathlib.Path, trained: TrainedDetector) -> tuple[Illustration, ...]:
    def column(name: str) -> tuple[np.ndarray, np.ndarray]:
        records = [record for record in trained.history if name in record]
        return np.array([record["step"] for record in records]), np.array(
            [record[name] for record in records], float
        )

    figures = [
        Illustration(
            "The boxes that were trained on",
            (workdir / "boxes.png").read_bytes(),
            "If boxes are not where they should be, the file's boxes are in other pixels.",
            "Training images with their boxes",
        ),
        Illustration(
            "Training loss",
            training_curves.loss_curve(*column("loss")),
            "The sum of the four losses.",
            "Loss by step",
        ),
    ]
    for name, caption in _CURVES.items():
        steps, values = column(name)
        if len(steps):
            title = name.replace("_", " ")
            chart = training_curves.monitored_curve(steps, values, title)
            figures.append(Illustration(title, chart, caption, f"{title} by step"))
    return tuple(figures)


def _tables(trained: TrainedDetector) -> tuple[Table, ...]:
    classes = Table(
        "Classes",
        ("class", "images", "boxes", "images an epoch, with repetitions"),
        tuple(
            (name, str(images), str(boxes), f"{repeated:.0f}")
            for name, images, boxes, repeated in trained.class_counts
        ),
    )
    notes = Table("Notes", ("what was said",), tuple((note,) for note in trained.notes))
    return classes, notes
