"""The fusion job: boxes of several readers in, one set of boxes and a table of agreement out."""

import dataclasses
import math
import os
import pathlib
from typing import Literal

from examine_jax.common.atomic_files import check_not_read
from examine_jax.common.settings import setting
from examine_jax.detection.agreement import (
    AGREEMENT_HEADER,
    ALL_CLASSES,
    PairAgreement,
    reader_agreement,
)
from examine_jax.detection.fusion import fuse
from examine_jax.labelled.boxes import BoxSet, Problem, read_boxes, write_boxes
from examine_jax.labelled.boxes.registry import READERS
from examine_jax.reporting.tables import write_skipped, write_table


@dataclasses.dataclass(frozen=True)
class FuseBoxesSettings:
    """The boxes of several readers, how they are fused, and the file to write."""

    boxes: str | os.PathLike[str] = setting(
        help="Boxes of several readers: CSV with a column rad_id or reader, VinDr-CXR's table or "
        "folder, or COCO with `reader` in its annotations.",
        metavar="PATH",
        main=True,
    )
    output: str | os.PathLike[str] = setting(
        help="The fused boxes, .csv or .json (COCO). Beside it: NAME.agreement.csv, and "
        "NAME.skipped.csv if anything was left out.",
        metavar="FILE",
        main=True,
    )
    iou: float = setting(
        0.2,
        "A box joins others whose mean overlaps it by an IoU above this; readers agree above it.",
        minimum=0.0,
        maximum=1.0,
        main=True,
    )
    order: Literal["csv", "released"] = setting(
        "csv",
        "Boxes in the order of the file, or as the authors' code: from the last to the first, "
        "rounded to a tenth of a pixel.",
        main=True,
        open_in_paper=True,
    )
    format: str | None = setting(
        None, "Of the boxes. If not given: by the file.", known=READERS, metavar="NAME"
    )
    draws: int = setting(1000, "Of the bootstrap of images.", minimum=1)
    seed: int = setting(0, "Of the bootstrap.", minimum=0)

    def __post_init__(self) -> None:
        output = pathlib.Path(self.output)
        if output.suffix not in (".csv", ".json"):
            raise ValueError(f"output {output} must end in .csv or .json")
        if not output.parent.is_dir():
            raise ValueError(f"{output} cannot be written: there is no folder {output.parent}")
        check_not_read([output, self.agreement_file, self.skipped_file], (self.boxes,))

    @property
    def agreement_file(self) -> pathlib.Path:
        """The table of agreement."""
        return pathlib.Path(self.output).with_suffix(".agreement.csv")

    @property
    def skipped_file(self) -> pathlib.Path:
        """What was left out of the boxes."""
        return pathlib.Path(self.output).with_suffix(".skipped.csv")


@dataclasses.dataclass(frozen=True, eq=False)
class FusedBoxes:
    """What the job found.

    Attributes:
        given: the boxes of all readers.
        fused: the fused boxes.
        agreement: by pair of readers and class; () where readers are not known.
        problems: what is wrong in the file of boxes.
    """

    given: BoxSet
    fused: BoxSet
    agreement: tuple[PairAgreement, ...]
    problems: tuple[Problem, ...]

    def summary(self) -> list[str]:
        """Lines for the terminal."""
        given, fused = self.given, self.fused
        readers = f" of {len(given.readers)} readers" if given.readers else ""
        lines = [
            f"{len(given)} boxes{readers} on {len(given.images)} images become {len(fused)} boxes"
        ]
        if not self.agreement:
            lines.append("no agreement: the readers are not known (a column rad_id or reader)")
        for pair in self.agreement:
            if pair.class_name == ALL_CLASSES:
                lines.append(
                    f"{pair.reader_a} and {pair.reader_b}: {pair.images} images, matched IoU "
                    f"{_interval(pair.matched_iou, pair.matched_iou_low, pair.matched_iou_high)}, "
                    f"unmatched share "
                    f"{_interval(pair.unmatched_share, pair.unmatched_low, pair.unmatched_high)}"
                )
        if left_out := sum(not problem.kept for problem in self.problems):
            lines.append(f"left out of the file: {left_out}, see the table of skipped entries")
        lines += [f"{problem.place}: {problem.reason}" for problem in self.problems if problem.kept]
        return lines


def fuse_boxes(settings: FuseBoxesSettings) -> FusedBoxes:
    """Fuses the boxes of several readers and measures their agreement.

    The fused boxes are written last.

    Args:
        settings: the boxes and the output.

    Raises:
        ValueError, OSError: the boxes cannot be read; there is none; a file cannot be written.
    """
    given, problems = read_boxes(settings.boxes, format=settings.format)
    if not given.images:
        raise ValueError(f"{os.fspath(settings.boxes)} has no box and names no image")
    fused = fuse(given, iou=settings.iou, order=settings.order)
    agreement: tuple[PairAgreement, ...] = ()
    if len(given.readers) > 1:
        agreement = reader_agreement(
            given, iou=settings.iou, num_draws=settings.draws, seed=settings.seed
        )
    write_skipped(settings.skipped_file, [problem.skipped() for problem in problems])
    write_table(settings.agreement_file, AGREEMENT_HEADER, map(_cells, agreement))
    write_boxes(settings.output, fused)
    return FusedBoxes(given, fused, agreement, problems)


def _cells(pair: PairAgreement) -> list[object]:
    return [
        "" if isinstance(value, float) and math.isnan(value) else value
        for value in (getattr(pair, name) for name in AGREEMENT_HEADER)
    ]


def _interval(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "unknown"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
