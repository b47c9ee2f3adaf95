"""Which images are no use, and why: findings from descriptions and features, without labels."""

import dataclasses
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from examine_jax.common.shapes import Bool, Float, Int, Num, Shaped, UInt8
from examine_jax.quality.alone import alone_of_its_kind
from examine_jax.quality.description import DESCRIPTORS
from examine_jax.quality.duplicates import duplicates_of
from examine_jax.quality.measures import FINDINGS, MEASURES, Columns, Measure
from examine_jax.quality.outliers import (
    DECIMALS,
    appearance,
    decorrelated,
    distance_to_kth,
    kind_of_picture,
    layout,
    principal_coordinates,
    strangest,
)
from examine_jax.quality.populations import (
    FEWEST_OF_KIND,
    above_alike,
    centre_and_deviation,
    kinds,
)

# Fewer images say nothing of what is usual: only what is certain of one image alone is found.
FEWEST = 10
_STRANGE = {"unlike_others": 4.5, "unlike_layout": 4.5, "unlike_features": 4.5}
# So many deviations of a distance weigh as much as a measure's threshold in the outlier value.
_WEIGHT = 3.0


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """What was found. Row i belongs to image i. Nothing here deletes an image.

    Attributes:
        usable: no finding of damage, or none but relative ones of an image alone of its kind.
        outlier: how strange the image is, 0 and up: higher is stranger, about 1 at the thresholds.
        findings: names of `FINDINGS`, in that order; empty where nothing was found.
        values: what was measured, by name; higher is worse.
        thresholds: (value, reason) by the same names. From the value on, an image has the finding.
            With groups, the value is that of the largest group.
        limits: each image's own threshold, by the same names: an image has the finding exactly
            where the value is at least the limit. Infinite: it is not judged by the value.
        duplicates_of: the index of the image that is kept in this one's place; -1: it is no copy.
    """

    usable: Bool[np.ndarray, " n"]
    outlier: Float[np.ndarray, " n"]
    findings: tuple[tuple[str, ...], ...]
    values: MappingProxyType[str, Float[np.ndarray, " n"]]
    thresholds: MappingProxyType[str, tuple[float, str]]
    limits: MappingProxyType[str, Float[np.ndarray, " n"]]
    duplicates_of: Int[np.ndarray, " n"]


def find(
    descriptions: Num[np.ndarray, "n k"],
    *,
    pixels: UInt8[np.ndarray, "images h w c"] | None = None,
    features: Num[np.ndarray, "embedded d"] | None = None,
    reference: Num[np.ndarray, "clean columns"] | None = None,
    groups: Shaped[np.ndarray, " grouped"] | Sequence[object] | None = None,
) -> Findings:
    """Finds images that are blank, blurred, noisy, ..., or unlike all others, and copies.

    Most thresholds are relative: an image is damaged if it is far from what is usual, in robust
    deviations, and if one would see it. What is usual is the median of the set, or of the images of
    most similar colour, brightness and contrast. It stays so with up to a quarter of damaged images
    and with several kinds of clean images in a set. Of fewer than 10 images only such as are
    certainly damaged are found: all of one tone, or black.

    A finding of damage makes an image unusable. Being unlike all others or a copy does not: see
    `FINDINGS`. Nor does a relative finding where nothing usual is of the image's kind, as where one
    grey image lies among colour ones: it is to be looked at.

    Args:
        descriptions: a row of `describe` for each image, in order.
        pixels: the images at the encoder's size, to compare possible copies.
        features: an encoder's, a row for each image. They say more of what is unlike all others.
        reference: descriptions of at least 10 clean images. If given, these say what is usual, not
            the set.
        groups: each image's kind (modality, scanner). A group of 50 images or more is judged by
            itself.

    Raises:
        ValueError: there are no images; rows differ in number; a value is not finite; fewer than 10
            reference images.

    Source: median and median absolute deviation as in Leys et al., "Detecting outliers", Journal of
    Experimental Social Psychology 49(4), 2013.
    """
    described = _checked(descriptions, "descriptions", None)
    count = len(described)
    if described.shape[1] != len(DESCRIPTORS):
        raise ValueError(
            f"descriptions have {described.shape[1]} columns, describe gives {len(DESCRIPTORS)}: "
            "pass rows of describe"
        )
    embedded = None if features is None else _checked(features, "features", count)
    if pixels is not None and len(pixels) != count:
        raise ValueError(f"{count} descriptions, but {len(pixels)} rows of pixels; give one each")
    added = None
    if reference is not None:
        added = _checked(reference, "reference", None)
        if len(added) < FEWEST:
            raise ValueError(
                f"{len(added)} reference images: give at least {FEWEST}; fewer do not say what is "
                "usual"
            )
        if added.shape[1] != described.shape[1]:
            raise ValueError(
                f"reference has {added.shape[1]} columns, descriptions {described.shape[1]}"
            )
    columns = _columns(described)
    excesses: dict[str, np.ndarray] = {}
    values = {name: np.zeros(count) for name in (*(m.name for m in MEASURES), *_STRANGE)}
    excesses = {name: np.zeros(count) for name in values}
    limits = {name: np.full(count, np.inf) for name in values}
    thresholds: dict[str, tuple[float, str]] = {}
    damaged = np.zeros(count, bool)
    if groups is None and added is None:
        groups = kinds(columns)
    for rows in _populations(groups, count):
        judged = described[rows] if added is None else np.concatenate([described[rows], added])
        usual = np.arange(len(judged)) if added is None else np.arange(len(rows), len(judged))
        part = _columns(judged)
        place = kind_of_picture(part, usual)
        alone = alone_of_its_kind(part, usual)
        for measure in MEASURES:
            value, excess, threshold = _measured(measure, part, place, usual)
            if measure.of_colour:
                excess = np.where(alone.grey, 0.0, excess)
            if FINDINGS[measure.finding]:
                relative = alone.relative(measure.finding) & (value < measure.certain)
                damaged[rows] |= ((excess >= 1) & ~relative)[: len(rows)]
            values[measure.name][rows] = value[: len(rows)]
            excesses[measure.name][rows] = excess[: len(rows)]
            limits[measure.name][rows] = _limits(value, excess, threshold)[: len(rows)]
            thresholds.setdefault(measure.name, (threshold, measure.reason))
        looks = [
            ("unlike_others", decorrelated(appearance(part, usual), usual), usual),
            ("unlike_layout", layout(part), usual),
        ]
        if embedded is not None:
            own = np.arange(len(rows))
            looks.append(("unlike_features", principal_coordinates(embedded[rows], own), own))
        for name, where, among in looks:
            value, excess, threshold = _strange(where, among, _STRANGE[name])
            values[name][rows] = value[: len(rows)]
            excesses[name][rows] = excess[: len(rows)]
            limits[name][rows] = _limits(value, excess, threshold)[: len(rows)]
            thresholds.setdefault(name, (threshold, "distance to the nearest usual images"))
    if embedded is None:
        for table in (values, excesses, limits):
            del table["unlike_features"]
    found = {name: np.zeros(count, bool) for name in FINDINGS}
    for measure in MEASURES:
        found[measure.finding] |= excesses[measure.name] >= 1
    for name in _STRANGE:
        if name in excesses:
            found["unlike_others"] |= excesses[name] >= 1
    usable = ~damaged
    copies = duplicates_of(columns, usable, pixels)
    found["duplicate"] = copies >= 0
    return Findings(
        usable=usable,
        outlier=strangest(
            [
                excess * (_STRANGE[name] / _WEIGHT if name in _STRANGE else 1)
                for name, excess in excesses.items()
            ]
        ),
        findings=tuple(
            tuple(name for name in FINDINGS if found[name][row]) for row in range(count)
        ),
        values=MappingProxyType(values),
        thresholds=MappingProxyType(thresholds),
        limits=MappingProxyType(limits),
        duplicates_of=copies,
    )


def _measured(
    measure: Measure,
    columns: Columns,
    place: Float[np.ndarray, "n p"],
    usual: Int[np.ndarray, " m"],
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], float]:
    """The values, what share of the way from usual to the threshold they are, the threshold."""
    value = measure.value(columns, usual)
    if measure.among_alike:
        value = np.median(value[usual]) + above_alike(value, place, usual)
    value = np.round(value, DECIMALS)
    deviations = _widened(measure.deviations, usual)
    centre, deviation = centre_and_deviation(
        value[usual], measure.floor, deviations=deviations, long_tail=measure.long_tail
    )
    threshold = max(centre + deviations * deviation, measure.visible)
    if len(usual) < FEWEST:
        threshold = np.inf
    excess = (value - centre) / max(threshold - centre, measure.floor)
    excess = np.where(value >= measure.certain, np.maximum(excess, 1.0), excess)
    return value, excess, min(threshold, measure.certain)


def _strange(
    place: Float[np.ndarray, "n p"], usual: Int[np.ndarray, " m"], deviations: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], float]:
    """As `_measured`, of the logarithm of the distance to the nearest usual images."""
    if len(usual) < FEWEST:
        return np.zeros(len(place)), np.zeros(len(place)), np.inf
    value = np.round(np.log(distance_to_kth(place, usual) + 0.1), DECIMALS)
    deviations = _widened(deviations, usual)
    centre, deviation = centre_and_deviation(value[usual], 0.05, deviations=deviations)
    threshold = centre + deviations * deviation
    return value, (value - centre) / (threshold - centre), threshold


def _limits(
    value: Float[np.ndarray, " n"], excess: Float[np.ndarray, " n"], threshold: float
) -> Float[np.ndarray, " n"]:
    """The threshold; infinite where a value at the threshold or above is no finding."""
    limits = np.where((value >= threshold) & (excess < 1), np.inf, threshold)
    return np.where(excess >= 1, np.minimum(limits, value), limits)  # but for rounding the same


def _widened(deviations: float, usual: Int[np.ndarray, " m"]) -> float:
    """Of few images a deviation is known less well: 1.5 times as many of 20, 1.1 times of 100."""
    return deviations * (1 + 10 / len(usual))


def _populations(
    groups: Shaped[np.ndarray, " grouped"] | Sequence[object] | None, count: int
) -> list[Int[np.ndarray, " m"]]:
    """Rows to judge together, the most first. Groups of fewer than 50 are joined to the largest."""
    if groups is None:
        return [np.arange(count)]
    if len(groups) != count:
        raise ValueError(f"{count} descriptions, but {len(groups)} groups; give one each")
    codes = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    sizes = np.bincount(codes)
    codes[sizes[codes] < FEWEST_OF_KIND] = sizes.argmax()
    parts = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    return sorted(parts, key=len, reverse=True)


def _checked(
    rows: Num[np.ndarray, "n d"], name: str, count: int | None
) -> Float[np.ndarray, "n d"]:
    values = np.asarray(rows, np.float64)
    if count is not None and len(values) != count:
        raise ValueError(f"{count} descriptions, but {len(values)} rows of {name}; give one each")
    if values.ndim != 2 or (len(values) and not values.shape[1]):
        raise ValueError(
            f"{name} have the shape {list(values.shape)}: give one row an image, [images, columns]"
        )
    if not len(values):
        raise ValueError(f"{name} is empty; give one image at least")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        shown = ", ".join(map(str, bad[:10])) + (", …" if len(bad) > 10 else "")
        raise ValueError(f"{name}: {len(bad)} rows have NaN or infinite values: rows {shown}")
    return values


def _columns(described: Float[np.ndarray, "n k"]) -> Columns:
    return dict(zip(DESCRIPTORS, described.T))
