"""A study's messages on stderr."""

import pathlib
import sys
from collections.abc import Sequence

from examine_jax.studies.common import kept


def note(text: str, progress: bool) -> None:
    """Prints one line if `progress` is True."""
    if progress:
        print(text, file=sys.stderr)


def note_other_seeds(folder: pathlib.Path, seeds: Sequence[int], progress: bool) -> None:
    """Names seeds with results in the folder that are not in `seeds`, and so not on the page."""
    others = kept.other_seeds(folder, seeds)
    if others:
        note(
            f"{folder} holds seeds {','.join(map(str, others))} too; the page shows only the seeds "
            "that are named: name all of them in the last run (stored results are kept)",
            progress,
        )
