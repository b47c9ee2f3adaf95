"""What a file of boxes holds that cannot be used, with the place where it stands."""

import dataclasses
import os
from collections.abc import Iterable

from examine_jax.images.image_set import SkippedImage


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing in a file of boxes that is wrong.

    Attributes:
        file: the file.
        line: its line; in a JSON file the annotation's id; None: no line is to blame.
        image: the image's name in the file, or "".
        reason: one plain line.
        kept: the box or image is used all the same, as the reason says; it is not left out.
    """

    file: str
    line: int | None
    image: str
    reason: str
    kept: bool = False

    @property
    def place(self) -> str:
        """The file and the line as one text."""
        if self.line is None:
            return self.file
        kind = "annotation" if self.file.lower().endswith(".json") else "line"
        return f"{self.file}, {kind} {self.line}"

    def skipped(self) -> SkippedImage:
        """A row of skipped.csv: the image, and the reason with its place."""
        return SkippedImage(
            self.image or os.path.basename(self.file), f"{self.place}: {self.reason}"
        )


def left_out(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems for which something is left out."""
    return tuple(problem for problem in problems if not problem.kept)
