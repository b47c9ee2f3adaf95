"""The page's first section: the images to look at before labelling, and why."""

import collections
from collections.abc import Callable

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int, UInt8
from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.quality import FINDINGS, Findings
from examine_jax.quality.findings import FEWEST
from examine_jax.quality.measures import MEASURES
from examine_jax.reporting.page import FindingGroup, PicturedImage, picture

_PICTURED = 6  # images a finding
_COPY = "duplicate"

# Pixels of an image by its index, at the size that the page shows.
PixelsOf = Callable[[int], UInt8[np.ndarray, "h w c"]]

# What can look like the finding and is none.
_ALSO = {
    "blank": "A very even piece of tissue looks like this too.",
    "blurred": "Smooth tissue and fat look like this too.",
    "noisy": "Very fine texture looks like this too.",
    "compressed": "A regular grid in the picture looks like this too.",
    "overexposed": "A large white object looks like this too.",
    "underexposed": "A dark organ on a dark ground looks like this too.",
    "odd_colour": "Pigment, another stain and a drain look like this too.",
    "foreign_object": "A sharp outline without grain, as of a bone, looks like this too: these "
    "images stay in the choice.",
    "dark_band": "A vessel, a bone and a hair look like this too.",
    "straight_edge": "Only a sign of a seam, frame or collimator: these images stay in the choice.",
    "odd_layout": "Another view or magnification looks like this: these images stay in the choice.",
    "unlike_others": "Damage looks like this, and so does a rare disease: these images stay in the "
    "choice, and may be the most interesting of all.",
    "duplicate": "Copies of another image, or nearly so: the other one is in the choice.",
}


def usability_paragraph(assessment: Assessment) -> str:
    """How many images to look at, and what became of them."""
    found, count = assessment.findings, len(assessment.names)
    if found is None:
        return (
            "Features were given and no pixels, so nothing is known of the images' quality. All "
            "rows count as usable."
        )
    out, rest, copies = _counts(found)
    sentences = []
    if out:
        sentences.append(
            f"{_images(out)} ({out / count:.1%} of {count:,}) may be no use: blank, blurred or "
            "damaged in another way. Section 2 leaves them out."
        )
    else:
        sentences.append(f"No damage was found: all {count:,} images count as usable.")
    if rest:
        sentences.append(
            f"{_images(rest)} {'is' if rest == 1 else 'are'} unusual without being damaged, as far "
            "as can be measured; section 2 may choose them."
        )
    if copies:
        are = "is a copy of another" if copies == 1 else "are copies of others"
        sentences.append(f"{_images(copies)} {are}, or nearly so: section 2 takes one of them.")
    few = _in_small_modalities(assessment)
    if few:
        sentences.append(
            f"Images are compared with those of their own modality. {_images(few)} "
            f"{'is' if few == 1 else 'are'} of a modality with fewer than {FEWEST}: only what is "
            "certainly damaged is found there."
        )
    sentences.append(
        "Damage that most images of a set share looks normal in it, unless you give clean images "
        "to judge by (--reference_images)."
    )
    return " ".join(sentences)


def _in_small_modalities(assessment: Assessment) -> int:
    """The images of modalities that say nothing of what is usual, in a set of several."""
    counts = collections.Counter(assessment.modalities)
    if len(counts) < 2:
        return 0
    return sum(count for count in counts.values() if count < FEWEST)


def number_to_look_at(assessment: Assessment) -> int:
    """The images with any finding, but for copies that have no other."""
    if assessment.findings is None:
        return 0
    out, rest, _ = _counts(assessment.findings)
    return out + rest


def findings_by_name(assessment: Assessment) -> dict[str, Int[np.ndarray, " images"]]:
    """The images with each finding, those with the largest outlier values first.

    Findings that make images unusable come first, and then those of more images.
    """
    found = assessment.findings
    if found is None:
        return {}
    having: dict[str, list[int]] = {}
    for index in np.argsort(-found.outlier, kind="stable").tolist():
        for name in found.findings[index]:
            having.setdefault(name, []).append(index)
    ordered = sorted(
        having.items(),
        key=lambda item: (not FINDINGS.get(item[0], True), item[0] == _COPY, -len(item[1])),
    )
    return {name: np.array(indices) for name, indices in ordered}


def finding_rows(assessment: Assessment) -> tuple[tuple[str, ...], ...]:
    """For each finding: its name, images, share, what becomes of them, the threshold, why."""
    found = assessment.findings
    if found is None:
        return ()
    rows = []
    for name, indices in findings_by_name(assessment).items():
        measured = [
            (one, found.limits[one][indices], found.thresholds[one][1])
            for one in _measures(name, found)
        ]
        rows.append(
            (
                in_words(name),
                f"{len(indices):,}",
                f"{len(indices) / len(assessment.names):.1%}",
                _consequence(name),
                "; ".join(
                    f"{in_words(one)} from {_in_short(limits)}"
                    for one, limits, _ in measured
                    if np.isfinite(limits).any()
                ),
                "; ".join(dict.fromkeys(reason for *_, reason in measured)),
            )
        )
    return tuple(rows)


def finding_groups(assessment: Assessment, pixels_of: PixelsOf | None) -> tuple[FindingGroup, ...]:
    """The images of each finding, some of them with pictures.

    Damaged images are shown under the damage alone: another finding shows those that stay in the
    choice.
    """
    found = assessment.findings
    if found is None:
        return ()
    groups = []
    for name, indices in findings_by_name(assessment).items():
        if not FINDINGS.get(name, True):
            indices = indices[found.usable[indices]]
            if not len(indices):
                continue
        shown = tuple(
            PicturedImage(
                assessment.names[index],
                " + ".join(map(in_words, found.findings[index])),
                _lines(assessment, name, index),
                picture(pixels_of(index)),
            )
            for index in indices[:_PICTURED].tolist()
            if pixels_of is not None
        )
        groups.append(FindingGroup(in_words(name), _ALSO.get(name, ""), len(indices), shown))
    return tuple(groups)


def in_words(name: str) -> str:
    """A finding's or measure's name as the page shows it."""
    return name.replace("_", " ")


def _consequence(name: str) -> str:
    if FINDINGS.get(name, True):
        return "left out"
    return "one of them" if name == _COPY else "stay, if not damaged"


def _lines(assessment: Assessment, name: str, index: int) -> tuple[str, ...]:
    """What was measured in an image, where it is above the threshold."""
    found = assessment.findings
    assert found is not None
    if name == _COPY:
        return (f"copy of {assessment.names[int(found.duplicates_of[index])]}",)
    lines = [
        f"{in_words(one)} {found.values[one][index]:.3g}, threshold {found.limits[one][index]:.3g}"
        for one in _measures(name, found)
        if found.values[one][index] >= found.limits[one][index]
    ]
    return (*lines, f"outlier value {found.outlier[index]:.3g}")


def _measures(name: str, found: Findings) -> list[str]:
    """The names of the values by which a finding is made."""
    own = [measure.name for measure in MEASURES if measure.finding == name]
    if name == "unlike_others":
        own += ["unlike_others", "unlike_layout", "unlike_features"]
    return [one for one in own if one in found.limits]


def _in_short(limits: Float[np.ndarray, " images"]) -> str:
    """The threshold, or the least and the greatest where kinds of images have their own."""
    finite = limits[np.isfinite(limits)]
    low, high = f"{finite.min():.3g}", f"{finite.max():.3g}"
    return low if low == high else f"{low} to {high}, by the kind of image"


def _counts(found: Findings) -> tuple[int, int, int]:
    """(unusable images, others to look at, copies of others that have no other finding)"""
    other: Bool[np.ndarray, " n"] = np.array(
        [bool(set(names) - {_COPY}) for names in found.findings], bool
    )
    copies = (found.duplicates_of >= 0) & found.usable & ~other
    return int((~found.usable).sum()), int((found.usable & other).sum()), int(copies.sum())


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
