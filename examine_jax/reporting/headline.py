"""The paragraphs of the assessment's page: what to do, and what the ranking shows."""

import math
from collections.abc import Mapping

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.evaluation.noise_separation import NoiseSeparation

# A gap stands out from this many robust standard deviations above the median.
_OUTSTANDING = 3.0


def decision_headline(
    *,
    source: str,
    count: int,
    to_look_at: Mapping[str, int],
    to_look_at_in_all: int,
    to_label: int,
    num_skipped: int = 0,
    num_duplicate_groups: int = 0,
) -> str:
    """The page's first paragraph, in plain language: what to do with the images.

    Args:
        source: the origin of the images; it completes "N images from …", for example "the folder
            scans".
        count: the number of images.
        to_look_at: the number of images with each finding, by the finding in words.
        to_look_at_in_all: the number of images with any of these.
        to_label: the number of images that the user asked to label; 0: no budget was given.
        num_skipped: the number of files that could not be read.
        num_duplicate_groups: the number of groups of identical images.
    """
    sentences = [f"{_counted(count, 'image')} from {source}."]
    if to_look_at_in_all:
        most = ", ".join(f"{number:,} {name}" for name, number in list(to_look_at.items())[:4])
        why = f" ({most}{', …' if len(to_look_at) > 4 else ''})" if most else ""
        sentences.append(
            f"Look at {to_look_at_in_all:,} of them before you label{why}: they may be no use, or "
            "the most interesting of all."
        )
    if to_label:
        images = _counted(to_label, "image")
        sentences.append(f"Label the {images} of section 2 first, in their order.")
    if num_skipped:
        sentences.append(
            f"{_counted(num_skipped, 'file')} could not be read and "
            f"{'is' if num_skipped == 1 else 'are'} listed below."
        )
    if num_duplicate_groups:
        groups = _counted(num_duplicate_groups, "group")
        sentences.append(
            f"There {'is' if num_duplicate_groups == 1 else 'are'} {groups} of exact duplicates."
        )
    return " ".join(sentences)


def ranking_paragraph(
    *,
    encoder: str,
    gap: Float[np.ndarray, " n"],
    separation: NoiseSeparation | None = None,
) -> str:
    """What EXAMINE's ranking is and what it shows in this run, in plain language.

    Args:
        encoder: the origin of the features; it completes "described by …", for example "a masked
            autoencoder trained on them for 20 epochs".
        gap: [N].
        separation: the result of the noise experiment, if one was run.
    """
    sentences = [
        f"The images were described by {encoder} and ranked by how much the features' largest "
        "singular value falls without the image (the gap). Rank 1 has the smallest gap and the "
        "highest score.",
        _outliers(gap.astype(np.float64)),
    ]
    if separation is not None:
        sentences.append(_noise(separation))
    return " ".join(sentences)


def _outliers(gap: Float[np.ndarray, " n"]) -> str:
    median = float(np.median(gap))
    deviation = 1.4826 * float(np.median(np.abs(gap - median)))
    if gap.max() == gap.min():
        return "All gaps are equal: these features do not distinguish the images."
    count = int((gap > median + _OUTSTANDING * deviation).sum()) if deviation > 0 else 0
    largest = (
        f"The largest gap is {gap.max() / median:.3g} times the median"
        if median > 0
        else f"The largest gap is {gap.max():.3g}"
    )
    if count == 0:
        return f"{largest}; no gap stands out from the rest."
    stand = "image stands" if count == 1 else "images stand"
    return (
        f"{largest}; {count:,} {stand} out above the rest ({count / len(gap):.1%}; over "
        f"{_OUTSTANDING:g} robust standard "
        "deviations above the median). Look at these: they are unusual, which does not mean bad."
    )


def _noise(separation: NoiseSeparation) -> str:
    strongest = separation.levels[-1]
    text = (
        "Noise was added to some images as a test: the rank correlation of the gap with its level "
        f"is {separation.rank_correlation:.2f}"
    )
    if not math.isnan(separation.auroc[-1]):
        text += (
            f", and the gap separates the strongest noise (δ = {strongest:g}) from clean images "
            "with an "
            f"AUROC of {separation.auroc[-1]:.3f}"
        )
    return text + "."


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
