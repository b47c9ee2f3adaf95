"""The tables of the transfer study."""

from collections.abc import Sequence

import numpy as np

from examine_jax.reporting.page import Table
from examine_jax.studies.common.verdict import mean_sd
from examine_jax.studies.transfer.results import RANDOM, SELF, TrainingRecord
from examine_jax.studies.transfer.rows import (
    METRICS,
    Row,
    comparison,
    find,
    gains,
    use_in_words,
    verdict,
)

SCRATCH = (SELF, "frozen"), (RANDOM, "fine_tuned")
"""What an encoder from elsewhere is compared with: (encoder, use)."""


def shares_of(rows: Sequence[Row]) -> tuple[float, ...]:
    """Returns the rows' shares, ascending."""
    return tuple(sorted({row.share for row in rows}))


def share_words(rows: Sequence[Row], share: float) -> str:
    """Returns a column's name, such as "1% (28)"."""
    counts = [count for row in rows if row.share == share for count in row.labels]
    low, high = min(counts), max(counts)
    return f"{share * 100:.4g}% ({low}{'' if low == high else f' to {high}'})"


def names_of(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Returns (encoder, use) of each line of the tables, in order."""
    return list(dict.fromkeys((row.encoder, row.use) for row in rows))


def metric_table(rows: Sequence[Row], metric: str) -> Table:
    """Returns a metric by encoder and share, with both kinds of spread."""
    shares, lines = shares_of(rows), []
    for encoder, use in names_of(rows):
        cells, name = [], ""
        for share in shares:
            row = find(rows, encoder, use, share)
            if row is None:
                cells.append("")
                continue
            name, (low, high) = row.name, row.ends(metric)
            cells.append(f"{mean_sd(row.values(metric))} [{low:.3f}, {high:.3f}]")
        lines.append((name, *cells))
    words = METRICS[metric]
    return Table(
        words[0].upper() + words[1:],
        ("encoder", *(share_words(rows, share) for share in shares)),
        tuple(lines),
        "Of the held-out images, by the share of the pool that has labels (in brackets: how many). "
        "Mean and standard deviation over the seeds, which differ in split, labels and training. "
        "In square brackets: the 95% interval over the held-out images of one seed (bootstrap, "
        "groups drawn whole), its ends averaged over the seeds.",
    )


def verdict_table(rows: Sequence[Row]) -> Table:
    """Returns whether each encoder learned, by share."""
    shares, lines = shares_of(rows), []
    for encoder, use in names_of(rows):
        found = {share: find(rows, encoder, use, share) for share in shares}
        name = next(row.name for row in found.values() if row is not None)
        lines.append((name, *("" if row is None else verdict(row, rows) for row in found.values())))
    return Table(
        "What learned",
        ("encoder", *(share_words(rows, share) for share in shares)),
        tuple(lines),
        "'Not learned': the balanced accuracy, seed by seed, is not above that of a linear probe "
        "on the same network at its random initialisation, with the same labels, by two standard "
        "errors. An encoder that does not beat colour statistics knows no more than colours.",
    )


def scratch_table(rows: Sequence[Row]) -> Table:
    """Returns the gains of encoders from elsewhere over training on the target alone."""
    shares, lines = shares_of(rows), []
    own = {SELF, RANDOM}
    for encoder, use in names_of(rows):
        if encoder in own or all(
            one is None or verdict(one, rows) == "control"
            for one in (find(rows, encoder, use, share) for share in shares)
        ):
            continue
        for other in SCRATCH:
            cells, names = [], ("", "")
            for share in shares:
                row, against = find(rows, encoder, use, share), find(rows, *other, share)
                if row is None or against is None:
                    cells.append("")
                    continue
                names = row.name, against.name
                cells.append(comparison(gains(row, against)))
            if names[0]:
                lines.append((*names, *cells))
    return Table(
        "Against training from scratch",
        ("encoder", "less", *(share_words(rows, share) for share in shares)),
        tuple(lines),
        "The mean difference of balanced accuracy, seed by seed, and in how many seeds it is above "
        "0. 'Better' and 'worse': by more than two standard errors over the seeds.",
    )


def adaptation_table(rows: Sequence[Row]) -> Table | None:
    """Returns what adaptation changed; None if nothing was adapted."""
    shares, lines = shares_of(rows), []
    pairs = (("adapted", "frozen"), ("adapted_fine_tuned", "fine_tuned"))
    for encoder in dict.fromkeys(row.encoder for row in rows):
        for use, before in pairs:
            cells = []
            for share in shares:
                row, other = find(rows, encoder, use, share), find(rows, encoder, before, share)
                found = [] if row is None or other is None else gains(row, other)
                cells.append(comparison(found))
            if any(cells):
                lines.append((encoder, f"{use_in_words(use)} less {use_in_words(before)}", *cells))
    if not lines:
        return None
    return Table(
        "What adaptation changed",
        ("encoder", "difference", *(share_words(rows, share) for share in shares)),
        tuple(lines),
        "The mean difference of balanced accuracy, seed by seed, and in how many seeds it is above "
        "0. Where it says 'worse', the encoder was better left as it came.",
    )


def training_table(trainings: Sequence[TrainingRecord]) -> Table:
    """Returns how long the trainings without labels were, averaged over the seeds."""
    lines = []
    for encoder in dict.fromkeys(one.encoder for one in trainings):
        own = [one for one in trainings if one.encoder == encoder]
        lines.append(
            (
                encoder,
                str(len(own)),
                f"{np.mean([one.images for one in own]):.0f}",
                f"{np.mean([one.steps for one in own]):.0f}",
                f"{np.mean([one.cpu_seconds for one in own]):.0f}",
                f"{np.mean([one.seconds for one in own]):.0f}",
            )
        )
    return Table(
        "Trainings without labels",
        ("encoder", "trainings", "images", "steps", "CPU seconds", "seconds"),
        tuple(lines),
        "Means of one training. If one was killed, its times count from its last start.",
    )
