"""Findings of a set whose images are of different kinds, each judged among its own."""

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from examine_jax.common.shapes import Float, Int, Num, UInt8
from examine_jax.quality.findings import FEWEST, Findings, find


def find_by_kind(
    descriptions: Num[np.ndarray, "n k"],
    kinds: Sequence[str],
    *,
    pixels: UInt8[np.ndarray, "images h w c"] | None = None,
    features: Num[np.ndarray, "embedded d"] | None = None,
    reference: Num[np.ndarray, "clean columns"] | None = None,
    reference_kinds: Sequence[str] | None = None,
) -> Findings:
    """`find` for each kind of image alone, however few images it has.

    So of a kind with fewer than 10 images only those are found that are certainly damaged, and a
    copy is sought among images of its kind.

    Args:
        descriptions: a row of `describe` for each image, in order.
        kinds: of each image, such as its modality.
        pixels, features: as in `find`.
        reference: as in `find`. They serve images of their own kind; a kind with fewer than 10 of
            them is judged by itself. Where a kind is unknown (""), they serve all.
        reference_kinds: of each reference image; None: unknown.

    Returns:
        Findings whose thresholds are those of the kind with the most images.

    Raises:
        ValueError: as `find`, or there is not one kind for each image.
    """
    codes = _codes(kinds, len(descriptions))
    if codes.max(initial=0) == 0:
        own = _reference_of(kinds[0], reference, reference_kinds) if len(kinds) else reference
        if own is None and reference is not None:
            raise ValueError(
                f"fewer than {FEWEST} reference images are of the kind {kinds[0]!r}, as the others "
                "are: give more of it"
            )
        return find(descriptions, pixels=pixels, features=features, reference=own)
    parts = []
    for code in np.argsort(-np.bincount(codes), kind="stable"):
        rows = np.flatnonzero(codes == code)
        found = find(
            descriptions[rows],
            pixels=None if pixels is None else pixels[rows],
            features=None if features is None else features[rows],
            reference=_reference_of(kinds[rows[0]], reference, reference_kinds),
        )
        parts.append((rows, found))
    return _together(parts, len(descriptions))


def _codes(kinds: Sequence[str], count: int) -> Int[np.ndarray, " n"]:
    if len(kinds) != count:
        raise ValueError(f"{count} descriptions, but {len(kinds)} kinds; give one each")
    return np.unique(np.asarray(kinds, dtype=str), return_inverse=True)[1].reshape(-1)


def _reference_of(
    kind: str,
    reference: Num[np.ndarray, "clean columns"] | None,
    reference_kinds: Sequence[str] | None,
) -> Num[np.ndarray, "own columns"] | None:
    if reference is None or reference_kinds is None or not kind or not any(reference_kinds):
        return reference
    own = reference[[one == kind for one in reference_kinds]]
    return own if len(own) >= FEWEST else None


def _together(parts: list[tuple[Int[np.ndarray, " _"], Findings]], count: int) -> Findings:
    usable, outlier = np.ones(count, bool), np.zeros(count)
    copies = np.full(count, -1)
    names: list[tuple[str, ...]] = [()] * count
    values: dict[str, Float[np.ndarray, " n"]] = {}
    limits: dict[str, Float[np.ndarray, " n"]] = {}
    thresholds: dict[str, tuple[float, str]] = {}
    for rows, found in parts:
        usable[rows], outlier[rows] = found.usable, found.outlier
        copied = found.duplicates_of >= 0
        copies[rows[copied]] = rows[found.duplicates_of[copied]]
        for row, own in zip(rows.tolist(), found.findings):
            names[row] = own
        for name in found.values:
            values.setdefault(name, np.zeros(count))[rows] = found.values[name]
            limits.setdefault(name, np.full(count, np.inf))[rows] = found.limits[name]
            thresholds.setdefault(name, found.thresholds[name])
    return Findings(
        usable=usable,
        outlier=outlier,
        findings=tuple(names),
        values=MappingProxyType(values),
        thresholds=MappingProxyType(thresholds),
        limits=MappingProxyType(limits),
        duplicates_of=copies,
    )
