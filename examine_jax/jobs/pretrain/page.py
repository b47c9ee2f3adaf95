"""The training's page: loss, the monitored features, the method's pictures."""

import pathlib

import jax
import numpy as np

from examine_jax.common.atomic_files import write_bytes
from examine_jax.common.configuration import to_plain
from examine_jax.jobs.pretrain.pretrain import TrainedEncoder, TrainingSettings
from examine_jax.reporting.charts import galleries, training_curves
from examine_jax.reporting.page import (
    PATIENTS_PIXELS,
    Illustration,
    Report,
    package_versions,
    write_report,
)
from examine_jax.reporting.tables import write_skipped
from examine_jax.training.method import pictures

_MONITORED = {
    "feature_deviation": (
        "Standard deviation of normalised features: 0 is collapse (all images alike)."
    ),
    "rank_me": "Effective rank of the features of some images (RankMe): near 1 is collapse.",
    "knn_accuracy": (
        "Accuracy of the vote of the nearest neighbours, on the monitored images. "
        "The training saw no label."
    ),
}


def write_training(
    workdir: pathlib.Path,
    trained: TrainedEncoder,
    settings: TrainingSettings,
    *,
    source: str,
    device: str,
) -> pathlib.Path:
    """Write training.html, its figures as PNG and skipped.csv; returns the page's path.

    Raises:
        OSError: a file cannot be written (which).
    """
    write_skipped(workdir / "skipped.csv", trained.skipped)
    illustrations = _illustrations(trained)
    for name, illustration in illustrations.items():
        write_bytes(workdir / f"{name}.png", illustration.png)
    last = trained.history[-1]
    page = workdir / "training.html"
    monitored = {name: f"{last[name]:.4g}" for name in _MONITORED if name in last}
    write_report(
        page,
        Report(
            title=f"Training of an encoder: {settings.method}",
            headline=f"{settings.method} ({settings.preset}) on {trained.images} images "
            f"from {source}: "
            f"loss {trained.history[0]['loss']:.4g} at the first of {len(trained.history)} steps, "
            f"{last['loss']:.4g} at the last.",
            summary={
                "images": str(trained.images),
                "steps": str(len(trained.history)),
                "batch": str(trained.settings.batch_size),
                "files skipped": str(len(trained.skipped)),
                "device": device,
                **{name.replace("_", " "): value for name, value in monitored.items()},
            },
            highest=(),
            lowest=(),
            figures=tuple(illustrations.values()),
            skipped=trained.skipped,
            warnings=_warnings(trained),
            settings={
                "method": to_plain(trained.encoder.method),
                "training": to_plain(trained.settings),
            },
            versions=package_versions(),
            privacy=PATIENTS_PIXELS,
        ),
    )
    return page


def _illustrations(trained: TrainedEncoder) -> dict[str, Illustration]:
    def column(name: str) -> tuple[np.ndarray, np.ndarray]:
        records = [record for record in trained.history if name in record]
        return np.array([record["step"] for record in records]), np.array(
            [record[name] for record in records], float
        )

    made = {
        "training_loss": Illustration(
            "Training loss",
            training_curves.loss_curve(*column("loss")),
            "Should have levelled off.",
            "Loss by step",
        )
    }
    for name, caption in _MONITORED.items():
        steps, values = column(name)
        if len(steps):
            title = name.replace("_", " ")
            made[name] = Illustration(
                title,
                training_curves.monitored_curve(steps, values, title),
                caption,
                f"{title} by step",
            )
    encoder, examples = trained.encoder, trained.examples
    for picture in pictures(
        encoder.method, encoder.params, encoder.state, examples, jax.random.key(0)
    ):
        png = galleries.image_rows({"original": examples, **picture.rows})
        made[picture.name] = Illustration(picture.title, png, picture.caption, picture.description)
    return made


def _warnings(trained: TrainedEncoder) -> tuple[str, ...]:
    found = []
    last = trained.history[-1]
    features = trained.encoder.method.encoder.features
    if last.get("feature_deviation", 1.0) < 0.1 / features**0.5:
        found.append(
            "The features have collapsed: all images look alike to this encoder. Lower the "
            "learning rate or take another method."
        )
    if trained.resized_up:
        found.append(
            f"{trained.resized_up} images were smaller than the encoder's input and were enlarged."
        )
    return tuple(found)
