"""Tiles of colorectal tissue in eight classes; no patients are known."""

import pathlib
import re


def colorectal(name: str) -> tuple[str, str | None] | None:
    """A `FileNameLayout`: .../01_TUMOR/*.tif.

    Source: Kather et al. 2016.
    """
    parent = pathlib.PurePosixPath(name).parent.name
    return (parent, None) if re.fullmatch(r"0[1-8]_[A-Z]+", parent) else None
