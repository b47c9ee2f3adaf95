"""The training's page: loss, the monitored features, the method's pictures."""

import pathlib

import jax
import numpy as np

from examine_jax.common.atomic_files import write_bytes
from examine_jax.common.configuration import to_plain
from examine_jax.jobs.pretrain.comparison import ADAPTED, FROZEN, SCRATCH, Comparison
from examine_jax.jobs.pretrain.pretrain import TrainedEncoder
from examine_jax.jobs.pretrain.settings import TrainingSettings
from examine_jax.reporting.charts import galleries, training_curves
from examine_jax.reporting.charts.coverage import coverage_of_encoders
from examine_jax.reporting.page import (
    PATIENTS_PIXELS,
    Illustration,
    Report,
    Table,
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
            f"from {source}{_origin(trained)}: "
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
            tables=() if trained.comparison is None else _comparison(trained.comparison),
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
    if trained.comparison is not None:
        curves = {name: one.coverage for name, one in trained.comparison.measures.items()}
        made["coverage"] = Illustration(
            "Coverage by chosen images",
            coverage_of_encoders(curves),
            "How much of the set lies near the images that would be labelled first, in each "
            "encoder's features; dashed: as many random images.",
            "The share of the set near a chosen image by the number of chosen images",
        )
    encoder, examples = trained.encoder, trained.examples
    for picture in pictures(
        encoder.method, encoder.params, encoder.state, examples, jax.random.key(0)
    ):
        png = galleries.image_rows({"original": examples, **picture.rows})
        made[picture.name] = Illustration(picture.title, png, picture.caption, picture.description)
    return made


def _origin(trained: TrainedEncoder) -> str:
    if trained.base is None:
        return ""
    pairs = trained.encoder.training.get("low_rank")
    how = "" if pairs is None else f" by low-rank pairs (rank {pairs['rank']})"
    return f", going on from the encoder {trained.base.name}{how}"


def _comparison(comparison: Comparison) -> tuple[Table, ...]:
    measures = {name: one.measures() for name, one in comparison.measures.items()}
    names = list(dict.fromkeys(name for one in measures.values() for name in one))
    rows = tuple(
        (name, *(str(one[name]) if name in one else "-" for one in measures.values()))
        for name in names
    )
    first = comparison.measures[FROZEN]
    caption = (
        f"On {first.num_images} images that the training saw. Of all numbers, more is better; the "
        "effective rank also rises with noise. One training each: another seed gives other numbers."
    )
    if first.knn is not None:
        caption += (
            f" Accuracies are of {first.num_tested} images; their neighbours and the probe's "
            "images may be of the same patients."
        )
    table = Table("Frozen, adapted, from scratch", ("", *measures), rows, caption)
    kinds = Table(
        "Made artefacts, by kind",
        ("AUROC of the outlier value", *measures),
        tuple(
            (kind, *(f"{one.by_artefact[kind]:.3f}" for one in comparison.measures.values()))
            for kind in first.by_artefact
        ),
    )
    said = Table(
        "What the adaptation changed",
        ("", "measure: before -> after"),
        (
            *(("worse than frozen", line) for line in comparison.worse or ("nothing",)),
            *(("better than frozen", line) for line in comparison.better or ("nothing",)),
            *(
                (f"worse than {SCRATCH}", line.replace("->", f"({SCRATCH}) ->") + f" ({ADAPTED})")
                for line in comparison.worse_than_scratch
            ),
        ),
    )
    return table, said, kinds


def _warnings_of_comparison(comparison: Comparison) -> tuple[str, ...]:
    found = []
    certain = [line for line in comparison.worse if "may be chance" not in line]
    if certain:
        found.append(
            "The adaptation made this worse than it was: "
            + "; ".join(certain)
            + ". Compare before "
            "you use the adapted encoder."
        )
    if comparison.diverged is not None:
        found.append(f"The training from scratch diverged: {comparison.diverged}")
    return tuple(found)


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
    if trained.comparison is not None:
        found.extend(_warnings_of_comparison(trained.comparison))
    return tuple(found)
