"""What a pilot of labelled images says: the job's part, and its tables on the page."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from examine_jax.common.shapes import Float, Int, Shaped, UInt8
from examine_jax.evaluation.control_features import colour_statistics
from examine_jax.evaluation.pilot import (
    Compared,
    PilotResult,
    PilotSettings,
    check_pilot,
    evaluate_pilot,
)
from examine_jax.jobs.select import read_listed
from examine_jax.labelled.tables import read_column
from examine_jax.reporting.charts.learning_curve import learning_curve_chart
from examine_jax.reporting.page import Illustration, Table


@dataclasses.dataclass(frozen=True, eq=False)
class PilotLabels:
    """The labels of the pilot's images, in the order of their indices."""

    indices: Int[np.ndarray, " pilot"]
    labels: Shaped[np.ndarray, " pilot"]


def read_pilot(
    path: str | os.PathLike[str],
    count: int,
    names: Sequence[str] | None,
    *,
    image_column: str = "image",
    label_column: str = "label",
) -> PilotLabels:
    """Reads the pilot's labels from a CSV file with names (or a column `index`) and labels.

    Args:
        path: the file; rows without a label are ignored.
        count: the number of images.
        names: of the images; None: the file has a column `index`.
        image_column: the header of the column that names images.
        label_column: the header of the column of labels.

    Raises:
        ValueError: an unknown image, no such column, one class alone, or a class with fewer images
            than a cross-validation has folds.
        OSError: the file cannot be read.
    """
    texts = read_column(path, count, label_column, names, image_column).astype(str)
    indices = read_listed(path, count, names, image_column=image_column, label_column=label_column)
    classes, sizes = np.unique(texts[indices], return_counts=True)
    where, folds = os.fspath(path), PilotSettings().folds
    if len(classes) < 2:
        raise ValueError(f"{where} holds {len(classes)} class: label images of at least two")
    if sizes.min() < folds:
        raise ValueError(
            f"{where} has {sizes.min()} images of the class {str(classes[sizes.argmin()])!r}: a "
            f"pilot needs {folds} of each class for its cross-validation"
        )
    return PilotLabels(indices, texts[indices])


def check_judgeable(
    path: str | os.PathLike[str],
    pilot: PilotLabels,
    groups: Shaped[np.ndarray, " n"] | None,
    seed: int,
) -> None:
    """Refuses early a pilot that `judge` would refuse whatever the features are.

    Raises:
        ValueError: as `check_pilot`; the message names the file.
    """
    own = None if groups is None else groups[pilot.indices]
    try:
        check_pilot(pilot.labels, own, PilotSettings(seed=seed))
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def judge(
    pilot: PilotLabels,
    features: Float[np.ndarray, "n d"],
    pixels: UInt8[np.ndarray, "n h w c"] | None,
    groups: Shaped[np.ndarray, " n"] | None,
    seed: int,
) -> PilotResult:
    """What the pilot says of the strategies and of the encoder, beside colours alone.

    Args:
        pilot: the labels.
        features: of all images.
        pixels: of all images, or None.
        groups: of all images, or None.
        seed: of the folds.

    Raises:
        ValueError: as `evaluate_pilot`.
    """
    encoders = {"the encoder": features[pilot.indices]}
    if pixels is not None:
        encoders["colours alone"] = colour_statistics(pixels[pilot.indices])
    return evaluate_pilot(
        encoders,
        pilot.labels,
        groups=None if groups is None else groups[pilot.indices],
        settings=PilotSettings(seed=seed),
    )


def pilot_tables(found: PilotResult) -> tuple[Table, ...]:
    """What the pilot says, as tables of the page."""
    mean = found.accuracy.mean(axis=(2, 3))
    encoder = found.encoders.index(found.encoder)
    strategy = found.strategies.index(found.strategy)
    strategies = tuple(
        (
            _in_words(name),
            f"{mean[encoder, place]:.3f}",
            *(_difference(found.against_random.get(name))),
        )
        for place, name in enumerate(found.strategies)
    )
    encoders = tuple(
        (name, f"{mean[place, strategy]:.3f}", *_difference(found.against_best[name]))
        for place, name in enumerate(found.encoders)
    )
    curve = found.curve
    more = tuple(
        (
            f"{labels:,}",
            f"{accuracy:.3f}",
            f"{low:.3f} to {high:.3f}",
            "measured" if place < curve.num_tried else "continued",
        )
        for place, (labels, accuracy, low, high) in enumerate(
            zip(curve.labels.tolist(), curve.accuracy, curve.low, curve.high, strict=True)
        )
    )
    about = (
        f"Cross-validated within your pilot of {found.num_labelled:,} labelled images of "
        f"{len(found.classes)} classes. A pilot that was chosen one-sidedly judges one-sidedly, "
        "and an interval that holds 0 says nothing. The intervals of a table hold together, and "
        "allow for splits that share images."
    )
    return (
        Table(
            "What the pilot says of the choice",
            ("strategy", "balanced accuracy", "against random", "95% interval"),
            strategies,
            about,
        ),
        Table(
            "What the pilot says of the features",
            ("features", "balanced accuracy", "against the best", "95% interval"),
            encoders,
            "If colours alone are as good, a trained encoder adds nothing on these images.",
        ),
        Table(
            "What more labels would buy",
            ("labels", "balanced accuracy", "95% interval of the curve", "how it is known"),
            more,
            "A power law is fitted to the measured accuracies and continued beyond them.",
        ),
    )


def pilot_figure(found: PilotResult) -> Illustration:
    """The learning curve."""
    return Illustration(
        "What more labels would buy",
        learning_curve_chart(found.curve, found.num_labelled),
        "Balanced accuracy by the number of labels, from the pilot. Beyond the dots it is a power "
        "law, continued; the band is the interval of the curve. Dotted: the pilot's labels.",
        "Balanced accuracy by number of labels, measured and continued",
    )


def pilot_sentence(found: PilotResult) -> str:
    """What the pilot says of the choice, in one sentence."""
    best = found.against_random.get(found.strategy)
    if best is None or best.low <= 0:
        return "Your pilot does not tell any strategy from random choice."
    return (
        f"In your pilot {_in_words(found.strategy)}, the best of {len(found.strategies)} "
        f"strategies, was better than random choice by {best.mean:.3f} of balanced accuracy (95% "
        f"interval {best.low:.3f} to {best.high:.3f}, which allows for the choice of the best)."
    )


def _difference(compared: Compared | None) -> tuple[str, str]:
    if compared is None:
        return "", ""
    return f"{compared.mean:+.3f}", f"{compared.low:+.3f} to {compared.high:+.3f}"


def _in_words(name: str) -> str:
    return name.replace("_", " ").replace("k ", "k-")
