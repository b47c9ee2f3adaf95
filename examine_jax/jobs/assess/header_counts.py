"""What the page says of headers: modalities, scanners, sizes, and what may identify patients."""

import collections
from collections.abc import Iterable

from examine_jax.images.hidden_names import HIDDEN
from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.quality.findings import FEWEST
from examine_jax.reporting.page import Table

_MOST_ROWS = 30
_UNKNOWN = "not stated"


def header_tables(assessment: Assessment) -> tuple[Table, ...]:
    """How many images there are of each modality, scanner and size."""
    tables = []
    kinds = assessment.modalities
    if any(kinds):
        tables.append(
            Table(
                "Modalities",
                ("modality", "images", "usable", "how usability is judged"),
                tuple(
                    (kind or _UNKNOWN, f"{count:,}", _usable(assessment, kind), _judged(count))
                    for kind, count in collections.Counter(kinds).most_common()
                ),
                "Images are compared with those of their own modality: for what is usual, and for "
                "rank_in_modality in scores.csv. EXAMINE's score and rank are of all images "
                "together.",
            )
        )
    scanners = [one.scanner for one in assessment.identities if one is not None]
    if any(scanners):
        tables.append(_counts("Scanners", "scanner", scanners, len(assessment.names)))
    images = assessment.images
    if images is not None and images.stored_sizes is not None:
        sizes = (f"{width} x {height}" for height, width in images.stored_sizes.tolist())
        tables.append(_counts("Sizes of the images", "width x height", sizes, len(images)))
    return tuple(tables)


def header_warnings(assessment: Assessment) -> tuple[str, ...]:
    """What a user should look at before images or results go to others."""
    known = [one for one in assessment.identities if one is not None]
    warnings = list(assessment.notes)
    burned_in = sum(one.burned_in == "YES" for one in known)
    if burned_in:
        warnings.append(
            f"{_of(burned_in)} text in the pixels (BurnedInAnnotation is YES), which may name "
            "patients: pictures of them are on this page."
        )
    silent = sum(one.burned_in not in ("YES", "NO") for one in known)
    if silent:
        verb = "does not say" if silent == 1 else "do not say"
        warnings.append(
            f"The headers of {silent:,} DICOM image{'s' * (silent > 1)} {verb} whether text is "
            "part of the pixels."
        )
    faces = sum(one.recognizable == "YES" for one in known)
    if faces:
        warnings.append(
            f"{_of(faces)} a recognisable face or the like (RecognizableVisualFeatures is YES)."
        )
    unread = "" if assessment.headers is None else assessment.headers.unread_note()
    if unread:
        warnings.append(f"{unread}.")
    stored = assessment.stored_names or assessment.names
    hidden = sum(name != shown for name, shown in zip(stored, assessment.names, strict=True))
    if hidden:
        warnings.append(
            f"{hidden:,} image names are shown with keyed hashes ({HIDDEN}-...) in place of what "
            "may identify patients. Whoever gave the command has the table of the names."
        )
    return tuple(warnings)


def _of(count: int) -> str:
    return f"{count:,} image{'s' * (count > 1)} {'has' if count == 1 else 'have'}"


def _judged(count: int) -> str:
    if count < FEWEST:
        return "few: only what is certainly damaged is found"
    return "among its own images"


def _usable(assessment: Assessment, kind: str) -> str:
    found = assessment.findings
    if found is None:
        return ""
    own = [row for row, one in enumerate(assessment.modalities) if one == kind]
    return f"{int(found.usable[own].sum()):,}"


def _counts(title: str, column: str, values: Iterable[str], images: int) -> Table:
    counts = collections.Counter(value or _UNKNOWN for value in values)
    missing = images - sum(counts.values())
    if missing:
        counts[_UNKNOWN] += missing
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    left_out = len(ordered) - _MOST_ROWS
    caption = f"{left_out:,} more are not shown." if left_out > 0 else ""
    rows = tuple((value, f"{count:,}") for value, count in ordered[:_MOST_ROWS])
    return Table(title, (column, "images"), rows, caption)
