"""What the page leads with: the images to look at and the images to label, with pictures."""

import pathlib
from collections.abc import Mapping

import numpy as np

from examine_jax.evaluation.coverage import coverage_curve
from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.jobs.assess.looking import (
    PixelsOf,
    finding_groups,
    finding_rows,
    in_words,
    usability_paragraph,
)
from examine_jax.jobs.assess.pilot import pilot_sentence
from examine_jax.jobs.assess.settings import DecisionSettings
from examine_jax.reporting.charts.coverage import coverage_chart
from examine_jax.reporting.hand_over.chosen import ChosenImage
from examine_jax.reporting.page import (
    Decision,
    Illustration,
    PicturedImage,
    Table,
    picture,
)
from examine_jax.selection import Selection
from examine_jax.selection.registry import STRATEGIES

_PICTURED = 24  # images to label
_MOST_ROWS = 2000
_TO_LABEL = ("image", "order", "group", "covers", "nearest chosen")


def decision_of(
    assessment: Assessment, settings: DecisionSettings, pixels_of: PixelsOf | None
) -> Decision:
    """The first two sections of the page.

    Args:
        assessment: the results.
        settings: how the images to label were chosen.
        pixels_of: the pixels of an image, to be shown; None: there are no pictures.
    """
    chosen = chosen_images(assessment)
    rows = tuple(
        (image.name, str(image.order), image.group, f"{image.covers:,}", image.nearest_chosen)
        for image in chosen[:_MOST_ROWS]
    )
    return Decision(
        usability=usability_paragraph(assessment),
        selection=_selection(assessment, settings),
        asked=assessment.asked,
        findings=finding_groups(assessment, pixels_of),
        finding_rows=finding_rows(assessment),
        chosen=tuple(
            PicturedImage(
                image.name,
                str(image.order),
                _about(image),
                None if pixels_of is None else picture(pixels_of(image.index)),
            )
            for image in (chosen[:_PICTURED] if pixels_of is not None else ())
        ),
        coverage=_coverage(assessment),
        to_label=Table(
            "All images to label, in order" if assessment.asked else "These images as a table",
            _TO_LABEL,
            rows,
            "The whole table is in to_label.csv beside this page." if assessment.asked else "",
        )
        if rows
        else None,
        all_images=_all_images(assessment, chosen),
    )


def chosen_images(
    assessment: Assessment, files: Mapping[str, tuple[pathlib.Path, bool]] | None = None
) -> tuple[ChosenImage, ...]:
    """The images to label, in order.

    Args:
        assessment: the results.
        files: by name, of each image that has one: its own file, and whether browsers show it.
    """
    selection = assessment.selection
    if selection is None:
        return ()
    names, groups = assessment.names, assessment.groups
    return tuple(
        ChosenImage(
            order,
            names[index],
            index,
            "" if groups is None else str(groups[index]),
            covers,
            names[nearest] if nearest >= 0 else "",
            *(files or {}).get(names[index], (None, True)),
        )
        for order, (index, covers, nearest) in enumerate(
            zip(
                selection.indices.tolist(),
                selection.covers.tolist(),
                selection.nearest_chosen.tolist(),
                strict=True,
            ),
            1,
        )
    )


def _selection(assessment: Assessment, settings: DecisionSettings) -> str:
    selection = assessment.selection
    if assessment.unmet:
        return (
            f"No images were chosen: {assessment.unmet}. Look at the images above, and give the "
            "same command with a smaller --budget; nothing is trained again."
        )
    if selection is None:
        return "No image is left to label: look at the images above."
    count = len(selection.indices)
    images = "image" if count == 1 else "images"
    sentences = []
    if assessment.asked:
        sentences.append(
            f"Label {'this' if count == 1 else 'these'} {count:,} {images} first, in this order. "
            f"They were chosen among {selection.num_usable:,} usable images so that every usable "
            "image is near one of them. If the money ends early, the first of them are a good "
            "choice too."
        )
    else:
        sentences.append(
            f"You gave no budget. If you could label {count:,} {images}, "
            f"{'this' if count == 1 else 'these'} would be chosen among "
            f"{selection.num_usable:,} usable images, so that every usable image is near one of "
            "them. Give the same command with --budget=200 or --budget=2% to get your number of "
            "images; nothing is trained again."
        )
    if len(assessment.labelled):
        sentences.append(
            f"{len(assessment.labelled):,} images are labelled already: the choice goes on where "
            "they stop."
        )
    if assessment.pilot is not None:
        sentences.append(pilot_sentence(assessment.pilot))
    if _coverage_says_nothing(assessment):
        sentences.append(
            "These are at least half of the images that can be labelled, so there is no chart of "
            "how many others they stand for."
        )
    if settings.per_group is not None:
        are = "is" if settings.per_group == 1 else "are"
        sentences.append(f"At most {settings.per_group} of a group {are} labelled.")
    return " ".join(sentences)


def _about(image: ChosenImage) -> tuple[str, ...]:
    stands = f"stands for {image.covers:,} image{'' if image.covers == 1 else 's'}"
    return (stands, f"group {image.group}") if image.group else (stands,)


def strategy_name(selection: Selection) -> str:
    """The name of the strategy that chose, in words."""
    for name, one in STRATEGIES.items():
        if type(selection.strategy) is one:
            return in_words(name).replace("k ", "k-")
    return type(selection.strategy).__name__


def _coverage_says_nothing(assessment: Assessment) -> bool:
    """Whether at least half of the images that can be labelled are chosen."""
    selection, found = assessment.selection, assessment.findings
    if selection is None:
        return False
    left = np.ones(len(assessment.names), bool)
    if found is not None:
        left = found.usable & (found.duplicates_of < 0)
    left[assessment.labelled] = False
    return 2 * len(selection.indices) >= int(left.sum())


def _coverage(assessment: Assessment) -> Illustration | None:
    selection = assessment.selection
    if selection is None or _coverage_says_nothing(assessment):
        return None
    curve = coverage_curve(
        assessment.features,
        selection.indices,
        selection.strategy.preprocessing,
        usable=None if assessment.findings is None else assessment.findings.usable,
        labelled=assessment.labelled,
    )
    if curve.radius == 0:  # half of the images are copies
        return None
    share, random = curve.share[-1], curve.random[:, -1].mean()
    return Illustration(
        "How much of the set the chosen images stand for",
        coverage_chart(curve, strategy_name(selection)),
        "An image counts as covered if a labelled image lies within a distance of "
        f"{curve.radius:.3g} in the encoder's features. The distance is such that images drawn at "
        "random, as many as were chosen, cover half of the others. The chosen images cover "
        f"{share:.0%}, random ones {random:.0%} (line: the mean of five draws; band: all five). "
        "Coverage of features is no proof that a classifier will be better.",
        f"Share of covered images by number of labelled images: {share:.0%} at the end, at random "
        f"{random:.0%}",
    )


def _all_images(assessment: Assessment, chosen: tuple[ChosenImage, ...]) -> Table | None:
    found = assessment.findings
    order = {image.index: str(image.order) for image in chosen} if assessment.asked else {}
    count = len(assessment.names)
    urgent = np.array(
        [
            0 if found is not None and not found.usable[index] else 1 if index in order else 2
            for index in range(count)
        ]
    )
    rows = tuple(
        (
            assessment.names[index],
            "" if found is None else ", ".join(map(in_words, found.findings[index])),
            "" if found is None else ("yes" if found.usable[index] else "look at it"),
            "" if found is None else f"{found.outlier[index]:.3g}",
            order.get(index, ""),
            str(assessment.rank[index]),
        )
        for index in np.lexsort((np.arange(count), urgent))[:_MOST_ROWS].tolist()
    )
    left_out = f" The table shows {_MOST_ROWS:,} of them." if count > _MOST_ROWS else ""
    return Table(
        f"All {count:,} images",
        ("image", "findings", "usable", "outlier value", "order to label", "EXAMINE's rank"),
        rows,
        f"Sort by a column's name; filter by any word.{left_out} scores.csv lists all images.",
    )
