"""The first paragraph of the assessment's page: what was done and what was found."""

import math

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.evaluation.noise_separation import NoiseSeparation

# A gap stands out from this many robust standard deviations above the median.
_OUTSTANDING = 3.0


def assessment_headline(
    *,
    source: str,
    encoder: str,
    gap: Float[np.ndarray, " n"],
    num_skipped: int = 0,
    num_duplicate_groups: int = 0,
    separation: NoiseSeparation | None = None,
) -> str:
    """The paragraph, in plain language.

    Args:
        source: the origin of the images; it completes "N images from …", for example "the folder
            scans".
        encoder: the origin of the features; it completes "described by …", for example "a masked
            autoencoder trained on them for 20 epochs".
        gap: [N].
        num_skipped: the number of files that could not be read.
        num_duplicate_groups: the number of groups of identical images.
        separation: the result of the noise experiment, if one was run.
    """
    sentences = [
        f"{_counted(len(gap), 'image')} from {source} {'was' if len(gap) == 1 else 'were'} "
        f"described by {encoder} and ranked by "
        "how much the features' largest singular value falls without the image (the gap). Rank 1 "
        "has the smallest gap. The rank "
        "does not say which images to label."
    ]
    if num_skipped:
        sentences.append(
            f"{_counted(num_skipped, 'file')} could not be read and "
            f"{'is' if num_skipped == 1 else 'are'} listed below."
        )
    sentences.append(_outliers(gap.astype(np.float64)))
    if num_duplicate_groups:
        groups = _counted(num_duplicate_groups, "group")
        sentences.append(
            f"There {'is' if num_duplicate_groups == 1 else 'are'} {groups} of exact duplicates."
        )
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
