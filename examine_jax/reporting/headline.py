"""The report's first paragraph: what was done and what came of it, in plain language."""

import math

import numpy as np

from examine_jax.common.shapes import Float
from examine_jax.evaluation.noise_separation import NoiseSeparation

# Robust standard deviations above the median from which a gap counts as standing out.
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
    """Three to six sentences.

    Args:
      source: where the images are from, as it ends "N images from …": "the folder scans", "scikit-image's sample picture".
      encoder: what made the features, as it ends "described by …": "a masked autoencoder trained on them for 20 epochs".
      gap: the gaps, [N].
      num_skipped: files that could not be read.
      num_duplicate_groups: groups of images that are exactly alike.
      separation: of the noise experiment, where one was run.
    """
    sentences = [
        f"{_counted(len(gap), 'image')} from {source} {'was' if len(gap) == 1 else 'were'} described by {encoder} and ranked by "
        "how much the features' largest singular value falls when the image is left out (the gap; a small one ranks high)."
    ]
    if num_skipped:
        sentences.append(
            f"{_counted(num_skipped, 'file')} could not be read and {'is' if num_skipped == 1 else 'are'} listed below."
        )
    sentences.append(_spread(gap.astype(np.float64)))
    if num_duplicate_groups:
        groups = _counted(num_duplicate_groups, "group")
        sentences.append(f"There {'is' if num_duplicate_groups == 1 else 'are'} {groups} of exact duplicates.")
    if separation is not None:
        sentences.append(_noise(separation))
    return " ".join(sentences)


def _spread(gap: Float[np.ndarray, " n"]) -> str:
    median = float(np.median(gap))
    deviation = 1.4826 * float(np.median(np.abs(gap - median)))
    if gap.max() == gap.min():
        return "All gaps are equal: these features give no reason to prefer one image to another."
    count = int((gap > median + _OUTSTANDING * deviation).sum()) if deviation > 0 else 0
    largest = (
        f"The largest gap is {gap.max() / median:.3g} times the median"
        if median > 0
        else f"The largest gap is {gap.max():.3g}"
    )
    if count == 0:
        return f"{largest}; no image stands out from the rest by its gap, so the two ends of the ranking differ by degree only."
    stand = "image stands" if count == 1 else "images stand"
    return (
        f"{largest}; {count:,} {stand} out above the rest ({count / len(gap):.1%}; over {_OUTSTANDING:g} robust standard "
        "deviations above the median): look at these first, they are unusual, which is not to say bad."
    )


def _noise(separation: NoiseSeparation) -> str:
    strongest = separation.levels[-1]
    text = f"Noise was added to some images as a test: the rank correlation of the gap with its level is {separation.rank_correlation:.2f}"
    if not math.isnan(separation.auroc[-1]):
        text += f", and the gap tells the strongest noise (δ = {strongest:g}) from clean images with an AUROC of {separation.auroc[-1]:.3f}"
    return text + "."


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
