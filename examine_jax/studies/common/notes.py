"""A study's messages on stderr."""

import pathlib
import sys
from collections.abc import Sequence

from examine_jax.studies.common import kept


def note(text: str, progress: bool) -> None:
    """Prints one line, if progress is wanted."""
    if progress:
        print(text, file=sys.stderr)


def note_other_seeds(folder: pathlib.Path, seeds: Sequence[int], progress: bool) -> None:
    """Says which seeds the folder holds that the page will lack, because they were not named."""
    others = kept.other_seeds(folder, seeds)
    if others:
        note(
            f"{folder} holds seeds {','.join(map(str, others))} too; the page shows the seeds that "
            "are named: name all "
            "of them in the last run (what is done is not done again)",
            progress,
        )
