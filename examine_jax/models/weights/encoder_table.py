"""The table of encoders: what is known of the field's own, with the source of each fact.

A row stands here only if the encoder's configuration or model card was read. Where a folder says
something itself, the folder is followed; encoder.json goes before both.
"""

from collections.abc import Mapping

import numpy as np

from examine_jax.models.weights.further_encoders import FURTHER
from examine_jax.models.weights.known_encoder import KnownEncoder
from examine_jax.models.weights.pathology_encoders import PATHOLOGY

ENCODERS: tuple[KnownEncoder, ...] = (*PATHOLOGY, *FURTHER)


def known_encoder(name: str, where: str) -> KnownEncoder:
    """The row of a name.

    Raises:
        ValueError: there is none.
    """
    for row in ENCODERS:
        if row.name == name:
            return row
    raise ValueError(
        f"{where}: known is {name!r}; the table has {', '.join(row.name for row in ENCODERS)}"
    )


def recognised(arrays: Mapping[str, np.ndarray]) -> KnownEncoder | None:
    """The row whose shapes tensors have; None: there is none."""
    return next((row for row in ENCODERS if row.matches(arrays)), None)


def table() -> str:
    """The table in Markdown, as docs/guide/encoders.md has it."""
    head = (
        "`known`",
        "folder",
        "network",
        "feature",
        "size",
        "pixels",
        "recognised",
        "licence; gate",
        "source",
    )
    rows = [
        (
            f"`{row.name}`",
            row.hub,
            row.network,
            f"{row.feature.replace('_', ' ')}, {row.features}",
            str(row.image_size),
            row.normalisation,
            "by its shapes" if row.tensors else "its files say all" if row.says_all else "by name",
            f"{row.licence}; {row.gate}",
            row.source,
        )
        for row in ENCODERS
    ]
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
