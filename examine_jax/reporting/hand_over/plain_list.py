"""The names of the images to label, one a line, in order."""

import dataclasses
import pathlib

from examine_jax.common.atomic_files import write_text
from examine_jax.reporting.hand_over.chosen import ChosenImages

FILE = "to_label.txt"


@dataclasses.dataclass(frozen=True)
class PlainList:
    r"""to_label.txt. A line break in a name is written as `\n` or `\r`; to_label.csv is exact."""

    needs_files: bool = False

    def write(self, workdir: pathlib.Path, chosen: ChosenImages) -> None:
        lines = [
            image.name.replace("\r", "\\r").replace("\n", "\\n") + "\n" for image in chosen.images
        ]
        write_text(workdir / FILE, "".join(lines))

    def remove(self, workdir: pathlib.Path) -> None:
        (workdir / FILE).unlink(missing_ok=True)
